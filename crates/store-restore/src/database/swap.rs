//! Exchanging the store database for another one by renaming.

use store_backup::sql;
use wa_common::report::Reporter;

use super::look::{Facts, Made, NamedDatabase, Overview, closing, require_name};
use super::server::LOOKING;
use super::{DatabaseServer, ServerError};

/// What an exchange came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// The store database is the one that was there before.
    NotYet,
    /// The store database is the one that was to take its place.
    Done {
        /// The one of before, under the name that it was put aside with; none where there was none any more, or it was
        /// dropped since.
        put_aside: Option<NamedDatabase>,
    },
}

impl DatabaseServer {
    /// Which database has the store's name now. `incoming` is the one that was to get it, as it was called before.
    ///
    /// Both names change in one transaction, so there is no state between. It is an error where `incoming` is neither the
    /// store database nor there under its own name.
    pub async fn judge_swap(
        &self,
        incoming: &NamedDatabase,
        put_aside: &str,
    ) -> Result<Swapped, ServerError> {
        judge(&self.look().await?, &self.store, incoming, put_aside)
    }

    /// Gives `incoming` the store's name; what has it now is put aside under `put_aside`, a name of the run's own, and lets
    /// nobody in. Does nothing where that is done already. `incoming` is whole, as [`make_copy`](Self::make_copy) and
    /// [`restore_set`](crate::safety_set::restore_set) leave one.
    ///
    /// Whoever is connected to either is disconnected. Nothing is lost by it: until somebody drops what was put aside, it
    /// can be exchanged back.
    pub async fn swap_in(
        &self,
        incoming: &NamedDatabase,
        put_aside: &str,
        reporter: &dyn Reporter,
    ) -> Result<Swapped, ServerError> {
        require_name(put_aside)?;
        let swapped = self
            .patiently("exchange", reporter, || self.swap_on(incoming, put_aside))
            .await;
        if swapped.is_err() {
            // The error that is reported is the first one; what comes next lets clients in again, or tells that it cannot.
            let _ = self.let_in(reporter).await;
        }
        swapped
    }

    async fn swap_on(
        &self,
        incoming: &NamedDatabase,
        put_aside: &str,
    ) -> Result<Swapped, ServerError> {
        loop {
            let seen = self.look().await?;
            match judge(&seen, &self.store, incoming, put_aside)? {
                done @ Swapped::Done { .. } => return Ok(done),
                Swapped::NotYet => self.swap_now(&seen, incoming, put_aside).await?,
            }
        }
    }

    async fn swap_now(
        &self,
        seen: &Overview,
        incoming: &NamedDatabase,
        put_aside: &str,
    ) -> Result<(), ServerError> {
        let mut sql = String::new();
        if seen.named(&self.store).is_some() {
            sql.push_str(&closing(&self.store));
        }
        sql.push_str(&closing(&incoming.name));
        sql.push_str(&exchange(&self.store, incoming, put_aside));
        self.change(LOOKING, "exchange the database", &sql).await
    }
}

fn judge(
    seen: &Overview,
    store: &str,
    incoming: &NamedDatabase,
    put_aside: &str,
) -> Result<Swapped, ServerError> {
    let Some(found) = seen.of_oid(incoming.oid) else {
        return Err(ServerError::refused(format!(
            "the database {:?} (number {}), which was to become the store database, is gone",
            incoming.name, incoming.oid
        )));
    };
    if found.name == store {
        return Ok(Swapped::Done {
            put_aside: seen.named(put_aside).map(Facts::named),
        });
    }
    if found.name != incoming.name {
        return Err(ServerError::refused(format!(
            "the database that was to become the store database is called {:?} now, not {:?}: somebody has renamed it",
            found.name, incoming.name
        )));
    }
    if !matches!(seen.judge(&found.name)?, Made::Finished(_)) {
        return Err(ServerError::refused(format!(
            "the database {:?} is not whole, and does not become the store database",
            found.name
        )));
    }
    if seen.named(put_aside).is_some() && seen.named(store).is_some() {
        return Err(ServerError::refused(format!(
            "there is a database {put_aside:?} already, so the store database cannot be put aside under that name"
        )));
    }
    Ok(Swapped::NotYet)
}

/// One transaction. Both databases are looked at again in it: what was seen may have changed.
fn exchange(store: &str, incoming: &NamedDatabase, put_aside: &str) -> String {
    let (store, name, aside) = (
        sql::text(store),
        sql::text(&incoming.name),
        sql::text(put_aside),
    );
    let oid = incoming.oid;
    format!(
        "do $exchange$
declare
  remark text := shobj_description({oid}, 'pg_database');
begin
  if (select datname from pg_database where oid = {oid}) is distinct from {name} then
    raise exception 'database % has another name by now', {name};
  end if;
  if exists (select from pg_database where datname = {store}) then
    execute format('alter database %I rename to %I', {store}, {aside});
  end if;
  execute format('alter database %I rename to %I', {name}, {store});
  execute format('alter database %I allow_connections true', {store});
  execute format('comment on database %I is %L', {store}, nullif(substr(remark, strpos(remark || E'\\n', E'\\n') + 1), ''));
end
$exchange$;
"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STORE: &str = "conversation_pprd_wa";

    fn seen(databases: &[(u32, &str, bool)]) -> Overview {
        let databases: Vec<_> = databases
            .iter()
            .map(|(oid, name, whole)| {
                json!({"oid": oid, "name": name, "owner": "o", "open": false, "limit": -1, "encoding": "UTF8",
                       "comment": whole.then_some("kubectl-wa-restore: whole"), "row": {}})
            })
            .collect();
        serde_json::from_value(json!({"version": 160_000, "databases": databases, "sessions": []}))
            .unwrap()
    }

    fn copy() -> NamedDatabase {
        NamedDatabase {
            oid: 9,
            name: "run-copy".to_owned(),
        }
    }

    #[test]
    fn which_is_which_is_known_by_the_number_and_not_by_the_name() {
        let judge = |databases: &[_]| judge(&seen(databases), STORE, &copy(), "run-old");
        assert_eq!(
            judge(&[(5, STORE, false), (9, "run-copy", true)]).unwrap(),
            Swapped::NotYet
        );
        assert_eq!(
            judge(&[(9, STORE, false), (5, "run-old", false)]).unwrap(),
            Swapped::Done {
                put_aside: Some(NamedDatabase {
                    oid: 5,
                    name: "run-old".to_owned()
                })
            }
        );
        // pgmig may have dropped the database and not have made it again.
        assert_eq!(judge(&[(9, "run-copy", true)]).unwrap(), Swapped::NotYet);
        assert_eq!(
            judge(&[(9, STORE, false)]).unwrap(),
            Swapped::Done { put_aside: None }
        );
    }

    #[test]
    fn what_is_not_the_copy_does_not_become_the_store_database() {
        for (databases, why) in [
            (&[(5, STORE, false), (8, "run-copy", true)][..], "is gone"),
            (&[(5, STORE, false), (9, "other", true)], "renamed it"),
            (&[(5, STORE, false), (9, "run-copy", false)], "not whole"),
            (
                &[
                    (5, STORE, false),
                    (9, "run-copy", true),
                    (4, "run-old", false),
                ],
                "already",
            ),
        ] {
            let error = judge(&seen(databases), STORE, &copy(), "run-old").unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
