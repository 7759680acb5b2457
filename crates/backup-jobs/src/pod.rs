//! What a Job's pod tells.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, PodStatus};
use kube::ResourceExt as _;

/// Waiting of these kinds is the beginning of every pod.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// A pod of a Job, as far as a user wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PodRun {
    pub(crate) name: String,
    /// Its first container.
    pub(crate) container: String,
    /// When that began, by its node's clock.
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// Whether its node put it out.
    pub(crate) evicted: bool,
    pub(crate) why_failed: Option<String>,
    /// What it does now, or waits for.
    pub(crate) state: String,
}

impl PodRun {
    pub(crate) fn from_pod(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let container = container.map(|one| one.name.clone()).unwrap_or_default();
        let mut statuses = status.container_statuses.iter().flatten();
        let state = statuses.find(|one| one.name == container);
        let state = state.and_then(|one| one.state.clone()).unwrap_or_default();
        let running = state
            .running
            .as_ref()
            .and_then(|one| one.started_at.clone());
        let ended = state.terminated.as_ref();
        let began = || ended.and_then(|one| one.started_at.clone());
        let evicted = status.reason.as_deref() == Some("Evicted");
        let failed = status.phase.as_deref() == Some("Failed");
        Self {
            name: pod.name_any(),
            started: running.or_else(began).map(|time| time.0),
            finished: ended
                .and_then(|one| one.finished_at.clone())
                .map(|time| time.0),
            evicted,
            why_failed: failed.then(|| why_failed(&status, &container, ended)),
            state: state_of(
                &status,
                state.waiting.as_ref().and_then(|waiting| {
                    let reason = waiting.reason.as_deref()?;
                    let message = waiting.message.as_deref().unwrap_or_default();
                    (!USUAL.contains(&reason)).then(|| format!("{reason}: {message}"))
                }),
            ),
            container,
        }
    }
}

fn why_failed(
    status: &PodStatus,
    container: &str,
    ended: Option<&ContainerStateTerminated>,
) -> String {
    let of_pod = status.message.clone().or_else(|| status.reason.clone());
    let of_container = ended.map(|ended| {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        format!(
            "container {container} ended with exit code {} ({reason})",
            ended.exit_code
        )
    });
    let why = of_pod.or(of_container);
    why.unwrap_or_else(|| "its pod says nothing of why".to_owned())
}

fn state_of(status: &PodStatus, waiting: Option<String>) -> String {
    let phase = status.phase.as_deref().unwrap_or("Pending");
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|one| one.type_ == "PodScheduled" && one.status == "False")
        .find_map(|one| one.message.clone());
    match waiting.or(unscheduled) {
        Some(why) => format!("its pod is {phase}: {why}"),
        None => format!("its pod is {phase}"),
    }
}
