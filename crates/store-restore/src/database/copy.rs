//! A copy of the store database inside its server: the way back that needs no laptop.

use std::time::Duration;

use kube_transfer::RemoteCommand;
use store_backup::sql;
use wa_common::report::Reporter;

use super::look::{Facts, Made, NamedDatabase, Overview, WHOLE, closing, require_name};
use super::server::{LOOKING, failed};
use super::{DatabaseServer, ServerError};

/// How often a session whose connection was cut is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A full disk stops the server: what is left beside the databases, as a share of the larger one and at least. The log of
/// changes grows meanwhile.
const SPARE_SHARE: u64 = 4;
const SPARE_BYTES: u64 = 256 << 20;
/// What a table takes in the server is this many halves of what its rows take in a dump: indexes, and the head of each row.
const GROWTH_HALVES: u64 = 3;

/// The room for a copy on the disk that holds the database's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The size of the database.
    pub database_bytes: u64,
    /// What must be free: for a copy, for what is restored while the old rows are still there, and a reserve.
    pub needed_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
}

impl Room {
    /// What a copy of a database needs into which tables are restored that have so many bytes in a dump.
    fn new(database_bytes: u64, dump_bytes: u64, free_bytes: u64) -> Self {
        let restored = (dump_bytes / 2).saturating_mul(GROWTH_HALVES);
        let spare = (database_bytes.max(restored) / SPARE_SHARE).max(SPARE_BYTES);
        let needed = database_bytes.saturating_add(restored);
        Self {
            database_bytes,
            needed_bytes: needed.saturating_add(spare),
            free_bytes,
        }
    }

    /// Whether there is enough.
    pub fn suffices(&self) -> bool {
        self.free_bytes >= self.needed_bytes
    }
}

impl DatabaseServer {
    /// The room for a copy of the store database on the primary's disk, before tables are restored that have so many bytes
    /// in a dump.
    pub async fn room_for_copy(&self, dump_bytes: u64) -> Result<Room, ServerError> {
        const ACTION: &str = "ask for the size of the database";
        let ask = format!(
            "select json_build_array(pg_database_size(oid), coalesce(nullif(pg_tablespace_location(dattablespace), ''), current_setting('data_directory'))) from pg_database where datname = {}",
            sql::text(&self.store)
        );
        let (pod, answer) = self.read_overview(ACTION, &ask).await?;
        let (database_bytes, directory): (u64, String) = serde_json::from_slice(&answer.stdout)
            .map_err(|source| ServerError::Unreadable {
                pod: pod.name.clone(),
                source,
            })?;
        let df = RemoteCommand::new("df").args(["-Pk", "--", &directory]);
        let printed = self.cluster.run_idempotent(&pod.container(), &df).await;
        let printed =
            printed.map_err(|source| failed(&pod, "look at the server's disk", source))?;
        let free_bytes = free_in(&String::from_utf8_lossy(&printed.stdout)).ok_or_else(|| {
            ServerError::refused(format!(
                "cannot read what df tells of {directory} in pod {}",
                pod.name
            ))
        })?;
        Ok(Room::new(database_bytes, dump_bytes, free_bytes))
    }

    /// Copies the store database to `name`, which is the run's own. The copy has its owner, encoding, privileges, settings
    /// and connection limit, and lets nobody in.
    ///
    /// Whoever is connected to the store database is disconnected, and nobody gets in until the copy is there; it is
    /// open again when this returns, with an error too unless that says otherwise.
    ///
    /// A copy that is there is returned as it is, which is right only as long as nobody has written to the store
    /// database since: drop it where the product has run meanwhile.
    pub async fn make_copy(
        &self,
        name: &str,
        reporter: &dyn Reporter,
    ) -> Result<NamedDatabase, ServerError> {
        require_name(name)?;
        let made = self
            .patiently("copy", reporter, || self.copy_on(name))
            .await;
        let opened = self.let_in(reporter).await;
        match (made, opened) {
            (Ok(copy), Ok(())) => Ok(copy),
            (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
            (Err(error), Err(closed)) => Err(ServerError::refused(format!(
                "{}; and the database {:?} still lets nobody in: {}",
                wa_common::report::causes_text(&error),
                self.store,
                wa_common::report::causes_text(&closed)
            ))),
        }
    }

    /// One attempt, which goes on with what others have begun.
    async fn copy_on(&self, name: &str) -> Result<NamedDatabase, ServerError> {
        loop {
            let seen = self.look().await?;
            match seen.judge(name)? {
                Made::Finished(copy) => return Ok(copy),
                Made::BeingMade => tokio::time::sleep(LOOK_EVERY).await,
                Made::Absent => self.copy_files(name, &seen).await?,
                Made::HalfMade => self.finish_copy(name, &seen).await?,
            }
        }
    }

    async fn copy_files(&self, name: &str, seen: &Overview) -> Result<(), ServerError> {
        let store = self.store_in(seen)?;
        // The other way, which PostgreSQL has from 15 on, writes all of it to the log of changes as well.
        let strategy = if seen.version >= 150_000 {
            " strategy file_copy"
        } else {
            ""
        };
        // Named, it is not compared with that of the image: one that was renewed since would forbid the copy.
        let collation = store
            .collation_version()
            .map_or_else(String::new, |version| {
                format!(" collation_version {}", sql::text(version))
            });
        let copy = format!(
            "{}create database {} template {} owner {} allow_connections false{strategy}{collation};\n",
            closing(&self.store),
            sql::name(name),
            sql::name(&self.store),
            sql::name(&store.owner)
        );
        self.change(name, "copy the database", &copy).await
    }

    async fn finish_copy(&self, name: &str, seen: &Overview) -> Result<(), ServerError> {
        if seen.named(name).is_some_and(Facts::is_invalid) {
            return self.drop_now(name).await;
        }
        let store = self.store_in(seen)?;
        let finish = finish(name, Some(store.oid));
        self.change(name, "finish the copy of the database", &finish)
            .await
    }

    pub(super) fn store_in<'o>(&self, seen: &'o Overview) -> Result<&'o Facts, ServerError> {
        seen.named(&self.store).ok_or_else(|| {
            ServerError::refused(format!("the server has no database {:?}", self.store))
        })
    }

    /// Lets clients into the store database again, where an attempt that was cut has left it closed.
    pub async fn let_in(&self, reporter: &dyn Reporter) -> Result<(), ServerError> {
        self.patiently("open", reporter, || self.let_in_now()).await
    }

    async fn let_in_now(&self) -> Result<(), ServerError> {
        let seen = self.look().await?;
        if self.store_in(&seen)?.open {
            return Ok(());
        }
        let open = format!(
            "alter database {} allow_connections true;\n",
            sql::name(&self.store)
        );
        self.change(LOOKING, "let clients into the database", &open)
            .await
    }

    /// Drops a database that a restore has made or put aside, when nobody is at it any more. Does nothing where there is
    /// none. Never the store database, nor one that was not made or put aside by a restore.
    pub async fn drop_database(
        &self,
        name: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), ServerError> {
        require_name(name)?;
        if name == self.store {
            return Err(ServerError::refused(format!(
                "{name:?} is the store database, which is not dropped"
            )));
        }
        self.patiently("drop", reporter, || self.drop_when_left(name))
            .await
    }

    async fn drop_when_left(&self, name: &str) -> Result<(), ServerError> {
        loop {
            match self.look().await?.judge(name)? {
                Made::Absent => return Ok(()),
                Made::BeingMade => tokio::time::sleep(LOOK_EVERY).await,
                Made::HalfMade | Made::Finished(_) => self.drop_now(name).await?,
            }
        }
    }

    pub(crate) async fn drop_now(&self, name: &str) -> Result<(), ServerError> {
        let drop = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and pid <> pg_backend_pid();\n\
             drop database if exists {};\n",
            sql::text(name),
            sql::name(name)
        );
        self.change(name, "drop a database of the restore", &drop)
            .await
    }
}

/// One transaction that gives `database` what a copy of files does not bring, out of the database `model`: its owner,
/// privileges, settings, connection limit; at last the mark that it is whole. Nobody is let in before it is exchanged.
pub(super) fn finish(database: &str, model: Option<u32>) -> String {
    let model = model.map_or_else(|| "null".to_owned(), |oid| oid.to_string());
    let (made, mark) = (sql::text(database), sql::text(WHOLE));
    // PostgreSQL keeps lists of names as text, in which each is quoted where it must be; they are taken apart again as
    // pg_dumpall does.
    format!(
        r#"do $finish$
declare
  model constant oid := {model};
  made constant text := {made};
  it record;
  wanted text;
begin
  for it in
    select setrole, left(setting, strpos(setting, '=') - 1) as name, substr(setting, strpos(setting, '=') + 1) as value
    from pg_db_role_setting, unnest(setconfig) as setting where setdatabase = model
  loop
    wanted := quote_literal(it.value);
    if lower(it.name) in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') then
      select coalesce(string_agg(quote_literal(coalesce(replace(part[1], '""', '"'), part[2])), ', '), '''''')
      into wanted from regexp_matches(it.value, '"((?:[^"]|"")*)"|([^", ]+)', 'g') as part;
    end if;
    if it.setrole = 0 then
      execute format('alter database %I set %I to %s', made, it.name, wanted);
    else
      execute format('alter role %I in database %I set %I to %s', pg_get_userbyid(it.setrole), made, it.name, wanted);
    end if;
  end loop;
  select datdba, datacl, datconnlimit, shobj_description(oid, 'pg_database') as remark
  into it from pg_database where oid = model;
  if found then
    execute format('alter database %I owner to %I', made, pg_get_userbyid(it.datdba));
    execute format('alter database %I connection limit %s', made, it.datconnlimit);
  else
    execute format('alter database %I connection limit -1', made);
  end if;
  execute format('alter database %I allow_connections false', made);
  execute format('comment on database %I is %L', made, concat_ws(E'\n', {mark}, it.remark));
  if it.datacl is not null then
    execute format('revoke all on database %I from public, %I', made, pg_get_userbyid(it.datdba));
    for it in select grantee, privilege_type, is_grantable from aclexplode(it.datacl) loop
      execute format('grant %s on database %I to %s%s', it.privilege_type, made,
        case it.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(it.grantee)) end,
        case when it.is_grantable then ' with grant option' else '' end);
    end loop;
  end if;
end
$finish$;
"#
    )
}

/// The available bytes in what `df -Pk` prints.
fn free_in(printed: &str) -> Option<u64> {
    let line = printed.lines().last()?;
    let kilobytes: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_must_leave_room_for_what_is_written_meanwhile() {
        // 8 GiB copied, 4 GiB of rows that become 6, and a quarter of the larger one.
        let needed = (8 + 6 + 2) << 30;
        let room = |free_bytes| Room::new(8 << 30, 4 << 30, free_bytes);
        assert!(room(needed).suffices());
        assert!(!room(needed - 1).suffices());
        // Into a small database, what is restored counts.
        assert_eq!(Room::new(0, 8 << 30, 0).needed_bytes, (12 + 3) << 30);
        let printed = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sdb 100 40 60 40% /data\n";
        assert_eq!(free_in(printed), Some(60 * 1024));
        assert_eq!(free_in("df: /x: No such file or directory\n"), None);
    }
}
