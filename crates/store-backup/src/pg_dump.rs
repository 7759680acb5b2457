//! `pg_dump` in a pod: its command line, its versions, and the sink that stores and verifies what it writes.

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context as _, bail};
use backup_set::{Verdict, Verifier};
use kube_transfer::{RemoteCommand, Secret, Sink};
use wa_common::assistant::Datastore;
use wa_common::report::bytes;

/// The command that writes the dump to standard output. Everything about the connection is in the environment.
pub(crate) fn pg_dump_command(
    datastore: &Datastore,
    compress: &str,
) -> anyhow::Result<RemoteCommand> {
    // Before PostgreSQL 16 pg_dump takes only a level, which later ones still do.
    let level = if compress == "none" { "0" } else { compress };
    let command = RemoteCommand::new("pg_dump")
        .args(["--format=custom", "--no-password"])
        .arg(format!("--compress={level}"));
    with_environment(command, datastore)
}

/// Asks for the size of the database on the server's disk, in bytes.
pub(crate) const DATABASE_SIZE: &str = "select pg_database_size(current_database())";

/// The command that prints the version of `pg_dump`.
pub(crate) fn client_version_command() -> RemoteCommand {
    RemoteCommand::new("pg_dump").arg("--version")
}

/// The command that prints the version of the server and the size of the database, a line each.
pub(crate) fn server_version_command(datastore: &Datastore) -> anyhow::Result<RemoteCommand> {
    psql_command(datastore, &["show server_version", DATABASE_SIZE])
}

/// The command that prints the results of `statements`, a line for each row, in one session.
pub fn psql_command(datastore: &Datastore, statements: &[&str]) -> anyhow::Result<RemoteCommand> {
    let command = RemoteCommand::new("psql")
        .args([
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--no-align",
            "--tuples-only",
        ])
        .args(statements.iter().map(|sql| format!("--command={sql}")));
    with_environment(command, datastore)
}

fn with_environment(
    command: RemoteCommand,
    datastore: &Datastore,
) -> anyhow::Result<RemoteCommand> {
    // Messages in English, whatever the image's locale: users search the web for them.
    let command = command.env("LC_ALL", Secret::new("C")?)?;
    let environment = datastore
        .environment()
        .context("cannot hand the database's address to the pod")?;
    let command = environment
        .into_iter()
        .try_fold(command, |command, (name, value)| command.env(name, value))?;
    Ok(command)
}

/// What PostgreSQL says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// `pg_dump`'s version, such as `15.18`.
    pub pg_dump: String,
    /// The server's.
    pub server: String,
    /// The size of the database on the server's disk, in bytes.
    pub database_bytes: u64,
}

impl Versions {
    /// Reads what [`client_version_command`] and [`server_version_command`] print.
    pub(crate) fn parse(client: &str, server: &str) -> anyhow::Result<Self> {
        let lines: Vec<&str> = server.lines().collect();
        let [server, size] = lines[..] else {
            bail!("expected two lines from psql, got {}", lines.len());
        };
        // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "pg_dump (EnterpriseDB) 16.2.0"
        let version = client
            .split_whitespace()
            .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        Ok(Self {
            pg_dump: version
                .context("pg_dump did not print a version")?
                .to_owned(),
            server: server
                .split_whitespace()
                .next()
                .context("the server has no version")?
                .to_owned(),
            database_bytes: size
                .trim()
                .parse()
                .context("the database's size is not a number")?,
        })
    }

    /// pg_dump's own rule, applied before it is started.
    pub(crate) fn require_compatible(&self) -> anyhow::Result<()> {
        let (Some(client), Some(server)) = (major(&self.pg_dump), major(&self.server)) else {
            return Ok(());
        };
        if server > client {
            bail!(
                "pg_dump {} in the pod cannot dump a PostgreSQL {} server (server version mismatch): wait until all PostgreSQL pods run the newer image",
                self.pg_dump,
                self.server
            );
        }
        Ok(())
    }

    /// Refuses a compression that this `pg_dump` does not have.
    pub(crate) fn require_compression(&self, method: &str) -> anyhow::Result<()> {
        let only_levels = major(&self.pg_dump).is_some_and(|major| major < 16);
        if only_levels && method != "none" && method.parse::<u8>().is_err() {
            bail!(
                "pg_dump {} in the pod does not know --compress {method}: give none or a level from 0 to 9",
                self.pg_dump
            );
        }
        Ok(())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pg_dump {}, server {}, database {}",
            self.pg_dump,
            self.server,
            bytes(self.database_bytes)
        )
    }
}

fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Writes the dump and verifies it while it arrives, in one pass.
pub(crate) struct DumpSink<W> {
    out: W,
    verifier: Option<Verifier>,
}

/// A dump that has arrived whole.
pub(crate) struct Received<W> {
    /// Where it was written.
    pub(crate) out: W,
    /// The verdict on it; `None` where that was declined.
    pub(crate) verdict: Option<Verdict>,
}

impl<W: Write> DumpSink<W> {
    /// A sink that writes to `out`.
    pub(crate) fn new(out: W, verify: bool) -> io::Result<Self> {
        let verifier = verify.then(Verifier::start).transpose()?;
        Ok(Self { out, verifier })
    }
}

impl<W: Write + Send + 'static> Sink for DumpSink<W> {
    type Finished = Received<W>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.out.write_all(data)?;
        if let Some(verifier) = &mut self.verifier {
            verifier.feed(data);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Received<W>> {
        self.out.flush()?;
        Ok(Received {
            out: self.out,
            verdict: self.verifier.map(Verifier::finish).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_distributions_print() {
        for (line, version) in [
            (
                "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                "15.18",
            ),
            ("pg_dump (PostgreSQL) 12.11", "12.11"),
            ("pg_dump (EnterpriseDB) 16.2.0", "16.2.0"),
            ("pg_dump (PostgreSQL) 17beta1", "17beta1"),
        ] {
            let versions =
                Versions::parse(&format!("{line}\n"), "16.4 (Debian)\n1048576\n").unwrap();
            assert_eq!(
                (versions.pg_dump.as_str(), versions.server.as_str()),
                (version, "16.4")
            );
            assert_eq!(versions.database_bytes, 1_048_576);
        }
        assert!(Versions::parse("pg_dump (PostgreSQL) 15.18\n", "").is_err());
    }

    #[test]
    fn a_server_newer_than_pg_dump_is_refused_before_the_dump() {
        let versions = |pg_dump: &str, server: &str| Versions {
            pg_dump: pg_dump.to_owned(),
            server: server.to_owned(),
            database_bytes: 0,
        };
        assert!(versions("15.18", "16.1").require_compatible().is_err());
        assert!(versions("16.1", "15.18").require_compatible().is_ok());
        assert!(versions("15.2", "15.18").require_compatible().is_ok());
    }

    #[test]
    fn compression_methods_need_a_pg_dump_that_has_them() {
        let versions = |pg_dump: &str| Versions {
            pg_dump: pg_dump.to_owned(),
            server: String::new(),
            database_bytes: 0,
        };
        assert!(versions("15.18").require_compression("zstd").is_err());
        assert!(versions("15.18").require_compression("none").is_ok());
        assert!(versions("15.18").require_compression("9").is_ok());
        assert!(versions("16.2").require_compression("zstd:3").is_ok());
    }

    #[test]
    fn a_stream_that_is_no_archive_is_written_but_not_verified() {
        let mut sink = DumpSink::new(Vec::new(), true).unwrap();
        sink.write(b"plain text, not an archive").unwrap();
        let received = sink.finish().unwrap();
        assert_eq!(received.out, b"plain text, not an archive");
        assert!(matches!(received.verdict, Some(Verdict::Failed(_))));
    }
}
