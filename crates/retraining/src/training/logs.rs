//! Reading what store-admin's pods log, again and again, each line once.
//!
//! A pod that comes or goes is seen with the next look. What was logged before the node rotated the log away between two
//! looks is lost; the summary that follows tells the same again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use wa_common::cluster::{Cluster, ClusterError, LogPlace};

use super::progress::Log;
use crate::patch::STORE_ADMIN;

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerRun {
    /// Which, among all that ever were.
    pub(super) id: String,
    /// The pod.
    pub(super) pod: String,
    /// When it started, by its node's clock.
    pub(super) started: Option<Timestamp>,
}

/// Where the reading of each run of a container has come to.
#[derive(Debug, Default)]
pub(super) struct Reader {
    places: BTreeMap<String, LogPlace>,
}

impl ContainerRun {
    /// The run of store-admin that a pod has now; `None` where it never ran.
    pub(super) fn of_pod(pod: &Pod) -> Option<Self> {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let status = statuses.iter().find(|one| one.name == STORE_ADMIN)?;
        let state = status.state.as_ref()?;
        let running = state.running.as_ref().map(|one| one.started_at.clone());
        let ended = || state.terminated.as_ref().map(|one| one.started_at.clone());
        let started = running.or_else(ended)?;
        Some(Self {
            id: format!("{}/{}", pod.uid().unwrap_or_default(), status.restart_count),
            pod: pod.name_any(),
            started: started.map(|time| time.0),
        })
    }
}

impl Reader {
    /// Reads what is new in the log of a run into `log`.
    pub(super) async fn read(
        &mut self,
        cluster: &Cluster,
        run: &ContainerRun,
        log: &mut Log,
    ) -> Result<(), ClusterError> {
        let place = self.places.get(&run.id).copied();
        let line = |time, text: &str| log.add(&run.id, &run.pod, time, text);
        let read = cluster.read_log(&run.pod, STORE_ADMIN, place, line).await?;
        if let Some(place) = read {
            self.places.insert(run.id.clone(), place);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_that_is_started_again_is_another_run() {
        let run = |restarts: i32, state: serde_json::Value| {
            let pod = json!({
                "metadata": { "name": "wa-store-admin-1", "uid": "u" },
                "status": { "containerStatuses": [
                    { "name": "proxy", "restartCount": 9, "image": "", "imageID": "", "ready": true, "state": { "running": {} } },
                    { "name": "store-admin", "restartCount": restarts, "image": "", "imageID": "", "ready": true, "state": state },
                ] },
            });
            ContainerRun::of_pod(&serde_json::from_value(pod).unwrap())
        };
        let running = json!({ "running": { "startedAt": "2026-12-01T00:00:00Z" } });
        let first = run(0, running.clone()).unwrap();
        let second = run(1, running).unwrap();
        assert_ne!(first.id, second.id);
        assert_eq!(first.started, "2026-12-01T00:00:00Z".parse().ok());
        assert_eq!(run(0, json!({ "waiting": {} })), None);
    }
}
