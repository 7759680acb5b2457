//! Whether commands can be run in pods from here, asked before anything is made for them.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube_transfer::PodContainer;
use kube_transfer::exec::{OpenError, Session};

use super::{Cluster, ClusterError};

/// Pods looked at in search of one that runs.
const PODS: u32 = 50;

/// What stands between here and the API server passes no WebSockets on.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NoWebSockets(OpenError);

impl Cluster {
    /// Opens and closes a WebSocket, with the command `true` in a pod that runs. Where no pod runs, or the user may not
    /// list them, nothing is known and nothing said.
    pub async fn require_websockets(&self) -> Result<(), NoWebSockets> {
        let Ok(Some(target)) = self.any_running().await else {
            return Ok(());
        };
        let options = self.transfer_options().stream;
        let command = ["true".to_owned()];
        match Session::open(self.client(), &target, command, &options).await {
            Err(error) if error.is_for_want_of_websockets() => Err(NoWebSockets(error)),
            // Whatever else there is comes up, and is told, where it matters.
            _ => Ok(()),
        }
    }

    async fn any_running(&self) -> Result<Option<PodContainer>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client().clone(), self.namespace());
        let running = ListParams::default()
            .fields("status.phase=Running")
            .limit(PODS);
        let pods = self
            .send_idempotent("list pods", || api.list(&running))
            .await?;
        let container = |pod: &Pod| {
            let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
            let runs = statuses.iter().find(|one| {
                one.state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some())
            })?;
            Some(PodContainer {
                namespace: self.namespace().to_owned(),
                pod: pod.name_any(),
                container: runs.name.clone(),
            })
        };
        Ok(pods.items.iter().find_map(container))
    }
}
