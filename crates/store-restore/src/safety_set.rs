//! A set, restored into a new database beside the store database: the way back where there is no copy in the server.
//!
//! pg_restore runs as a detached job in the primary's pod, as the superuser on the local socket, and outlives the
//! connection. Its rows are compared with the archive's before the database is taken for whole;
//! [`DatabaseServer::swap_in`] then gives it the store's name.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use backup_set::DUMP_FILE;
use kube_transfer::file::UploadError;
use kube_transfer::job::{EndedJob, JobDirectory, JobError, JobState, LogPart};
use kube_transfer::{DownloadError, PodHandle, RemoteCommand, Secret};
use tokio::task::spawn_blocking;
use wa_common::assistant::PostgresPod;
use wa_common::cluster::RetryPolicy;
use wa_common::report::{Reporter, causes_text, printable_lines};

use crate::comparison::Comparison;
use crate::database::{DatabaseServer, Made, NamedDatabase, PATIENCE, ServerError};
use crate::source::{Opener, Source};

/// How often is looked whether pg_restore has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The file and the job in the directory.
const JOB: &str = "pg_restore";
/// How much of pg_restore's words is reported when it fails.
const TOLD_BYTES: usize = 2000;
/// What there is in the directory beside the job.
const REMOVE: &str = r#"rm -f -- "$1/store.dump"
[ ! -d "$1" ] || rmdir -- "$1""#;

/// A set that was read from end to end, and is the one that was recorded.
#[derive(Debug)]
pub struct SafetySet {
    source: Source,
}

impl SafetySet {
    /// Reads the set or dump at `path`. `recorded` is the SHA-256 that the dump must have, in hexadecimal digits; without
    /// one the set is taken by its name.
    pub async fn open(
        opener: &Opener,
        path: &Path,
        recorded: Option<&str>,
    ) -> anyhow::Result<Self> {
        let (read, opener) = (path.to_owned(), opener.clone());
        // On a thread of its own: a signal must be heard meanwhile.
        let source = spawn_blocking(move || Source::read(&opener, &read)).await??;
        if let Some(recorded) = recorded {
            ensure!(
                source.intact.sha256.eq_ignore_ascii_case(recorded),
                "{} is not the backup that was taken before the restore: its SHA-256 is {}, and {recorded} was recorded",
                path.display(),
                source.intact.sha256
            );
        }
        Ok(Self { source })
    }

    /// What it is.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Restores `set` into the database `name`, which is the run's own, through `directory` in the primary's pod, which is
/// the run's own as well and is removed at the end. The database is like the store database, and lets nobody in.
///
/// Can be called again, from any machine: what was sent is not sent again, a pg_restore that is at work is waited for,
/// and one whose end left no trace is begun anew.
pub async fn restore_set(
    server: &DatabaseServer,
    set: &SafetySet,
    name: &str,
    directory: &str,
    reporter: &dyn Reporter,
) -> anyhow::Result<NamedDatabase> {
    let restoring = Restoring {
        server,
        set,
        name,
        directory,
        reporter,
    };
    RetryPolicy::phases(PATIENCE)
        .run("restore", reporter, passing, || restoring.attempt())
        .await
}

/// Why another attempt may succeed.
fn passing(error: &anyhow::Error) -> Option<String> {
    let transient = error.chain().any(|cause| {
        let server = cause.downcast_ref().map(ServerError::is_transient);
        let job = cause.downcast_ref().map(JobError::is_transient);
        let upload = cause.downcast_ref().map(UploadError::is_transient);
        let command = cause.downcast_ref().map(DownloadError::is_transient);
        [server, job, upload, command].contains(&Some(true))
    });
    transient.then(|| causes_text(error.as_ref()))
}

struct Restoring<'a> {
    server: &'a DatabaseServer,
    set: &'a SafetySet,
    name: &'a str,
    directory: &'a str,
    reporter: &'a dyn Reporter,
}

impl Restoring<'_> {
    async fn attempt(&self) -> anyhow::Result<NamedDatabase> {
        loop {
            let made = self.server.judge(self.name).await?;
            if made == Made::BeingMade {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            let primary = self.server.primary().await?;
            let pod = self.server.pod(&primary);
            let job = pod.job(format!("{}/{JOB}", self.directory))?;
            let state = job.status().await?;
            match (made, state) {
                (Made::Finished(database), state) => {
                    remove(state).await?;
                    self.remove_staged(&pod).await?;
                    return Ok(database);
                }
                (_, JobState::Starting | JobState::Running(_)) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                (Made::HalfMade, JobState::Ended(job)) if job.code() == 0 => self.finish().await?,
                (Made::HalfMade, JobState::Ended(job)) => {
                    let why = words_of(&job).await?;
                    self.server.drop_now(self.name).await?;
                    job.remove().await?;
                    bail!(
                        "pg_restore in pod {} failed with exit code {}: {why}",
                        primary.name,
                        job.code()
                    );
                }
                // Begun by an attempt whose end left no trace, or in another pod that was the primary.
                (Made::HalfMade, state) => {
                    self.server.drop_now(self.name).await?;
                    remove(state).await?;
                }
                (_, JobState::Absent) => self.start(&primary, &pod, &job).await?,
                (_, state) => remove(state).await?,
            }
        }
    }

    async fn start(
        &self,
        primary: &PostgresPod,
        pod: &PodHandle,
        job: &JobDirectory,
    ) -> anyhow::Result<()> {
        let make = RemoteCommand::script(r#"umask 077; mkdir -p -- "$1""#).arg(self.directory);
        pod.run(&make)
            .await
            .with_context(|| format!("cannot make {} in pod {}", self.directory, primary.name))?;
        let path = format!("{}/{DUMP_FILE}", self.directory);
        let source = self.set.source();
        source
            .send_dump(pod, &primary.name, path, self.reporter)
            .await?;
        self.server.make_empty(self.name).await?;
        let command = RemoteCommand::new("pg_restore")
            .args(["--format=custom", "--exit-on-error", "--no-password"])
            .args([
                "--username=postgres".to_owned(),
                format!("--dbname={}", self.name),
            ])
            .arg(format!("{}/{DUMP_FILE}", self.directory))
            .env("LC_ALL", Secret::new("C")?)?
            // By this its session is told to be the one that makes the database.
            .env("PGAPPNAME", Secret::new(self.name)?)?;
        match job.start(&command).await {
            // The next look tells what became of it.
            Err(error) if !error.may_have_started() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Compares what pg_restore has made with the archive, and only then takes it for whole.
    async fn finish(&self) -> anyhow::Result<()> {
        let found = self.server.rows_in(self.name).await?;
        let tables = &self.set.source().intact.verified.contents.tables;
        let differences = Comparison::of_rows(tables, &found).into_differences();
        ensure!(
            differences.is_empty(),
            "the restored database {:?} does not hold what the backup does: {}",
            self.name,
            differences.join("; ")
        );
        Ok(self.server.finish_restored(self.name).await?)
    }

    async fn remove_staged(&self, pod: &PodHandle) -> anyhow::Result<()> {
        pod.file(format!("{}/{DUMP_FILE}", self.directory))
            .discard_upload()
            .await?;
        let remove = RemoteCommand::script(REMOVE).arg(self.directory);
        pod.run(&remove)
            .await
            .with_context(|| format!("cannot remove {}", self.directory))?;
        Ok(())
    }
}

async fn remove(state: JobState) -> anyhow::Result<()> {
    match state {
        JobState::Ended(job) => job.remove().await?,
        JobState::Gone(job) => job.remove().await?,
        JobState::Absent | JobState::Starting | JobState::Running(_) => {}
    }
    Ok(())
}

/// The end of what pg_restore has said.
async fn words_of(job: &EndedJob) -> anyhow::Result<String> {
    let mut log = job.log(0);
    let mut said = Vec::new();
    while let LogPart::Data(data) = log.next().await? {
        said.extend(data);
        let surplus = said.len().saturating_sub(TOLD_BYTES);
        said.drain(..surplus);
    }
    Ok(printable_lines(String::from_utf8_lossy(&said).trim()))
}
