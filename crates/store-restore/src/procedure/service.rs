//! Everything comes back as it was, and what was staged is removed.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use thiserror::Error;
use wa_common::cluster::{Cluster, Probe, Wait, WaitError};
use wa_common::report::{Event, elapsed};
use wa_common::run::journal::StartedStep;

use super::place::Place;
use super::work::{Work, down_since};
use super::workload::{self, AWAY, patiently};
use super::{Outcome, Restore, RestorePlan, Step, database};

/// Brings one thing back.
pub(super) async fn resume(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let cluster = work.cluster.clone();
    match started.step().clone() {
        Step::StartStore { name, replicas } => {
            started
                .change(move |_| async move { workload::scale(&cluster, &name, replicas).await })
                .await??;
        }
        Step::StartOperator {
            namespace,
            name,
            replicas,
        } => {
            let cluster = cluster.in_namespace(namespace);
            started
                .change(move |_| async move { workload::scale(&cluster, &name, replicas).await })
                .await??;
        }
        Step::ResumeBackups {
            cron_job,
            suspended,
        } => {
            started
                .change(
                    move |_| async move { workload::suspend(&cluster, &cron_job, suspended).await },
                )
                .await??;
        }
        Step::StoreReady => {
            let mut stores = all_steps(started);
            stores.retain(|step| matches!(step, Step::StartStore { .. }));
            let look = || unready_workloads(work.cluster, &stores);
            wait(work, started, "until the store is ready", look).await?;
            say_up_again(work, started);
        }
        _ => {
            let (plan, steps) = (started.run().plan(), all_steps(started));
            let look = || unready(work.cluster, &plan, &steps);
            wait(work, started, "until everything is ready", look).await?;
        }
    }
    Ok(Outcome::Done)
}

/// Not all was ready when the time was over: everything runs, and takes longer.
#[derive(Debug, Error)]
#[error("not everything is ready yet: {why}")]
pub(super) struct NotReady {
    /// What is not, for a person.
    pub(super) why: String,
}

fn say_up_again(work: &Work<'_>, started: &StartedStep<'_, Restore>) {
    let Some(down) = down_since(&started.run().steps()) else {
        return;
    };
    let down_for = Timestamp::now().duration_since(down);
    work.reporter.report(&Event::Step {
        step: "production",
        detail: format!("is up again, after {}", elapsed(down_for.unsigned_abs())),
    });
}

fn all_steps(started: &StartedStep<'_, Restore>) -> Vec<Step> {
    let steps = started.run().steps().into_iter();
    steps.map(|record| record.step).collect()
}

/// Waits until `look` finds nothing that is not ready. When the time is over, what was staged is removed all the same,
/// since it holds secrets; the copy inside the server stays, as long as somebody may want to go back to it.
async fn wait<F: Future<Output = anyhow::Result<Vec<String>>>>(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
    what: &str,
    look: impl Fn() -> F,
) -> anyhow::Result<()> {
    let look = || patiently(look());
    let judge = |found: Option<Vec<String>>| {
        Ok::<_, anyhow::Error>(match found {
            None => Probe::Pending(AWAY.to_owned()),
            Some(unready) if unready.is_empty() => Probe::Done(()),
            Some(unready) => Probe::Pending(unready.join("; ")),
        })
    };
    let wait = Wait::new(what, work.inputs.time_left(), &**work.reporter);
    match started.guard(wait.until(look, judge)).await? {
        Ok(()) => Ok(()),
        Err(WaitError::Failed(error)) => Err(error),
        Err(WaitError::TimedOut(timed_out)) => {
            remove_staged(work, started).await?;
            let why = timed_out.state;
            Err(NotReady { why }.into())
        }
    }
}

/// What is not ready yet, for a person.
pub(super) async fn unready(
    cluster: &Cluster,
    plan: &RestorePlan,
    steps: &[Step],
) -> anyhow::Result<Vec<String>> {
    let mut unready = unready_workloads(cluster, steps).await?;
    // It may be that of before: an operator that finds everything as it was writes nothing. What was stopped is looked at
    // directly, above.
    if unready.is_empty()
        && let Some(state) = plan.instance().state(cluster).await?
        && !state.is_completed()
    {
        unready.push(format!("WatsonAssistant {}: {state}", plan.instance));
    }
    Ok(unready)
}

/// Which of the workloads is not ready that these steps bring back, for a person.
async fn unready_workloads(cluster: &Cluster, steps: &[Step]) -> anyhow::Result<Vec<String>> {
    let mut unready = Vec::new();
    for step in steps {
        let state = match step {
            Step::StartStore { name, .. } => {
                workload::readiness(&workload::deployment(cluster, name).await?)
            }
            Step::StartOperator {
                namespace, name, ..
            } => {
                let cluster = cluster.in_namespace(namespace);
                workload::readiness(&workload::deployment(&cluster, name).await?)
            }
            Step::RestartRedis { stateful_set } => {
                let found: Option<StatefulSet> = cluster.find(stateful_set).await?;
                found.map_or(Ok(()), |found| workload::rollout(&found))
            }
            _ => Ok(()),
        };
        unready.extend(state.err());
    }
    Ok(unready)
}

/// Removes what was staged, and the copy inside the server.
pub(super) async fn clean_up(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    remove_staged(work, started).await?;
    database::drop_copy(work, started).await?;
    Ok(Outcome::Done)
}

async fn remove_staged(work: &Work<'_>, started: &StartedStep<'_, Restore>) -> anyhow::Result<()> {
    let place = Place::of_run(started.run());
    let cluster = work.cluster.clone();
    started
        .change(move |_| async move { place.remove(&cluster).await })
        .await?
}
