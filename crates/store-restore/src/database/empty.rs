//! A database that a set is restored into: made empty, and finished when it is full.

use std::fmt::Write as _;

use serde_json::Value;
use store_backup::sql;

use super::copy::finish;
use super::look::{Facts, SUPERUSERS_ONLY};
use super::{DatabaseServer, ServerError};

impl DatabaseServer {
    /// Makes an empty database with the encoding and the locale of the store database, into which only superusers get.
    pub(crate) async fn make_empty(&self, name: &str) -> Result<(), ServerError> {
        let seen = self.look().await?;
        // pgmig may have dropped it.
        let creation = creation(name, seen.named(&self.store), &self.user);
        self.change(name, "make a database for the backup", &creation)
            .await
    }

    /// Gives a database that a set was restored into what the store database has beside its content, and the mark that it
    /// is whole.
    pub(crate) async fn finish_restored(&self, name: &str) -> Result<(), ServerError> {
        let seen = self.look().await?;
        let finish = finish(name, seen.named(&self.store).map(|store| store.oid));
        self.change(name, "finish the restored database", &finish)
            .await
    }
}

fn creation(name: &str, model: Option<&Facts>, user: &str) -> String {
    let owner = model.map_or(user, |model| model.owner.as_str());
    let mut creation = format!(
        "create database {} template template0 owner {}",
        sql::name(name),
        sql::name(owner)
    );
    let text_of = |column: &str| {
        let value = model.and_then(|model| model.row.get(column));
        value.and_then(Value::as_str)
    };
    let encoding = model.map_or("UTF8", |model| model.encoding.as_str());
    let mut option = |option: &str, value: Option<&str>| {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = write!(creation, " {option} {}", sql::text(value));
        }
    };
    option("encoding", Some(encoding));
    option("lc_collate", text_of("datcollate"));
    option("lc_ctype", text_of("datctype"));
    // From 15 on, and the name of the locale is in another column from 17 on.
    let locale = text_of("datlocale").or(text_of("daticulocale"));
    match text_of("datlocprovider") {
        Some("i") => {
            option("locale_provider", Some("icu"));
            option("icu_locale", locale);
            option("icu_rules", text_of("daticurules"));
        }
        Some("b") => {
            option("locale_provider", Some("builtin"));
            option("builtin_locale", locale);
        }
        _ => {}
    }
    let _ = writeln!(creation, " connection limit {SUPERUSERS_ONLY};");
    creation
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(row: &Value) -> Facts {
        serde_json::from_value(
            json!({"oid": 5, "name": "store", "owner": "dbadmin", "open": true, "limit": -1,
            "comment": null, "encoding": "UTF8", "row": row}),
        )
        .unwrap()
    }

    #[test]
    fn the_locale_is_that_of_the_store_database_in_every_version() {
        let made = |row: &Value| creation("new", Some(&model(row)), "u");
        let libc = json!({"datcollate": "C.UTF-8", "datctype": "C.UTF-8"});
        assert_eq!(
            made(&libc),
            "create database \"new\" template template0 owner \"dbadmin\" encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8' connection limit 0;\n"
        );
        let icu = json!({"datcollate": "C", "datctype": "C", "datlocprovider": "i", "daticulocale": "de"});
        assert!(made(&icu).contains(" locale_provider 'icu' icu_locale 'de' connection"));
        let builtin = json!({"datlocprovider": "b", "datlocale": "C.UTF-8"});
        assert!(
            made(&builtin)
                .contains(" locale_provider 'builtin' builtin_locale 'C.UTF-8' connection")
        );
        assert_eq!(
            creation("new", None, "u"),
            "create database \"new\" template template0 owner \"u\" encoding 'UTF8' connection limit 0;\n"
        );
    }
}
