//! How each step is undone: whatever of it was done, and also where it was undone in part before.

use std::time::Duration;

use wa_common::cluster::Cluster;
use wa_common::run::Undoing;
use wa_common::run::journal::UndoStep;

use super::place::{Place, postgres_pods};
use super::workload::{self, GONE_WITHIN};
use super::{Outcome, Restore, RestorePlan, Step, database};

/// How long one attempt may take, beside what a step's own waits take.
const MARGIN: Duration = Duration::from_mins(2);

/// How long one attempt to undo a step may take.
pub(super) fn limit(step: &Step) -> Duration {
    match step {
        Step::StartStore { .. } | Step::StartOperator { .. } => GONE_WITHIN + MARGIN,
        // What was stopped is stopped again where something has started it.
        Step::Migrate => GONE_WITHIN * 2,
        Step::CopyDatabase => GONE_WITHIN,
        _ => MARGIN,
    }
}

/// Undoes a step, and waits until it is undone.
pub(super) async fn undo(undo: UndoStep<'_, Restore>) -> anyhow::Result<()> {
    let UndoStep {
        plan,
        step,
        outcome,
        undoing,
    } = undo;
    let cluster = undoing.cluster;
    match step {
        Step::Stage => {
            database::forget_keys(cluster, undoing.run).await?;
            remove_staged(plan, outcome, &undoing).await
        }
        Step::SuspendBackups {
            cron_job,
            suspended,
        } => Ok(workload::suspend(cluster, cron_job, *suspended).await?),
        Step::StopOperator {
            namespace,
            name,
            replicas,
        } => {
            let cluster = cluster.in_namespace(namespace);
            Ok(workload::scale(&cluster, name, *replicas).await?)
        }
        Step::StopStore { name, replicas } => Ok(workload::scale(cluster, name, *replicas).await?),
        Step::StartStore { name, .. } => stop(cluster, name, &undoing).await,
        Step::StartOperator {
            namespace, name, ..
        } => stop(&cluster.in_namespace(namespace), name, &undoing).await,
        Step::ResumeBackups { cron_job, .. } => {
            Ok(workload::suspend(cluster, cron_job, true).await?)
        }
        Step::CopyDatabase => database::drop_all(plan, &undoing).await,
        Step::Migrate => database::way_back(plan, &undoing).await,
        Step::EncryptionKey { .. } => database::old_key_back(plan, &undoing).await,
        Step::Connections
        | Step::ReadyToMigrate
        | Step::Check
        | Step::RestartRedis { .. }
        | Step::StoreReady
        | Step::Settle
        | Step::CleanUp => Ok(()),
    }
}

/// Removes what was staged: where it is known to be, else wherever it may be.
async fn remove_staged(
    plan: &RestorePlan,
    outcome: Option<&Outcome>,
    undoing: &Undoing<'_>,
) -> anyhow::Result<()> {
    let remove = |pod: &str| {
        let place = Place::new(plan, undoing.run, pod);
        async move { place.remove(undoing.cluster).await }
    };
    if let Some(Outcome::Staged { pod }) = outcome {
        return remove(pod).await;
    }
    remove(&plan.pod).await?;
    for pod in postgres_pods(undoing.cluster, plan).await? {
        remove(&pod.name).await?;
    }
    Ok(())
}

async fn stop(cluster: &Cluster, name: &str, undoing: &Undoing<'_>) -> anyhow::Result<()> {
    workload::scale(cluster, name, 0).await?;
    workload::pods_gone(cluster, name, undoing.remaining(), undoing).await
}
