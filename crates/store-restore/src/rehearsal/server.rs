//! The PostgreSQL in the pod of a rehearsal.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use backup_set::DUMP_FILE;
use kube_transfer::job::{JobError, JobState, LogPart};
use kube_transfer::{DownloadError, PodContainer, PodHandle, RemoteCommand, Secret};
use wa_common::cluster::Cluster;

use super::{InPod, PG_RESTORE, Restored, Server, keep_end};
use crate::database::{ServerError, psql};
use crate::source::Source;

/// Where the pod's own volume is.
pub(super) const SCRATCH: &str = "/scratch";
/// What the pod runs: the directory, and the options of initdb and of postgres as words. When it fails, its last words are
/// in the pod's status.
pub(super) const SERVE: &str = r#"umask 077
initdb --pgdata="$1/data" $2 >"$1/initdb.log" 2>&1 || { code=$?; cat "$1/initdb.log"; exit $code; }
exec postgres -D "$1/data" -c unix_socket_directories="$1" $3"#;
/// psql's exit code when no server is there yet.
const NOT_CONNECTED: i32 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the connection to the pod may be broken while pg_restore works.
const PATIENCE: Duration = Duration::from_mins(10);

/// A PostgreSQL that runs.
pub(super) struct PodServer<'a> {
    caller: &'a InPod,
    target: PodContainer,
    pod: PodHandle,
}

impl<'a> PodServer<'a> {
    /// Waits until it lets clients in.
    pub(super) async fn start(caller: &'a InPod, target: PodContainer) -> anyhow::Result<Self> {
        let server = Self {
            caller,
            pod: caller.cluster.pod(&target),
            target,
        };
        let look = command("postgres", "select 1;")?;
        let begun = Instant::now();
        loop {
            match server.run(&look).await {
                Ok(_) => break,
                Err(DownloadError::Command {
                    code: NOT_CONNECTED,
                    ..
                }) if begun.elapsed() < caller.timeout => tokio::time::sleep(LOOK_EVERY).await,
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("the PostgreSQL in pod {} does not start", server.target.pod)
                    });
                }
            }
        }
        Ok(server)
    }

    fn cluster(&self) -> &Cluster {
        &self.caller.cluster
    }

    async fn run(&self, command: &RemoteCommand) -> Result<String, DownloadError> {
        let answer = self.cluster().run_idempotent(&self.target, command).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// Puts the dump into the pod.
    pub(super) async fn send(&self, source: &Source) -> anyhow::Result<()> {
        let path = format!("{SCRATCH}/{DUMP_FILE}");
        let reporter = &*self.caller.reporter;
        source
            .send_dump(&self.pod, &self.target.pod, path, reporter)
            .await
    }
}

impl Server for PodServer<'_> {
    async fn ask(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        let answer = self.run(&command(database, sql)?).await;
        answer.with_context(|| format!("psql in pod {} failed", self.target.pod))
    }

    /// As a job that outlives the connection.
    async fn restore(&self) -> anyhow::Result<Restored> {
        let command = RemoteCommand::new("pg_restore")
            .args(PG_RESTORE)
            .args([
                format!("--host={SCRATCH}"),
                format!("{SCRATCH}/{DUMP_FILE}"),
            ])
            .env("LC_ALL", Secret::new("C")?)?;
        let directory = self.pod.job(format!("{SCRATCH}/job"))?;
        let begun = Instant::now();
        let mut log = match directory.start(&command).await {
            Ok(job) => job.log(0),
            Err(JobError::Unsettled { .. }) => match directory.status().await? {
                JobState::Running(job) => job.log(0),
                JobState::Ended(job) => job.log(0),
                _ => bail!(
                    "pg_restore was not started in pod {}; try again",
                    self.target.pod
                ),
            },
            Err(error) => return Err(error.into()),
        };
        let (mut said, mut heard) = (Vec::new(), Instant::now());
        loop {
            match log.next().await {
                Ok(LogPart::Data(data)) => keep_end(&mut said, &data),
                Ok(LogPart::End(JobState::Ended(job))) => {
                    let milliseconds = begun.elapsed().as_millis();
                    return Ok(Restored {
                        code: job.code().into(),
                        said,
                        milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
                    });
                }
                Ok(LogPart::End(_)) => bail!(
                    "pg_restore was ended from outside in pod {}: was it out of memory or disk?",
                    self.target.pod
                ),
                Err(error) if error.is_transient() && heard.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            heard = Instant::now();
        }
    }
}

fn command(database: &str, sql: &str) -> Result<RemoteCommand, ServerError> {
    let command = psql(database, "kubectl-wa-restore", sql)?;
    Ok(command.arg(format!("--host={SCRATCH}")))
}
