//! Everything stops that writes to the database: the nightly backup, then the operator, which would bring the store back,
//! then the store. Redis is restarted while nothing is there to fill its cache from the old database.

use std::time::Duration;

use wa_common::assistant::BackupCronJob;
use wa_common::cluster::{Cluster, Probe, Wait, WaitError};
use wa_common::report::{Event, Reporter};
use wa_common::run::journal::{StartedStep, StepRecord};

use super::work::Work;
use super::workload::{self, AWAY, GONE_WITHIN, patiently};
use super::{Outcome, Restore, RestorePlan, Step};

/// How long a backup that is at work may take.
const BACKUP_WITHIN: Duration = Duration::from_hours(2);

/// Stops one thing, and waits until it has stopped. Redis comes back by itself, which is waited for at the end.
pub(super) async fn stop(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let reporter = &**work.reporter;
    match started.step().clone() {
        Step::SuspendBackups {
            cron_job,
            suspended,
        } => {
            if !suspended {
                let cluster = work.cluster.clone();
                started
                    .change(
                        move |_| async move { workload::suspend(&cluster, &cron_job, true).await },
                    )
                    .await??;
            }
            started.guard(backups_ended(work, &plan)).await??;
        }
        Step::StopOperator {
            namespace, name, ..
        } => {
            let cluster = work.cluster.in_namespace(namespace);
            to_zero(started, &cluster, &name, reporter).await?;
        }
        Step::StopStore { name, .. } => {
            if is_first_store(&started.run().steps()) {
                reporter.report(&Event::Step {
                    step: "production",
                    detail: format!(
                        "is down from {} UTC on",
                        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S")
                    ),
                });
            }
            to_zero(started, work.cluster, &name, reporter).await?;
        }
        Step::RestartRedis { stateful_set } => {
            let cluster = work.cluster.clone();
            started
                .change(move |_| async move { workload::restart(&cluster, &stateful_set).await })
                .await??;
        }
        _ => {}
    }
    Ok(Outcome::Done)
}

/// Whether no other Deployment of the store was stopped before this one.
fn is_first_store(steps: &[StepRecord<Restore>]) -> bool {
    let stopped = steps
        .iter()
        .filter(|record| matches!(record.step, Step::StopStore { .. }) && record.state.stands());
    stopped.count() == 1
}

async fn to_zero(
    started: &StartedStep<'_, Restore>,
    cluster: &Cluster,
    name: &str,
    reporter: &dyn Reporter,
) -> anyhow::Result<()> {
    let (scaled, deployment) = (cluster.clone(), name.to_owned());
    started
        .change(move |_| async move { workload::scale(&scaled, &deployment, 0).await })
        .await??;
    started
        .guard(workload::pods_gone(cluster, name, GONE_WITHIN, reporter))
        .await?
}

/// Waits for a backup that is at work: it would dump a database that is half restored.
async fn backups_ended(work: &Work<'_>, plan: &RestorePlan) -> anyhow::Result<()> {
    let instance = plan.instance();
    let look = || {
        patiently(async {
            let found = BackupCronJob::find(work.cluster, &instance).await?;
            anyhow::Ok(match found {
                Some(cron_job) => cron_job.jobs_at_work(work.cluster).await?,
                None => Vec::new(),
            })
        })
    };
    let judge = |jobs: Option<Vec<String>>| {
        Ok::<_, anyhow::Error>(match jobs {
            None => Probe::Pending(AWAY.to_owned()),
            Some(jobs) if jobs.is_empty() => Probe::Done(()),
            Some(jobs) => Probe::Pending(jobs.join(", ")),
        })
    };
    let wait = Wait::new(
        "for backups that are at work to end",
        BACKUP_WITHIN,
        &**work.reporter,
    );
    wait.reported_at_once()
        .until(look, judge)
        .await
        .map_err(WaitError::into_error)
}
