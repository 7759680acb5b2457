//! What there is in the server: a look at all databases, by which it is judged what became of a change.

use serde::{Deserialize, Serialize};
use store_backup::sql;

use super::{DatabaseServer, ServerError};

/// The first line of the comment of a database that a restore has made, and that is whole.
pub(super) const WHOLE: &str = "kubectl-wa-restore: whole";
/// PostgreSQL cuts longer names off, so that two could be one.
const LONGEST_NAME_BYTES: usize = 63;
/// The connection limit of a database whose DROP was interrupted.
const INVALID: i32 = -2;
/// The connection limit that lets only superusers in.
pub(super) const SUPERUSERS_ONLY: i32 = 0;

/// A database, by the number that it keeps when it is renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedDatabase {
    /// Its number.
    pub oid: u32,
    /// Its name at the time.
    pub name: String,
}

/// What became of the making of a database under a name of the run's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// There is none, and nobody is about to make it.
    Absent,
    /// A session in the server is at it, perhaps one whose connection was cut.
    BeingMade,
    /// It was begun and is not whole.
    HalfMade,
    /// It is whole.
    Finished(NamedDatabase),
}

/// What the server tells of one database.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Facts {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) open: bool,
    pub(super) limit: i32,
    pub(super) comment: Option<String>,
    pub(super) encoding: String,
    /// The row of `pg_database`, whose columns differ between versions.
    pub(super) row: serde_json::Map<String, serde_json::Value>,
}

impl Facts {
    pub(super) fn named(&self) -> NamedDatabase {
        NamedDatabase {
            oid: self.oid,
            name: self.name.clone(),
        }
    }

    /// Whether a restore has made it, and has finished.
    pub(super) fn is_whole(&self) -> bool {
        let comment = self.comment.as_deref().unwrap_or_default();
        comment.lines().next() == Some(WHOLE)
    }

    /// The version of the collation that it was made with, which PostgreSQL keeps from 15 on, where there is one.
    pub(super) fn collation_version(&self) -> Option<&str> {
        self.row.get("datcollversion")?.as_str()
    }

    pub(super) fn is_invalid(&self) -> bool {
        self.limit == INVALID
    }
}

/// A look at all of it.
#[derive(Debug, Deserialize)]
pub(super) struct Overview {
    /// As `server_version_num`.
    pub(super) version: u32,
    pub(super) databases: Vec<Facts>,
    /// What the sessions of clients are called.
    pub(super) sessions: Vec<String>,
}

impl Overview {
    pub(super) fn named(&self, name: &str) -> Option<&Facts> {
        self.databases.iter().find(|one| one.name == name)
    }

    pub(super) fn of_oid(&self, oid: u32) -> Option<&Facts> {
        self.databases.iter().find(|one| one.oid == oid)
    }

    /// What became of the database that a run makes under `name`. Its sessions are called so too.
    pub(super) fn judge(&self, name: &str) -> Result<Made, ServerError> {
        if self.sessions.iter().any(|session| session == name) {
            return Ok(Made::BeingMade);
        }
        match self.named(name) {
            None => Ok(Made::Absent),
            Some(found) if found.is_invalid() => Ok(Made::HalfMade),
            Some(found) if found.is_whole() => Ok(Made::Finished(found.named())),
            // So it is from the moment at which it is there.
            Some(found) if !found.open || found.limit == SUPERUSERS_ONLY => Ok(Made::HalfMade),
            Some(_) => Err(ServerError::refused(format!(
                "there is a database {name:?} that no restore has made: look at it, and drop or rename it"
            ))),
        }
    }
}

impl DatabaseServer {
    /// What became of the database that was to be made under `name`, by [`make_copy`](Self::make_copy) or
    /// [`restore_set`](crate::safety_set::restore_set).
    pub async fn judge(&self, name: &str) -> Result<Made, ServerError> {
        require_name(name)?;
        self.look().await?.judge(name)
    }

    pub(super) async fn look(&self) -> Result<Overview, ServerError> {
        const LOOK: &str = "select json_build_object(
            'version', current_setting('server_version_num')::int,
            'databases', (select json_agg(json_build_object(
                'oid', d.oid::bigint, 'name', d.datname, 'owner', pg_get_userbyid(d.datdba), 'open', d.datallowconn,
                'limit', d.datconnlimit, 'comment', shobj_description(d.oid, 'pg_database'),
                'encoding', pg_encoding_to_char(d.encoding), 'row', to_jsonb(d))) from pg_database d),
            'sessions', (select json_agg(coalesce(application_name, '')) from pg_stat_activity
                where usename is not null))";
        let (pod, answer) = self.read_overview("look at the databases", LOOK).await?;
        serde_json::from_slice(&answer.stdout).map_err(|source| ServerError::Unreadable {
            pod: pod.name,
            source,
        })
    }
}

/// An error where PostgreSQL would cut the name off, or it would be somebody else's.
pub(super) fn require_name(name: &str) -> Result<(), ServerError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.len() <= LONGEST_NAME_BYTES && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(ServerError::refused(format!(
        "{name:?} cannot be the name of a database that a restore makes: use up to {LONGEST_NAME_BYTES} letters, digits, hyphens and underscores"
    )))
}

/// Statements that let nobody into a database any more, and end the sessions in it. What is prepared to be committed stays
/// in the way, and is told by the statement that follows.
pub(super) fn closing(database: &str) -> String {
    format!(
        "alter database {} allow_connections false;\n\
         select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and pid <> pg_backend_pid();\n",
        sql::name(database),
        sql::text(database)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn overview(databases: &serde_json::Value, sessions: &[&str]) -> Overview {
        serde_json::from_value(
            json!({"version": 150_004, "databases": databases, "sessions": sessions}),
        )
        .unwrap()
    }

    fn database(name: &str, open: bool, limit: i32, comment: Option<&str>) -> serde_json::Value {
        json!({"oid": 7, "name": name, "owner": "o", "open": open, "limit": limit, "comment": comment,
               "encoding": "UTF8", "row": {}})
    }

    #[test]
    fn what_became_of_a_database_is_known_by_its_mark_and_by_who_is_at_it() {
        let judge = |database: serde_json::Value, sessions: &[&str]| {
            overview(&json!([database]), sessions).judge("run-copy")
        };
        let whole = database(
            "run-copy",
            false,
            -1,
            Some("kubectl-wa-restore: whole\nits own"),
        );
        assert_eq!(
            judge(whole.clone(), &["psql"]).unwrap(),
            Made::Finished(NamedDatabase {
                oid: 7,
                name: "run-copy".to_owned()
            })
        );
        assert_eq!(judge(whole, &["run-copy"]).unwrap(), Made::BeingMade);
        let other = database("other", true, -1, None);
        assert_eq!(judge(other.clone(), &[]).unwrap(), Made::Absent);
        assert_eq!(judge(other, &["run-copy"]).unwrap(), Made::BeingMade);
        for (open, limit) in [(false, -1), (true, 0), (true, -2)] {
            let half = database("run-copy", open, limit, None);
            assert_eq!(judge(half, &[]).unwrap(), Made::HalfMade, "{open} {limit}");
        }
    }

    #[test]
    fn a_database_of_somebody_else_is_not_taken_for_ours() {
        for comment in [None, Some("kubectl-wa-restore: wholesale")] {
            let foreign = json!([database("run-copy", true, -1, comment)]);
            let error = overview(&foreign, &[]).judge("run-copy").unwrap_err();
            assert!(error.to_string().contains("no restore has made"), "{error}");
        }
    }

    #[test]
    fn a_name_that_postgresql_would_cut_off_is_refused() {
        assert!(require_name(&"x".repeat(63)).is_ok());
        for name in ["", &"x".repeat(64), "a\"b", "a b"] {
            assert!(require_name(name).is_err(), "{name}");
        }
    }
}
