//! Waiting for a helper pod, no longer than it makes sense.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event as PodEvent, Pod};
use kube_transfer::PodContainer;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::super::{Cluster, ClusterError};
use super::HELPER_CONTAINER;
use super::verdict::{Obstacle, Verdict, judge};
use crate::report::{Event, Reporter, elapsed};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a user waits for without asking why.
const SILENT: Duration = Duration::from_secs(3);

/// Why a helper pod does not run.
#[derive(Debug, Error)]
pub enum NotReady {
    /// The API server did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Something keeps it from starting, in the cluster's own words.
    #[error("pod {pod} cannot start: {reason}: {message}")]
    Stuck {
        /// The pod.
        pod: String,
        /// The cluster's name for it, such as `Unschedulable`.
        reason: String,
        /// The cluster's message.
        message: String,
    },
    /// It ended before it was of use.
    #[error("pod {pod} has ended: {why}")]
    Ended {
        /// The pod.
        pod: String,
        /// Why.
        why: String,
    },
    /// Somebody deleted it.
    #[error("pod {pod} is gone: somebody deleted it while it was waited for")]
    Gone {
        /// The pod.
        pod: String,
    },
    /// It took too long.
    #[error(
        "pod {pod} was not running after {}, and waits for: {on}; allow more with --timeout",
        elapsed(*after)
    )]
    TimedOut {
        /// The pod.
        pod: String,
        /// How long it was waited for.
        after: Duration,
        /// What it waits for.
        on: String,
    },
}

/// Waits until the helper pod `name` runs, at most `limit`; an obstacle that does not pass by itself ends it earlier.
/// What it waits for is reported when that takes more than a moment.
pub async fn ready(
    cluster: &Cluster,
    name: &str,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<PodContainer, NotReady> {
    let started = Instant::now();
    let mut stuck: Option<(Obstacle, Instant)> = None;
    let mut told = String::new();
    loop {
        let Some(pod) = cluster.find::<Pod>(name).await? else {
            return Err(NotReady::Gone {
                pod: name.to_owned(),
            });
        };
        let on = match judge(&pod, &events(cluster, &pod, name).await) {
            Verdict::Running => {
                return Ok(PodContainer {
                    namespace: cluster.namespace().to_owned(),
                    pod: name.to_owned(),
                    container: HELPER_CONTAINER.to_owned(),
                });
            }
            Verdict::Ended { why } => {
                return Err(NotReady::Ended {
                    pod: name.to_owned(),
                    why,
                });
            }
            Verdict::Waiting { on } => {
                stuck = None;
                on
            }
            Verdict::Stuck(obstacle) => {
                let since = stuck
                    .take()
                    .filter(|(before, _)| before.reason == obstacle.reason)
                    .map_or_else(Instant::now, |(_, since)| since);
                if since.elapsed() >= obstacle.grace {
                    return Err(NotReady::Stuck {
                        pod: name.to_owned(),
                        reason: obstacle.reason,
                        message: obstacle.message,
                    });
                }
                let on = format!("{}: {}", obstacle.reason, obstacle.message);
                stuck = Some((obstacle, since));
                on
            }
        };
        if started.elapsed() >= limit {
            return Err(NotReady::TimedOut {
                pod: name.to_owned(),
                after: limit,
                on,
            });
        }
        if started.elapsed() >= SILENT && on != told {
            reporter.report(&Event::Step {
                step: "waiting",
                detail: format!("for pod {name}: {on}"),
            });
            told = on;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The events about the pod; none where the user may not see them, which only costs the reasons.
async fn events(cluster: &Cluster, pod: &Pod, name: &str) -> Vec<PodEvent> {
    let about_pod = format!("involvedObject.name={name}");
    let mut events: Vec<PodEvent> = cluster.explanations(&about_pod).await;
    // Of an earlier pod of this name there may be some left.
    events.retain(|event| event.involved_object.uid == pod.metadata.uid);
    events
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
