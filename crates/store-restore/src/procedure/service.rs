//! Everything comes back as it was, and what was staged is removed.

use k8s_openapi::api::apps::v1::StatefulSet;
use wa_common::cluster::{Cluster, Probe, Wait, WaitError};
use wa_common::report::Event;
use wa_common::run::journal::StartedStep;

use super::place::Place;
use super::work::Work;
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
        Step::RestartRedis { stateful_set } => {
            started
                .change(move |_| async move { workload::restart(&cluster, &stateful_set).await })
                .await??;
        }
        _ => return settle(work, started).await,
    }
    Ok(Outcome::Done)
}

/// Waits until everything is ready. When the time is over it goes on: everything runs, and takes longer.
async fn settle(work: &Work<'_>, started: &StartedStep<'_, Restore>) -> anyhow::Result<Outcome> {
    let plan = started.run().plan();
    let steps: Vec<Step> = started
        .run()
        .steps()
        .into_iter()
        .map(|record| record.step)
        .collect();
    let look = || patiently(unready(work.cluster, &plan, &steps));
    let judge = |found: Option<Vec<String>>| {
        Ok::<_, anyhow::Error>(match found {
            None => Probe::Pending(AWAY.to_owned()),
            Some(unready) if unready.is_empty() => Probe::Done(()),
            Some(unready) => Probe::Pending(unready.join("; ")),
        })
    };
    let wait = Wait::new(
        "until everything is ready",
        work.inputs.timeout,
        &**work.reporter,
    );
    match started.guard(wait.until(look, judge)).await? {
        Ok(()) => Ok(Outcome::Done),
        Err(WaitError::Failed(error)) => Err(error),
        Err(WaitError::TimedOut(timed_out)) => Ok(Outcome::NotReady {
            why: timed_out.state.chars().take(MOST_LETTERS).collect(),
        }),
    }
}

/// What of it the journal keeps.
const MOST_LETTERS: usize = 500;

/// What is not ready yet, for a person.
async fn unready(
    cluster: &Cluster,
    plan: &RestorePlan,
    steps: &[Step],
) -> anyhow::Result<Vec<String>> {
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
    // The operator writes it; as long as that has not looked, it says what was before.
    if unready.is_empty()
        && let Some(state) = plan.instance().state(cluster).await?
        && !state.is_completed()
    {
        unready.push(format!("WatsonAssistant {}: {state}", plan.instance));
    }
    Ok(unready)
}

/// Removes what was staged, and the copy inside the server where everything is ready.
pub(super) async fn clean_up(
    work: &Work<'_>,
    started: &StartedStep<'_, Restore>,
) -> anyhow::Result<Outcome> {
    let place = Place::of_run(started.run());
    let cluster = work.cluster.clone();
    let removed = started
        .change(move |_| async move { place.remove(&cluster).await })
        .await?;
    removed?;
    let steps = started.run().steps();
    let outcomes = steps.iter().filter_map(|record| record.state.outcome());
    let is_ready = outcomes
        .into_iter()
        .all(|outcome| !matches!(outcome, Outcome::NotReady { .. }));
    if is_ready {
        database::drop_copy(work, started).await?;
    } else {
        work.reporter.report(&Event::Step {
            step: "copy",
            detail: "the copy of the database of before stays, since not everything is ready"
                .to_owned(),
        });
    }
    Ok(Outcome::Done)
}
