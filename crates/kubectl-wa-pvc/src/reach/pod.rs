//! Through a running pod that has the claim mounted: nothing is created.

use std::fmt;

use kube_transfer::PodContainer;
use wa_common::cluster::{Cluster, ClusterError};

use super::{Obstacles, missing_permissions, to_exec};
use crate::survey::{Mount, Survey};

/// The container to run commands in.
#[derive(Debug)]
pub(crate) struct PodPlan(Mount);

impl fmt::Display for PodPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mount { pod, path, .. } = &self.0;
        write!(f, "running pod {pod} has it at {path}")
    }
}

pub(super) async fn plan(
    cluster: &Cluster,
    survey: &Survey,
    asked_for: bool,
) -> Result<Result<PodPlan, Obstacles>, ClusterError> {
    let usable = |mount: &&Mount| mount.running && mount.whole;
    // The pod of a Job goes away in the middle, when its backup is done, and so does the helper pod of another run.
    let lasts = |mount: &Mount| mount.job.is_none() && mount.run.is_none();
    let lasting = |mount: &&Mount| usable(mount) && (lasts(mount) || asked_for);
    let Some(mount) = survey.mounts.iter().find(lasting) else {
        let mut pods: Vec<&str> = survey.mounts.iter().map(|mount| &*mount.pod).collect();
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
    let missing = missing_permissions(cluster, &to_exec()).await?;
    Ok(if missing.is_empty() {
        Ok(PodPlan(mount.clone()))
    } else {
        Err(Obstacles(missing))
    })
}

impl PodPlan {
    pub(super) fn open(&self, cluster: &Cluster) -> (PodContainer, String) {
        (self.0.target(cluster.namespace()), self.0.path.clone())
    }
}
