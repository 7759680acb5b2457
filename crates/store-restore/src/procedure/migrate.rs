//! pgmig at work: a detached job in the pod, which goes on whatever becomes of this process and its connection.

use std::time::Duration;

use anyhow::{bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube_transfer::RemoteCommand;
use kube_transfer::job::{EndedJob, JobDirectory, JobError, JobLog, JobState, LogPart};
use store_backup::psql_command;
use thiserror::Error;
use tokio::time::{Instant, sleep};
use wa_common::assistant::Datastore;
use wa_common::cluster::{Probe, Wait, WaitError, pod_is_ready};
use wa_common::report::{Event, causes_text, count, elapsed};
use wa_common::run::journal::StartedStep;

use super::connections::{self, in_environment, wxo};
use super::log::MigrationLog;
use super::place::{DUMP, MAPPING, PGMIG, Place};
use super::stage::stage_configuration;
use super::work::{Work, connected_form};
use super::workload::{self, GONE_WITHIN, patiently};
use super::{Outcome, Restore, RestorePlan, Step};
use crate::config::{POSTGRES_FILE, RESOURCE_CONTROLLER_FILE};

/// How long an API server, or the pod, may be away before the job is left to itself.
const ABSENCE_LIMIT: Duration = Duration::from_mins(30);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How often is looked whether everything that was stopped still is.
const WATCH_EVERY: Duration = Duration::from_secs(3);
/// How long the pod with everything may be away before pgmig begins.
const STAGED_WITHIN: Duration = Duration::from_mins(5);
/// How long pgmig waits for others to leave the database before it begins.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// How long pgmig may say nothing before the user is told that it is at work.
const SILENT: Duration = Duration::from_mins(1);

/// Who else is connected to the database, as `psql` shows them.
const SESSIONS: &str = "select coalesce(nullif(application_name, ''), 'without a name') from pg_stat_activity \
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";

/// Why pgmig has not restored the database.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// It has ended with an error.
    #[error(
        "pgmig ended with exit code {code}: the database may be empty, or hold a part of the backup; its log is in {log}"
    )]
    Failed {
        /// Its exit code.
        code: u8,
        /// Where its log is on this machine.
        log: String,
    },
    /// It was ended from outside.
    #[error(
        "pgmig was ended from outside, as by a restart of pod {pod}: the database may be empty, or hold a part of the backup"
    )]
    Killed {
        /// The pod that it ran in.
        pod: String,
    },
    /// It cannot be asked.
    #[error(
        "pod {pod} cannot be asked about pgmig for {}, and pgmig may be at work in it",
        elapsed(*after)
    )]
    OutOfReach {
        /// The pod that it runs in.
        pod: String,
        /// For how long.
        after: Duration,
    },
}

/// Runs pgmig, or follows the one that an earlier process has started.
pub(super) async fn migrate(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let place = Place::of_run(started.run());
    let migration = Migration {
        work,
        started,
        plan: &plan,
        place: &place,
    };
    migration.run().await
}

/// Waits until pgmig can begin. What stands in the way now costs nothing but the time: pgmig has not touched the database.
pub(super) async fn ready(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let place = Place::of_run(started.run());
    started.guard(staged(work, &place)).await??;
    match quiet(work, started, QUIET_WITHIN).await? {
        Quiet::Yes => {}
        // IBM's procedure does not ask, and a store that is down helps nobody.
        Quiet::Not(sessions) => work.warn(format!(
            "somebody is connected to the database though the store is at 0: {sessions}; pgmig begins all the same, and may have to wait for them"
        )),
    }
    Ok(Outcome::Done)
}

/// Waits until the pod with everything that pgmig needs is Ready.
async fn staged(work: &Work<'_>, place: &Place) -> anyhow::Result<()> {
    let look = || {
        patiently(async {
            let found: Option<Pod> = work.cluster.find(&place.container.pod).await?;
            anyhow::Ok(found.as_ref().map(pod_is_ready))
        })
    };
    let pod = &place.container.pod;
    let judge = |found: Option<Option<bool>>| match found {
        None => Ok(Probe::Pending(workload::AWAY.to_owned())),
        Some(Some(true)) => Ok(Probe::Done(())),
        Some(Some(false)) => Ok(Probe::Pending("it is not Ready".to_owned())),
        Some(None) => bail!("pod {pod}, in which everything was staged, is gone"),
    };
    let what = format!("for pod {pod}, in which everything is staged");
    let wait = Wait::new(what, STAGED_WITHIN, &**work.reporter);
    let waited = wait.until(look, judge).await;
    waited.map_err(WaitError::into_error)?;
    ensure!(
        place.is_whole(work.cluster).await?,
        "what was staged in pod {pod} is gone: it was made anew, or somebody has removed the files"
    );
    Ok(())
}

/// Whether nobody else is connected to the database.
enum Quiet {
    Yes,
    /// Who is, as `2 sessions of psql`.
    Not(String),
}

/// Waits for `limit` until nobody else is connected to the database.
async fn quiet(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
    limit: Duration,
) -> anyhow::Result<Quiet> {
    let plan = started.run().plan();
    let container = Place::of_run(started.run()).container;
    let datastore = Datastore::read(work.cluster, &plan.instance()).await?;
    let look = || {
        patiently(async {
            let command = psql_command(&datastore, &[SESSIONS])?;
            let printed = work.cluster.run_idempotent(&container, &command).await?;
            let names = String::from_utf8_lossy(&printed.stdout).into_owned();
            anyhow::Ok(names.lines().map(str::to_owned).collect::<Vec<_>>())
        })
    };
    let judge = |found: Option<Vec<String>>| {
        Ok::<_, anyhow::Error>(match found {
            None => Probe::Pending(workload::AWAY.to_owned()),
            Some(names) if names.is_empty() => Probe::Done(()),
            Some(mut names) => {
                names.sort();
                let sessions = count(names.len() as u64, "session");
                names.dedup();
                Probe::Pending(format!("{sessions} of {}", names.join(", ")))
            }
        })
    };
    let wait = Wait::new(
        "until nobody is connected to the database",
        limit,
        &**work.reporter,
    );
    match started.guard(wait.until(look, judge)).await? {
        Ok(()) => Ok(Quiet::Yes),
        Err(WaitError::Failed(error)) => Err(error),
        Err(WaitError::TimedOut(timed_out)) => Ok(Quiet::Not(timed_out.state)),
    }
}

struct Migration<'a> {
    work: &'a Work<'a>,
    started: &'a StartedStep<'a, Restore>,
    plan: &'a RestorePlan,
    place: &'a Place,
}

impl Migration<'_> {
    async fn run(&self) -> anyhow::Result<Outcome> {
        let log = match self.state().await? {
            JobState::Running(job) => {
                self.say("pgmig is at work; its log from the beginning:");
                job.log(0)
            }
            JobState::Ended(job) if job.code() == 0 => job.log(0),
            state => {
                self.forget(state).await?;
                self.begin().await?
            }
        };
        let mut kept = MigrationLog::keep(self.work, self.started.run().run_id());
        let ended = tokio::select! {
            ended = self.started.guard(self.follow(log, &mut kept)) => ended??,
            error = self.watch() => return Err(error),
        };
        let code = ended.code();
        if code != 0 {
            let log = kept.path();
            let log = log.map_or("the pod".to_owned(), |path| path.display().to_string());
            return Err(MigrationError::Failed { code, log }.into());
        }
        let collected = ended.collect().await?;
        Ok(Outcome::Migrated {
            log_bytes: collected.log_bytes,
            log_sha256: collected.log_sha256.to_string(),
        })
    }

    fn say(&self, detail: &str) {
        self.work.reporter.report(&Event::Step {
            step: "pgmig",
            detail: detail.to_owned(),
        });
    }

    /// What there is of the job; waits for an API server that is away.
    async fn state(&self) -> anyhow::Result<JobState> {
        let mut absence = Absence::new(self);
        loop {
            let asked = match self.place.job(self.work.cluster).await {
                Ok(Some(job)) => job.status().await.map_err(anyhow::Error::from),
                Ok(None) => bail!(
                    "pod {} is gone or not Ready: when it is Ready, `resume` goes on",
                    self.place.container.pod
                ),
                Err(error) => Err(error),
            };
            match asked {
                Ok(JobState::Starting) => absence.over(),
                Ok(state) => return Ok(state),
                Err(error) if workload::may_pass(&error) => absence.lasts(&format!("{error:#}"))?,
                Err(error) => return Err(error),
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Removes what is left of a job that did not end well, and waits until nothing of it is at work any more.
    async fn forget(&self, state: JobState) -> anyhow::Result<()> {
        let was_begun = match state {
            JobState::Ended(job) => {
                let how = format!("ended with exit code {}", job.code());
                self.keep_earlier(job.log(0), &how).await;
                job.remove().await?;
                true
            }
            JobState::Gone(job) => {
                self.keep_earlier(job.log(0), "was ended from outside")
                    .await;
                job.remove().await?;
                true
            }
            _ => false,
        };
        // A pg_restore of that one may have outlived it, and writes.
        if was_begun {
            if let Quiet::Not(sessions) = quiet(self.work, self.started, GONE_WITHIN).await? {
                bail!(
                    "somebody is still connected to the database, perhaps what the earlier pgmig has left behind: {sessions}; end it, or wait, and then `resume`"
                );
            }
            let form = connected_form(self.started.run());
            stage_configuration(self.work, self.plan, self.place, form).await?;
            connections::test(self.work, self.plan, self.place, form).await?;
        }
        Ok(())
    }

    /// Keeps on this machine what an earlier job printed, which perhaps nobody has seen, before it is removed; says where, and how
    /// that job ended.
    async fn keep_earlier(&self, log: JobLog, how: &str) {
        let mut kept = MigrationLog::keep_earlier(self.work, self.started.run().run_id());
        let end = self.follow(log, &mut kept).await;
        // How it ended is known.
        if let Err(error) = end
            && !matches!(error.downcast_ref(), Some(MigrationError::Killed { .. }))
        {
            self.work.warn(format!(
                "the log of an earlier pgmig is not kept as a whole: {error:#}"
            ));
        }
        let log = match kept.path() {
            Some(path) => format!("its log is in {}", path.display()),
            None => "its log is not kept".to_owned(),
        };
        self.say(&format!("an earlier one {how}; {log}; it is run again"));
    }

    /// Starts pgmig. Whether that succeeded is settled by looking.
    async fn begin(&self) -> anyhow::Result<JobLog> {
        loop {
            let directory = self.place.job_there(self.work.cluster).await?;
            match self.start(directory).await? {
                Ok(job) => return Ok(job.log(0)),
                Err(error) if error.may_have_started() => {}
                Err(error) if error.is_transient() => sleep(ASK_AGAIN_AFTER).await,
                Err(error) => return Err(error.into()),
            }
            match self.state().await? {
                JobState::Running(job) => return Ok(job.log(0)),
                JobState::Ended(job) => return Ok(job.log(0)),
                JobState::Gone(job) => return Ok(job.log(0)),
                JobState::Absent | JobState::Starting => {}
            }
        }
    }

    async fn start(
        &self,
        directory: JobDirectory,
    ) -> anyhow::Result<Result<kube_transfer::job::RunningJob, JobError>> {
        let command = RemoteCommand::new(self.place.path(PGMIG))
            .args(["--force", "--source", DUMP])
            .args(["--target", POSTGRES_FILE])
            .args(["--resourceController", RESOURCE_CONTROLLER_FILE])
            .args(["--mapping", MAPPING])
            .args(wxo(self.plan))
            .args(self.plan.pgmig.arguments.iter().cloned());
        let command = in_environment(command, self.plan, self.place)?;
        Ok(self
            .started
            .change(move |_| async move { directory.start(&command).await })
            .await?)
    }

    /// Shows and keeps the log until the job has ended.
    async fn follow(&self, log: JobLog, kept: &mut MigrationLog<'_>) -> anyhow::Result<EndedJob> {
        let mut log = log;
        let mut absence = Absence::new(self);
        loop {
            let part = tokio::time::timeout(SILENT, log.next()).await;
            match part {
                Err(_) => kept.still_at_work(),
                Ok(Ok(LogPart::Data(data))) => {
                    absence.over();
                    kept.add(&data);
                }
                Ok(Ok(LogPart::End(state))) => {
                    kept.end();
                    return match state {
                        JobState::Ended(job) => Ok(job),
                        _ => Err(MigrationError::Killed {
                            pod: self.place.container.pod.clone(),
                        }
                        .into()),
                    };
                }
                Ok(Err(error)) if error.pod_is_gone() || self.pod_has_ended().await => {
                    return Err(anyhow::Error::new(error).context(MigrationError::Killed {
                        pod: self.place.container.pod.clone(),
                    }));
                }
                Ok(Err(error)) if error.is_transient() => {
                    absence.lasts(&causes_text(&error))?;
                    sleep(ASK_AGAIN_AFTER).await;
                }
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// Whether the pod is known to have ended, and pgmig with it, though it is there: as one that was evicted.
    async fn pod_has_ended(&self) -> bool {
        let ended = self.place.pod_has_ended(self.work.cluster).await;
        ended.is_ok_and(|ended| ended)
    }

    /// Keeps at 0 what was scaled to 0; ends only with an error.
    async fn watch(&self) -> anyhow::Error {
        loop {
            sleep(WATCH_EVERY).await;
            for record in self.started.run().steps() {
                if let Err(error) = self.keep_stopped(&record.step).await {
                    return error;
                }
            }
        }
    }

    async fn keep_stopped(&self, step: &Step) -> anyhow::Result<()> {
        let (cluster, name) = match step {
            Step::StopOperator {
                namespace, name, ..
            } => (self.work.cluster.in_namespace(namespace), name.clone()),
            Step::StopStore { name, .. } => (self.work.cluster.clone(), name.clone()),
            _ => return Ok(()),
        };
        // What cannot be seen now is seen later.
        let Ok(deployment) = workload::deployment(&cluster, &name).await else {
            return Ok(());
        };
        let replicas = workload::replicas(&deployment);
        if replicas == 0 {
            return Ok(());
        }
        self.work.warn(format!(
            "something has scaled deployment {name} to {replicas} while pgmig is at work; it is scaled to 0 again, and what its pods wrote meanwhile may spoil the restore"
        ));
        let scaled = self
            .started
            .change(move |_| async move { workload::scale(&cluster, &name, 0).await })
            .await?;
        if let Err(error) = scaled {
            self.work.warn(format!("it cannot be scaled to 0: {error}"));
        }
        Ok(())
    }
}

/// How long the pod could not be asked.
struct Absence<'a> {
    migration: &'a Migration<'a>,
    since: Option<Instant>,
}

impl<'a> Absence<'a> {
    fn new(migration: &'a Migration<'a>) -> Self {
        Self {
            migration,
            since: None,
        }
    }

    fn over(&mut self) {
        self.since = None;
    }

    /// It lasts; an error when that has been for too long.
    fn lasts(&mut self, why: &str) -> Result<(), MigrationError> {
        let migration = self.migration;
        let since = *self.since.get_or_insert_with(|| {
            migration.work.warn(format!(
                "pod {} cannot be asked about pgmig, which goes on in it meanwhile; trying again for up to {}: {why}",
                migration.place.container.pod,
                elapsed(ABSENCE_LIMIT)
            ));
            Instant::now()
        });
        if since.elapsed() < ABSENCE_LIMIT {
            return Ok(());
        }
        Err(MigrationError::OutOfReach {
            pod: migration.place.container.pod.clone(),
            after: ABSENCE_LIMIT,
        })
    }
}
