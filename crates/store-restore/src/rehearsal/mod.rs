//! A rehearsal: a set is restored into a PostgreSQL of its own, which touches nothing of the product, and its rows are
//! compared with what the archive holds.
//!
//! | module | where |
//! |---|---|
//! | [`in_pod`] | in a pod with the image of the database's pods, beside them; recorded before it is made, and removed |
//! | [`on_this_machine`] | with the PostgreSQL programs of this machine |

mod change;
mod cluster;
mod local;
mod server;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use backup_set::{Rehearsal, RehearsalPlace, ToolRecord};
use store_backup::rows::{COUNT_ROWS, parse_rows};
use wa_common::cluster::Cluster;
use wa_common::report::{Reporter, printable_lines};
use wa_common::run::ExitHooks;

use crate::comparison::{COUNT_LARGE_OBJECTS, Comparison};
use crate::pg_restore::{require_reads, version_in};
use crate::source::Source;

pub use change::{RUNS, RehearsalChange};
pub use cluster::{Place, clean_up, in_pod, look};
pub use local::{on_this_machine, programs};

/// Who rehearses: where, and where that is reported.
#[derive(Clone)]
pub struct InPod {
    /// The cluster and the operands' namespace.
    pub cluster: Cluster,
    /// Where the steps are reported.
    pub reporter: Arc<dyn Reporter>,
    /// What is done when the command has ended.
    pub exit_hooks: ExitHooks,
    /// How long the pod may take to start.
    pub timeout: Duration,
}

/// The database that a set is restored into.
const DATABASE: &str = "rehearsal";
/// How much of pg_restore's words is kept.
const TOLD_BYTES: usize = 2000;
/// What pg_restore says of an archive that it is too old for, which is not the archive's fault.
const TOO_OLD: &str = "unsupported version";
/// How PostgreSQL is set up: for one restore, of which nothing is kept, and reached by its socket alone.
const SETTINGS: [&str; 11] = [
    "listen_addresses=",
    "max_connections=20",
    "shared_buffers=64MB",
    "maintenance_work_mem=128MB",
    "dynamic_shared_memory_type=mmap",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
];
/// How the files of the server are made.
const INITDB: [&str; 5] = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
];
/// How pg_restore restores: all of it, but who owns what, since none of the owners is there.
const PG_RESTORE: [&str; 6] = [
    "--format=custom",
    "--exit-on-error",
    "--no-owner",
    "--no-privileges",
    "--username=postgres",
    "--dbname=rehearsal",
];

/// How pg_restore has ended.
struct Restored {
    code: i32,
    /// The end of what it has said.
    said: Vec<u8>,
    milliseconds: u64,
}

/// A PostgreSQL of its own.
trait Server {
    /// Runs statements, and returns the rows.
    async fn ask(&self, database: &str, sql: &str) -> anyhow::Result<String>;

    /// Has pg_restore restore the dump.
    async fn restore(&self) -> anyhow::Result<Restored>;
}

/// An error where the `pg_restore` that has printed its version does not read the dump.
fn require_version(printed: &str, place: &str, source: &Source) -> anyhow::Result<()> {
    let version = version_in(printed)
        .with_context(|| format!("pg_restore of {place} did not print a version"))?;
    let header = &source.intact.verified.contents.header;
    let instead = "rehearse with --local=DIR and the programs of a newer PostgreSQL";
    Ok(require_reads(&version, place, header, instead)?)
}

/// Restores the dump into the server, which is ready, and compares.
async fn rehearse(
    server: &impl Server,
    source: &Source,
    place: RehearsalPlace,
    tool: ToolRecord,
) -> anyhow::Result<Rehearsal> {
    let mut rehearsal = Rehearsal::new(tool, &source.intact.sha256, place);
    let version = server.ask("postgres", "show server_version;").await?;
    rehearsal.postgres = version
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    server
        .ask(
            "postgres",
            &format!("create database {DATABASE} template template0;"),
        )
        .await?;
    let restored = server.restore().await?;
    rehearsal.restore_milliseconds = restored.milliseconds;
    let verified = &source.intact.verified;
    rehearsal.instances = verified.live_instances().map(|live| live as u64);
    if restored.code != 0 {
        let said = printable_lines(String::from_utf8_lossy(&restored.said).trim());
        if said.contains(TOO_OLD) {
            bail!(
                "the pg_restore of PostgreSQL {} cannot read this archive, so nothing is said about it: {said}",
                rehearsal.postgres
            );
        }
        let problem = format!("pg_restore failed with exit code {}: {said}", restored.code);
        rehearsal.problems.push(problem);
        return Ok(rehearsal);
    }
    let rows = server.ask(DATABASE, COUNT_ROWS).await?;
    let rows = parse_rows(&rows).context("cannot compare the rows")?;
    let mut comparison = Comparison::of_rows(&verified.contents.tables, &rows);
    let printed = server.ask(DATABASE, COUNT_LARGE_OBJECTS).await?;
    let held = &verified.contents.large_objects;
    rehearsal.large_objects = comparison.large_objects(held, &printed)?;
    rehearsal.tables = comparison.tables;
    rehearsal.rows = comparison.rows;
    rehearsal.problems = comparison.into_differences();
    Ok(rehearsal)
}

/// Keeps the end of what was said.
fn keep_end(said: &mut Vec<u8>, more: &[u8]) {
    said.extend_from_slice(more);
    let surplus = said.len().saturating_sub(TOLD_BYTES);
    said.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::source::Opener;

    /// A server that answers as it is told to.
    struct Told {
        code: i32,
        said: &'static str,
        rows: &'static str,
        large_objects: &'static str,
        asked: RefCell<Vec<String>>,
    }

    impl Server for Told {
        async fn ask(&self, database: &str, sql: &str) -> anyhow::Result<String> {
            self.asked.borrow_mut().push(format!("{database}: {sql}"));
            Ok(match sql {
                COUNT_ROWS => self.rows.to_owned(),
                COUNT_LARGE_OBJECTS => self.large_objects.to_owned(),
                _ => "16.4 (Debian 16.4-1)\n".to_owned(),
            })
        }

        async fn restore(&self) -> anyhow::Result<Restored> {
            Ok(Restored {
                code: self.code,
                said: self.said.as_bytes().to_vec(),
                milliseconds: 1500,
            })
        }
    }

    fn rehearsed(code: i32, said: &'static str, rows: &'static str) -> anyhow::Result<Rehearsal> {
        rehearsed_with(code, said, rows, "[0, 0]")
    }

    fn rehearsed_with(
        code: i32,
        said: &'static str,
        rows: &'static str,
        large_objects: &'static str,
    ) -> anyhow::Result<Rehearsal> {
        let dump = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../pg-archive/tests/fixtures/pg17-zstd.dump"
        );
        let source = Source::read(&Opener::local(), std::path::Path::new(dump)).unwrap();
        let told = Told {
            code,
            said,
            rows,
            large_objects,
            asked: RefCell::default(),
        };
        let tool = ToolRecord {
            name: "test".to_owned(),
            version: "0".to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(rehearse(&told, &source, RehearsalPlace::Local, tool))
    }

    #[test]
    fn a_restore_that_fails_or_loses_rows_is_reported_and_another_version_is_no_verdict() {
        let failed = rehearsed(1, "pg_restore: error: \u{1b}[2Jno role\n", "").unwrap();
        assert_eq!(
            failed.problems,
            ["pg_restore failed with exit code 1: pg_restore: error: \\u{1b}[2Jno role"]
        );
        assert_eq!(
            (failed.postgres.as_str(), failed.restore_milliseconds),
            ("16.4", 1500)
        );
        let lost = rehearsed(0, "", "[\"public\", \"tenant\", 1]").unwrap();
        assert!(
            !lost.succeeded() && lost.problems.iter().any(|one| one.contains("tenant")),
            "{lost:?}"
        );
        let old = rehearsed(
            1,
            "pg_restore: error: unsupported version (1.16) in file header",
            "",
        );
        assert!(
            old.unwrap_err()
                .to_string()
                .contains("nothing is said about it")
        );
    }

    #[test]
    fn large_objects_that_are_lost_or_cut_are_reported() {
        let held = |large_objects| {
            let rehearsal = rehearsed_with(0, "", "", large_objects).unwrap();
            let mut problems = rehearsal.problems.into_iter();
            problems.find(|one| one.contains("large object"))
        };
        let whole = "[3, 504]";
        assert_eq!(held(whole), None);
        for other in ["[0, 0]", "[3, 1]"] {
            assert!(held(other).unwrap().contains("and the dump"), "{other}");
        }
    }

    #[test]
    fn only_the_end_of_what_is_said_is_kept() {
        let mut said = Vec::new();
        keep_end(&mut said, &[b'a'; TOLD_BYTES]);
        keep_end(&mut said, b"end");
        assert_eq!(said.len(), TOLD_BYTES);
        assert!(said.ends_with(b"aend"));
    }
}
