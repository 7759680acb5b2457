//! Pods and the claim: which have it mounted, and which a helper pod can be made like.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};
use kube::ResourceExt as _;
use kube_transfer::PodContainer;
use serde::Serialize;
use wa_common::cluster::run::RUN_LABEL;

/// One container that has the claim mounted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Absent until the pod is scheduled.
    pub(crate) node: Option<String>,
    pub(crate) path: String,
    /// Whether commands can run in the container now.
    pub(crate) running: bool,
    /// Whether it sees all of the volume, rather than a directory of it.
    pub(crate) whole: bool,
    /// The Job that the pod belongs to: it ends when that is done.
    pub(crate) job: Option<String>,
    /// The run whose helper the pod is: it ends with that.
    pub(crate) run: Option<String>,
    #[serde(skip)]
    pub(super) created: Option<Timestamp>,
}

/// A pod spec that a helper pod can be made from.
pub(crate) struct Template<'a> {
    /// Whose it is.
    pub(crate) origin: String,
    pub(crate) spec: &'a PodSpec,
    /// The claim that it mounts, in whose place the helper pod has ours.
    pub(crate) claim: String,
}

/// The first claim that a pod's spec mounts as a whole.
pub(super) fn mounted_claim(spec: &PodSpec) -> Option<String> {
    let volumes = spec.volumes.iter().flatten();
    volumes
        .filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name))
        .find(|claim| mount_in(spec, claim).is_some())
        .cloned()
}

/// The container that mounts the claim as a whole, and where, in a pod's spec.
pub(super) fn mount_in<'a>(spec: &'a PodSpec, claim: &str) -> Option<(&'a Container, &'a str)> {
    let volume = volume_of(spec.volumes.as_deref()?, claim)?;
    spec.containers.iter().find_map(|container| {
        let mount = container
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.name == volume.name && mount.sub_path.is_none())?;
        Some((container, mount.mount_path.as_str()))
    })
}

impl Mount {
    pub(crate) fn target(&self, namespace: &str) -> PodContainer {
        PodContainer {
            namespace: namespace.to_owned(),
            pod: self.pod.clone(),
            container: self.container.clone(),
        }
    }
}

fn volume_of<'a>(volumes: &'a [Volume], claim: &str) -> Option<&'a Volume> {
    volumes.iter().find(|volume| {
        volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|source| source.claim_name == claim)
    })
}

pub(super) fn claim_volume<'a>(pod: &'a Pod, claim: &str) -> Option<&'a Volume> {
    volume_of(pod.spec.as_ref()?.volumes.as_deref()?, claim)
}

pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

pub(super) fn created(pod: &Pod) -> Option<Timestamp> {
    let time = pod.metadata.creation_timestamp.as_ref();
    time.map(|time| time.0)
}

pub(super) fn mounts(pod: &Pod, claim: &str) -> Vec<Mount> {
    let Some((spec, volume)) = pod.spec.as_ref().zip(claim_volume(pod, claim)) else {
        return Vec::new();
    };
    let owners = pod.metadata.owner_references.iter().flatten();
    let job = owners
        .filter(|owner| owner.kind == "Job")
        .map(|owner| owner.name.clone())
        .next();
    let going = pod.metadata.deletion_timestamp.is_some();
    let running = |container: &str| {
        let statuses = pod
            .status
            .iter()
            .flat_map(|status| &status.container_statuses);
        statuses.flatten().any(|status| {
            let state = status.state.as_ref();
            status.name == container && state.is_some_and(|state| state.running.is_some())
        })
    };
    let of = |container: &Container| {
        let mounts = container.volume_mounts.iter().flatten();
        let here = mounts.filter(|mount| mount.name == volume.name);
        here.map(|mount| Mount {
            pod: pod.name_any(),
            container: container.name.clone(),
            node: spec.node_name.clone(),
            path: mount.mount_path.clone(),
            running: running(&container.name) && !going,
            whole: mount.sub_path.is_none() && mount.sub_path_expr.is_none(),
            job: job.clone(),
            run: pod.labels().get(RUN_LABEL).cloned(),
            created: created(pod),
        })
        .collect::<Vec<_>>()
    };
    spec.containers.iter().flat_map(of).collect()
}
