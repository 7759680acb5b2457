//! Starting a Job from the CronJob's template.

use std::sync::Arc;

use anyhow::Context as _;
use backup_volume::{Caller, JOBS_PLUGIN, VolumeChange};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use serde::Serialize;
use wa_common::assistant::{BackupCronJob, Instance};
use wa_common::cluster::Cluster;
use wa_common::preflight::Preflight;
use wa_common::report::{Event, elapsed};
use wa_common::run::Run;

use crate::error::JobError;
use crate::manifest;
use crate::permissions::{to_follow, to_trigger};

/// How long a Job that is not waited for stays after its end: long enough to read its log the next morning.
const REMOVED_AFTER_SECONDS: i32 = 24 * 60 * 60;
/// What a schedule is looked at for: a backup that would begin while this one is taken.
const SOON: std::time::Duration = std::time::Duration::from_mins(15);

/// A backup Job that can be started.
pub struct Trigger {
    caller: Caller,
    instance: Instance,
    cron_job: BackupCronJob,
}

/// What becomes of the Job afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Afterwards {
    /// This command removes it when it ends, however it ends.
    Removed,
    /// The cluster removes it a day after its end.
    RemovedByCluster,
    /// It stays.
    Kept,
}

/// A Job that was started.
pub struct StartedJob {
    pub(crate) caller: Caller,
    pub(crate) run: Arc<Run<VolumeChange>>,
    pub(crate) job: Job,
    pub(crate) afterwards: Afterwards,
}

impl Trigger {
    /// Looks at what must hold for a Job to be started, and followed if it is to be; changes nothing.
    pub async fn prepare(
        caller: Caller,
        instance: Option<&str>,
        followed: bool,
    ) -> anyhow::Result<Self> {
        let mut needed = to_trigger(instance.is_some());
        needed.extend(followed.then(to_follow).into_iter().flatten());
        let cluster = &caller.cluster;
        let mut conditions = Preflight::default();
        let permissions = conditions.permissions((), cluster, &needed).await;
        let instance = conditions.instance(&permissions, cluster, instance).await;
        let look = async |instance: &Instance| cron_job_of(cluster, instance).await;
        let cron_job = conditions
            .check("cronjob", &instance, look, BackupCronJob::name)
            .await;
        let look = async |cron_job: &BackupCronJob| {
            let running = cron_job.jobs_at_work(cluster).await?;
            let running = running.into_iter().map(|job| format!("job {job}"));
            refuse_beside(cron_job, running.collect())
        };
        let beside = conditions
            .check("no other backup", &cron_job, look, |beside| {
                beside.join(", ")
            })
            .await;
        match (
            instance.into_value(),
            cron_job.into_value(),
            beside.into_value(),
        ) {
            (Some(instance), Some(cron_job), Some(beside)) => {
                let trigger = Self {
                    caller,
                    instance,
                    cron_job,
                };
                trigger.warn(&beside);
                Ok(trigger)
            }
            _ => Err(conditions.into_error()),
        }
    }

    /// Whose backup it is.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What the Job is made from.
    pub fn cron_job(&self) -> &BackupCronJob {
        &self.cron_job
    }

    /// Starts the Job, which is recorded before.
    pub async fn start(self, afterwards: Afterwards) -> anyhow::Result<StartedJob> {
        let caller = self.caller;
        let purpose = format!("a backup of {} on demand", self.instance.name);
        let run = Run::begin(
            &caller.exit_hooks,
            &caller.reporter,
            &caller.cluster,
            JOBS_PLUGIN,
            purpose,
        )
        .await?;
        let name = run.run_name().to_owned();
        let removed_after =
            (afterwards == Afterwards::RemovedByCluster).then_some(REMOVED_AFTER_SECONDS);
        let job = manifest::job(self.cron_job.object(), &name, removed_after)
            .with_context(|| format!("CronJob {} has no template", self.cron_job.name()))?;
        let change = VolumeChange::Job { name: name.clone() };
        let recorded = run.record(change.clone()).await?;
        let job = recorded
            .create_with_own_owners(&caller.cluster, job)
            .await?;
        if afterwards != Afterwards::Removed {
            run.keep(&change).await?;
        }
        caller.reporter.report(&Event::Step {
            step: "job",
            detail: format!("{name} started, from CronJob {}", self.cron_job.name()),
        });
        Ok(StartedJob {
            caller,
            run,
            job,
            afterwards,
        })
    }

    fn warn(&self, beside: &[String]) {
        let warn = |message| self.caller.reporter.report(&Event::Warning { message });
        if !beside.is_empty() {
            warn(format!(
                "{} is taking a backup at the same time, which CronJob {} allows",
                beside.join(", "),
                self.cron_job.name()
            ));
        }
        let now = jiff::Timestamp::now();
        let next = self.cron_job.next_run(now);
        let wait =
            next.and_then(|next| std::time::Duration::try_from(next.duration_since(now)).ok());
        if let Some(wait) = wait.filter(|wait| *wait < SOON) {
            warn(format!("the schedule starts a backup in {}", elapsed(wait)));
        }
    }
}

impl StartedJob {
    /// The name of the Job.
    pub fn name(&self) -> String {
        self.job.name_any()
    }
}

/// The CronJob of the instance.
pub(crate) async fn cron_job_of(
    cluster: &Cluster,
    instance: &Instance,
) -> anyhow::Result<BackupCronJob> {
    let found = BackupCronJob::find(cluster, instance).await?;
    Ok(found.ok_or_else(|| JobError::NoCronJob {
        instance: instance.name.clone(),
        namespace: instance.namespace.clone(),
        cron_job: BackupCronJob::name_for(instance),
    })?)
}

/// The Jobs that may run beside ours, or an error where none may. With `Replace` the CronJob would end the running one,
/// which a person has not asked for.
fn refuse_beside(cron_job: &BackupCronJob, running: Vec<String>) -> anyhow::Result<Vec<String>> {
    let policy = cron_job.concurrency_policy();
    if running.is_empty() || policy == "Allow" {
        return Ok(running);
    }
    Err(JobError::Running {
        jobs: running,
        cron_job: cron_job.name(),
        policy: policy.to_owned(),
    }
    .into())
}
