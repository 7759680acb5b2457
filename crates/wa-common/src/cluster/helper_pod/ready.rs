//! Waiting for a helper pod, no longer than it makes sense.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event as PodEvent, Pod};
use kube_transfer::PodContainer;
use thiserror::Error;

use super::super::{Cluster, ClusterError, Lasting, Probe, TimedOut, Wait, WaitError};
use super::HELPER_CONTAINER;
use super::verdict::{Obstacle, Verdict, judge};
use crate::report::{Reporter, elapsed};

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
        "pod {pod} was not running after {}, and waits for: {on}",
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
    let pod = || name.to_owned();
    let look = || async {
        let Some(pod) = cluster.find::<Pod>(name).await? else {
            return Ok(None);
        };
        let events = events(cluster, &pod, name).await;
        Ok(Some(judge(&pod, &events)))
    };
    let mut stuck: Option<(String, Lasting)> = None;
    let judged = |verdict: Option<Verdict>| match verdict {
        None => Err(NotReady::Gone { pod: pod() }),
        Some(Verdict::Running) => Ok(Probe::Done(())),
        Some(Verdict::Ended { why }) => Err(NotReady::Ended { pod: pod(), why }),
        Some(Verdict::Waiting { on }) => {
            stuck = None;
            Ok(Probe::Pending(on))
        }
        Some(Verdict::Stuck(Obstacle {
            reason,
            message,
            grace,
        })) => {
            let before = stuck.take().filter(|(before, _)| *before == reason);
            let (_, lasting) = stuck.insert(before.unwrap_or((reason.clone(), Lasting::default())));
            if lasting.so() < grace {
                return Ok(Probe::Pending(format!("{reason}: {message}")));
            }
            Err(NotReady::Stuck {
                pod: pod(),
                reason,
                message,
            })
        }
    };
    let wait = Wait::new(format!("for pod {name}"), limit, reporter);
    wait.until(look, judged)
        .await
        .map_err(|ended| match ended {
            WaitError::Failed(error) => error,
            WaitError::TimedOut(TimedOut { after, state, .. }) => NotReady::TimedOut {
                pod: pod(),
                after,
                on: state,
            },
        })?;
    Ok(PodContainer {
        namespace: cluster.namespace().to_owned(),
        pod: pod(),
        container: HELPER_CONTAINER.to_owned(),
    })
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
