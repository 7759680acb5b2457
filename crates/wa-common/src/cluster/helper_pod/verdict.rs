//! What a pod's state and events say about whether it will ever run.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodStatus};

use super::HELPER_CONTAINER;
use crate::report::printable;

/// How a pod that is waited for stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its container runs.
    Running,
    /// It is on its way.
    Waiting {
        /// What happens at the moment, for a person.
        on: String,
    },
    /// Something is in its way.
    Stuck(Obstacle),
    /// It will never run.
    Ended {
        /// Why.
        why: String,
    },
}

/// What keeps a pod from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The cluster's name for it: the same obstacle keeps it while its message changes.
    pub(super) reason: String,
    /// The cluster's own words.
    pub(super) message: String,
    /// How long it may take to pass by itself.
    pub(super) grace: Duration,
}

/// A mistake in the pod: waiting does not help.
const NEVER: Duration = Duration::ZERO;
/// What the node reads from a cache that may be a moment behind.
const CACHED: Duration = Duration::from_secs(5);
/// A registry that did not answer once.
const PULL: Duration = Duration::from_secs(10);
/// A container that fails a few times before it finds what it needs.
const CRASHING: Duration = Duration::from_mins(1);
/// Room that a pod which is just ending still takes.
const SCHEDULING: Duration = Duration::from_secs(15);
/// A volume that is just being unmounted elsewhere.
const VOLUME: Duration = Duration::from_secs(30);
/// A volume that is just being detached from another node, for which clouds take over a minute.
const DETACHING: Duration = Duration::from_mins(3);
const MULTI_ATTACH: &str = "Multi-Attach";

/// Judges a pod by its status and by the events about it.
pub(super) fn judge(pod: &Pod, events: &[Event]) -> Verdict {
    let status = pod.status.clone().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return Verdict::Ended {
            why: "somebody is deleting it".to_owned(),
        };
    }
    let phase = status.phase.as_deref().unwrap_or("Pending");
    // Others may have been put in by the cluster.
    let mut containers = status.container_statuses.iter().flatten();
    let container = containers.find(|container| container.name == HELPER_CONTAINER);
    let state = container.and_then(|container| container.state.as_ref());
    let terminated = state.is_some_and(|state| state.terminated.is_some());
    if terminated || matches!(phase, "Failed" | "Succeeded") {
        return Verdict::Ended {
            why: why_ended(&status),
        };
    }
    // Whatever the phase: the pod is Pending as long as a container beside it does not start.
    if state.is_some_and(|state| state.running.is_some()) {
        return Verdict::Running;
    }
    if let Some(obstacle) = container.and_then(|container| container_obstacle(container, events)) {
        return Verdict::Stuck(obstacle);
    }
    // The helper starts after them. The cluster has put them in.
    let mut initial = status.init_container_statuses.iter().flatten();
    if let Some(obstacle) = initial.find_map(|container| container_obstacle(container, events)) {
        return Verdict::Stuck(obstacle);
    }
    if let Some(verdict) = unscheduled(&status, events) {
        return verdict;
    }
    let Some(latest) = latest(events.iter().filter(|event| tells_of_start(event))) else {
        return Verdict::Waiting {
            on: "a node to start it".to_owned(),
        };
    };
    let message = text(latest.message.as_deref());
    match reason(latest) {
        "FailedMount" | "FailedAttachVolume" if let Some(message) = attached_elsewhere(events) => {
            Verdict::Stuck(Obstacle {
                reason: "FailedAttachVolume".to_owned(),
                message,
                grace: DETACHING,
            })
        }
        reason @ ("FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox") => {
            Verdict::Stuck(Obstacle {
                reason: reason.to_owned(),
                message,
                grace: VOLUME,
            })
        }
        _ => Verdict::Waiting { on: message },
    }
}

fn container_obstacle(container: &ContainerStatus, events: &[Event]) -> Option<Obstacle> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let (reason, grace) = match reason {
        "InvalidImageName" | "ErrImageNeverPull" => (reason, NEVER),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            (reason, CACHED)
        }
        // An init container that waits for something by failing until it is there.
        "CrashLoopBackOff" => (reason, CRASHING),
        // The node alternates between them.
        "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
            ("ImagePullBackOff", PULL)
        }
        _ => return None,
    };
    // The status only says that it waits before the next try; the event says what became of the last.
    let pull = |event: &&Event| {
        self::reason(event) == "Failed" && text(event.message.as_deref()).contains("pull")
    };
    let cause = (reason == "ImagePullBackOff")
        .then(|| latest(events.iter().filter(pull)))
        .flatten()
        .and_then(|event| event.message.as_deref());
    let message = text(cause.or(waiting.message.as_deref()));
    Some(Obstacle {
        reason: reason.to_owned(),
        message: of_container(container, message),
        grace,
    })
}

/// A message about a container, with its name where that is not the helper.
fn of_container(container: &ContainerStatus, message: String) -> String {
    if container.name == HELPER_CONTAINER {
        return message;
    }
    format!("container {}: {message}", text(Some(&container.name)))
}

/// What the scheduler says of a pod that has no node.
fn unscheduled(status: &PodStatus, events: &[Event]) -> Option<Verdict> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = text(condition.message.as_deref());
    let unschedulable = condition.reason.as_deref() == Some("Unschedulable");
    // A volume that is being made from a snapshot, or a node that is being started, comes in its own time.
    let passes = message.contains("unbound immediate PersistentVolumeClaims")
        || events
            .iter()
            .any(|event| reason(event) == "TriggeredScaleUp");
    Some(if unschedulable && !passes {
        Verdict::Stuck(Obstacle {
            reason: "Unschedulable".to_owned(),
            message,
            grace: SCHEDULING,
        })
    } else {
        Verdict::Waiting {
            on: if message.is_empty() {
                "the scheduler".to_owned()
            } else {
                message
            },
        }
    })
}

/// What was said last of a volume that another node still has; the node that wants it only tells of the waiting.
fn attached_elsewhere(events: &[Event]) -> Option<String> {
    let of_attaching = |event: &&Event| {
        matches!(
            reason(event),
            "SuccessfulAttachVolume" | "FailedAttachVolume"
        )
    };
    let message = latest(events.iter().filter(of_attaching))?
        .message
        .as_deref()?;
    message.contains(MULTI_ATTACH).then(|| text(Some(message)))
}

/// The pod's own reason (evicted, deadline, refused by the node), else how its container ended, else how one ended that
/// the cluster has put in.
fn why_ended(status: &PodStatus) -> String {
    let of_pod = [status.reason.as_deref(), status.message.as_deref()];
    let ended = |container: &ContainerStatus| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        let said = [ended.reason.as_deref(), ended.message.as_deref()];
        let how = format!("{} (exit code {})", joined(&said), ended.exit_code);
        let is_helper = container.name == HELPER_CONTAINER;
        // An init container that did its work did not end the pod.
        (is_helper || ended.exit_code != 0).then(|| (is_helper, of_container(container, how)))
    };
    let containers = [&status.container_statuses, &status.init_container_statuses];
    let containers = containers.into_iter().flatten().flatten();
    let how = containers
        .filter_map(ended)
        .max_by_key(|(is_helper, _)| *is_helper);
    let pod = joined(&of_pod);
    match how {
        _ if !pod.is_empty() => pod,
        Some((_, how)) => how,
        None => "it ended, and its status does not say why".to_owned(),
    }
}

fn joined(parts: &[Option<&str>]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(|part| text(Some(part)))
        .collect();
    parts.join(": ")
}

/// Whether an event is about a step on the way to a running container.
fn tells_of_start(event: &Event) -> bool {
    matches!(
        reason(event),
        "Scheduled"
            | "SuccessfulAttachVolume"
            | "Pulling"
            | "Pulled"
            | "Created"
            | "Started"
            | "FailedMount"
            | "FailedAttachVolume"
            | "FailedCreatePodSandBox"
    )
}

fn reason(event: &Event) -> &str {
    event.reason.as_deref().unwrap_or_default()
}

fn latest<'a>(events: impl Iterator<Item = &'a Event>) -> Option<&'a Event> {
    events.max_by_key(|event| time(event))
}

/// When an event was last seen. Components fill in different fields.
fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref();
    [
        series.and_then(|series| Some(series.last_observed_time.as_ref()?.0)),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0),
    ]
    .into_iter()
    .flatten()
    .max()
}

fn text(message: Option<&str>) -> String {
    printable(message.unwrap_or_default().trim()).into_owned()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
