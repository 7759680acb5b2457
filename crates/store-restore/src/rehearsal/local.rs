//! A rehearsal with the PostgreSQL programs of this machine.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use backup_set::{Rehearsal, RehearsalPlace, ToolRecord};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::spawn_blocking;
use wa_common::report::{Event, Reporter, printable_lines};

use super::{INITDB, PG_RESTORE, Restored, SETTINGS, Server, keep_end, rehearse, require_version};
use crate::source::{OpenedBackup, Source};

/// Serves until the end of its standard input, and then removes everything: so also when this process is killed. A signal
/// of the terminal is for this process, which closes the input when it ends.
const SERVE: &str = r#"trap '' INT HUP
umask 077
directory=$1 programs=$2 initdb=$3 settings=$4
serve() {
    "$programs/initdb" --pgdata="$directory/data" $initdb || exit
    exec "$programs/postgres" -D "$directory/data" -c unix_socket_directories="$directory" $settings
}
serve >"$directory/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -INT $server 2>/dev/null
wait $server
rm -rf -- "$directory""#;
/// How long a server without data takes to start on a slow machine.
const START_LIMIT: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much of a dump pg_restore is fed at once.
const FED_BYTES: usize = 256 << 10;
/// psql's exit code when no server is there yet.
const NOT_CONNECTED: i32 = 2;
/// What must be there.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_restore", "psql"];
/// Where Debian has each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The directory of PostgreSQL's programs: `given`, else that of the newest version of this machine.
pub fn programs(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let is_complete = |directory: &Path| PROGRAMS.iter().all(|name| directory.join(name).is_file());
    if let Some(directory) = given {
        ensure!(
            is_complete(directory),
            "{} does not have all of PostgreSQL's programs {}",
            directory.display(),
            PROGRAMS.join(", ")
        );
        return Ok(std::path::absolute(directory)?);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|directory| is_complete(directory));
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let major: u32 = entry.file_name().to_str()?.parse().ok()?;
            let directory = entry.path().join("bin");
            is_complete(&directory).then_some((major, directory))
        })
        .max();
    on_path.or(newest.map(|(_, directory)| directory)).with_context(|| {
        format!(
            "this machine has no PostgreSQL server (looked for {} on PATH and in {DEBIAN}): install one, name its directory with --local=DIR, or leave --local out",
            PROGRAMS.join(", ")
        )
    })
}

/// Restores the set into a server that runs only for it, in a directory that is removed.
pub async fn on_this_machine(
    programs: &Path,
    source: &Source,
    tool: ToolRecord,
    reporter: &dyn Reporter,
) -> anyhow::Result<Rehearsal> {
    ensure!(
        !is_root(),
        "PostgreSQL does not run as root: rehearse as another user, or leave --local out"
    );
    let printed = Command::new(programs.join("pg_restore"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run pg_restore")?;
    let place = programs.display().to_string();
    require_version(&String::from_utf8_lossy(&printed.stdout), &place, source)?;
    let server = LocalServer::start(programs, source).await?;
    reporter.report(&Event::Step {
        step: "pg_restore",
        detail: format!(
            "restores into a PostgreSQL of its own in {}",
            server.directory.display()
        ),
    });
    let rehearsed = rehearse(&server, source, RehearsalPlace::Local, tool).await;
    server.stop().await?;
    rehearsed
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct LocalServer {
    /// The shell that ends the server and removes the directory.
    keeper: Child,
    directory: PathBuf,
    programs: PathBuf,
    /// Where pg_restore reads the dump itself; else it is fed.
    dump: Option<PathBuf>,
    opened: OpenedBackup,
}

impl LocalServer {
    async fn start(programs: &Path, source: &Source) -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("wa-rehearse-").context("cannot make a directory")?;
        let settings = SETTINGS.map(|one| format!("-c {one}")).join(" ");
        let keeper = Command::new("sh")
            .args(["-c", SERVE, "sh"])
            .arg(directory.path())
            .arg(programs)
            .args([INITDB.join(" "), settings])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run sh")?;
        let server = Self {
            keeper,
            // The shell's to remove from here on.
            directory: directory.keep(),
            programs: programs.to_owned(),
            dump: source.local_dump().map(std::path::absolute).transpose()?,
            opened: source.opened(),
        };
        let begun = Instant::now();
        loop {
            let (code, answer) = server.psql("postgres", "select 1;").await?;
            match code {
                0 => return Ok(server),
                NOT_CONNECTED if begun.elapsed() < START_LIMIT && !server.has_failed() => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                _ => {
                    let log = server.log();
                    server.stop().await?;
                    bail!(
                        "PostgreSQL does not start: {}",
                        printable_lines(&format!("{answer}{log}"))
                    );
                }
            }
        }
    }

    /// What initdb and the server have said.
    fn log(&self) -> String {
        let log = std::fs::read(self.directory.join("log")).unwrap_or_default();
        let mut end = Vec::new();
        keep_end(&mut end, &log);
        String::from_utf8_lossy(&end).trim().to_owned()
    }

    fn has_failed(&self) -> bool {
        let log = self.log();
        log.contains("initdb: error:") || log.contains("FATAL:  could not create")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // The user's own settings are for another server.
        let own = std::env::vars_os().map(|(name, _)| name);
        for name in own.filter(|name| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGHOST", &self.directory)
            .env("PGUSER", "postgres")
            .kill_on_drop(true);
        command
    }

    /// The exit code, and what psql has printed or complained of.
    async fn psql(&self, database: &str, sql: &str) -> anyhow::Result<(i32, String)> {
        let mut child = self
            .command("psql")
            .args([
                "--no-psqlrc",
                "--no-password",
                "--quiet",
                "--no-align",
                "--tuples-only",
            ])
            .args(["--set=ON_ERROR_STOP=1", "--file=-"])
            .arg(format!("--dbname={database}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql")?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended early says why on its standard error.
            let _ = stdin.write_all(sql.as_bytes()).await;
        }
        let output = child
            .wait_with_output()
            .await
            .context("cannot wait for psql")?;
        let code = output.status.code().unwrap_or(-1);
        let said = if code == 0 {
            output.stdout
        } else {
            output.stderr
        };
        Ok((code, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Ends the server, and waits until its directory is gone.
    async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.keeper.stdin.take());
        self.keeper
            .wait()
            .await
            .context("cannot wait for the end of PostgreSQL")?;
        Ok(())
    }
}

impl Server for LocalServer {
    async fn ask(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let (code, answer) = self.psql(database, sql).await?;
        ensure!(
            code == 0,
            "psql failed with exit code {code}: {}",
            printable_lines(answer.trim())
        );
        Ok(answer)
    }

    async fn restore(&self) -> anyhow::Result<Restored> {
        let begun = Instant::now();
        let mut child = self
            .command("pg_restore")
            .args(PG_RESTORE)
            .args(&self.dump)
            .stdin(if self.dump.is_some() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run pg_restore")?;
        let stdin = child
            .stdin
            .take()
            .map(ChildStdin::into_owned_fd)
            .transpose();
        let stdin = stdin.context("cannot write to pg_restore")?;
        let opened = self.opened.clone();
        let feeding = stdin.map(|stdin| spawn_blocking(move || feed(&opened, stdin.into())));
        let mut said = Vec::new();
        if let Some(mut stderr) = child.stderr.take() {
            let mut buffer = [0; 4096];
            loop {
                let read = stderr
                    .read(&mut buffer)
                    .await
                    .context("cannot hear pg_restore")?;
                if read == 0 {
                    break;
                }
                keep_end(&mut said, &buffer[..read]);
            }
        }
        let status = child.wait().await.context("cannot wait for pg_restore")?;
        if let Some(feeding) = feeding {
            feeding.await??;
        }
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Restored {
            code: status.code().unwrap_or(-1),
            said,
            milliseconds,
        })
    }
}

/// Writes the dump to pg_restore, which ends before where it fails, and then says why itself.
fn feed(opened: &OpenedBackup, mut stdin: File) -> anyhow::Result<()> {
    let mut dump = opened.open_dump()?;
    let mut buffer = vec![0; FED_BYTES];
    loop {
        let read = dump.read(&mut buffer);
        let read = read.with_context(|| format!("cannot read {}", opened.dump_path().display()))?;
        if read == 0 || stdin.write_all(&buffer[..read]).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_all_programs_is_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("psql"), "").unwrap();
        let error = programs(Some(directory.path())).unwrap_err().to_string();
        assert!(
            error.contains("initdb, postgres, pg_restore, psql"),
            "{error}"
        );
    }
}
