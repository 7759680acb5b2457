//! The pods of Portworx, one on each node.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube_transfer::PodContainer;
use wa_common::cluster::{Cluster, ClusterError};

/// Where Portworx is installed: the usual place, and the operator's.
pub(crate) const NAMESPACES: [&str; 2] = ["kube-system", "portworx"];
pub(crate) const LABEL: &str = "name=portworx";
pub(crate) const CONTAINER: &str = "portworx";

pub(crate) async fn ready_pods(cluster: &Cluster) -> Result<Vec<Pod>, ClusterError> {
    let mut pods: Vec<Pod> = cluster.list(LABEL).await?;
    pods.retain(is_ready);
    Ok(pods)
}

pub(crate) fn container_of(pod: &Pod, namespace: &str) -> PodContainer {
    PodContainer {
        namespace: namespace.to_owned(),
        pod: pod.name_any(),
        container: CONTAINER.to_owned(),
    }
}

pub(crate) fn node_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.clone())
        .unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| &status.container_statuses);
    statuses
        .flatten()
        .any(|status| status.name == CONTAINER && status.ready)
}
