//! Through a running pod that has the claim mounted: nothing is created.

use std::fmt;

use kube_transfer::PodContainer;
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::preflight::missing_permissions;

use super::obstacles::Obstacles;
use crate::discovery::{Discovery, Mount, MountPath};
use crate::permissions::to_read_in_pod;

/// The container to run commands in.
#[derive(Debug)]
pub(crate) struct PodPlan {
    pod: String,
    place: MountPath,
}

impl fmt::Display for PodPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, place } = self;
        write!(f, "running pod {pod} has it at {}", place.path)
    }
}

pub(super) async fn plan(
    cluster: &Cluster,
    discovery: &Discovery,
    asked_for: bool,
) -> Result<Result<PodPlan, Obstacles>, ClusterError> {
    // The pod of a Job goes away in the middle, when its backup is done, and so does the helper pod of another run.
    let lasts = |mount: &Mount| mount.job.is_none() && mount.run.is_none();
    let lasting = |mount: &&Mount| mount.running && (lasts(mount) || asked_for);
    let usable = |mount: &Mount| {
        Some(PodPlan {
            pod: mount.pod.clone(),
            place: mount.place.clone().filter(|place| place.whole)?,
        })
    };
    let found = discovery.mounts.iter().filter(lasting).find_map(usable);
    let Some(plan) = found else {
        let mut pods: Vec<&str> = discovery.mounts.iter().map(|mount| &*mount.pod).collect();
        pods.dedup();
        return Ok(Err(Obstacles::from(if pods.is_empty() {
            "no running pod has the claim mounted".to_owned()
        } else {
            format!(
                "{} has the claim, but does not run, sees a part of the volume only, or is about to end",
                pods.join(", ")
            )
        })));
    };
    Ok(
        match missing_permissions(cluster, &to_read_in_pod()).await? {
            None => Ok(plan),
            Some(missing) => Err(Obstacles::from(missing)),
        },
    )
}

impl PodPlan {
    pub(super) fn open(&self, cluster: &Cluster) -> (PodContainer, String) {
        let target = PodContainer {
            namespace: cluster.namespace().to_owned(),
            pod: self.pod.clone(),
            container: self.place.container.clone(),
        };
        (target, self.place.path.clone())
    }
}
