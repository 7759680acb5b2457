//! Through a helper pod that has the claim mounted: what `oc debug` does, from the CronJob's template or the pod of a
//! Job that has ended.

use std::fmt;
use std::time::Duration;

use kube_transfer::PodContainer;
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::preflight::missing_permissions;

use super::obstacles::Obstacles;
use super::options::AccessOptions;
use crate::discovery::Discovery;
use crate::helper::Helper;
use crate::permissions::to_use_helper_pod;
use crate::remedy::Obstacle;
use crate::run::VolumeRun;

/// The pod to make.
#[derive(Debug)]
pub(crate) struct DebugPlan {
    helper: Helper,
    /// Where the pod's spec comes from.
    origin: String,
}

impl fmt::Display for DebugPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "helper pod from {}", self.origin)?;
        match self.helper.node() {
            Some(node) => write!(f, " on {node}, where the volume is in use"),
            None => Ok(()),
        }
    }
}

pub(super) async fn plan(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> Result<Result<DebugPlan, Obstacles>, ClusterError> {
    let mut obstacles = Vec::new();
    if !discovery.can_be_mounted() {
        obstacles.push(Obstacle::from(format!(
            "claim {} is {}, so that no pod can mount it",
            discovery.claim_name(),
            discovery.phase()
        )));
    }
    if let Some(mount) = discovery
        .mounts
        .first()
        .filter(|_| discovery.is_for_one_pod())
    {
        obstacles.push(Obstacle::from(format!(
            "the volume is for one pod at a time (ReadWriteOncePod), and pod {} has it",
            mount.pod
        )));
    }
    let template = discovery.template();
    if template.is_none() {
        let reason =
            "there is neither a CronJob nor a finished pod of it to take image and account from";
        obstacles.push(Obstacle::from(reason.to_owned()));
    }
    let missing = missing_permissions(cluster, &to_use_helper_pod()).await?;
    obstacles.extend(missing.map(Obstacle::from));
    let Some(template) = template.filter(|_| obstacles.is_empty()) else {
        return Ok(Err(Obstacles::from(obstacles)));
    };
    let helper =
        Helper::from_template(&template, &discovery.claim_name(), options.image.as_deref());
    let helper = helper.map(|helper| match discovery.node_in_use() {
        Some(node) => helper.on_node(node),
        None => helper,
    });
    Ok(helper
        .map(|helper| DebugPlan {
            helper,
            origin: template.origin,
        })
        .map_err(Obstacles::from))
}

impl DebugPlan {
    pub(super) async fn open(
        &self,
        run: &VolumeRun,
        timeout: Duration,
    ) -> anyhow::Result<(PodContainer, String)> {
        self.helper.start(run, timeout).await
    }
}
