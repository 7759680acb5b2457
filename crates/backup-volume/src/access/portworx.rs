//! Through a Portworx pod, which attaches the volume to its node: IBM's recipe for Portworx, without SSH.
//!
//! A volume that stays attached makes the next backup fail. Therefore it is attached only where nobody else uses it nor
//! is about to, and unmounting and detaching are part of the run's record before the volume is touched.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use kube_transfer::PodContainer;
use wa_common::cluster::Cluster;
use wa_common::preflight::missing_permissions;
use wa_common::report::elapsed;

use super::obstacles::Obstacles;
use super::options::AccessOptions;
use crate::change::VolumeChange;
use crate::discovery::Discovery;
use crate::permissions::{to_record, to_use_portworx};
use crate::portworx::{
    LABEL, NAMESPACES, PortworxMount, Pxctl, container_of, mark_of, node_of, path_of, ready_pods,
};
use crate::remedy::{Obstacle, Remediable, Remedy};
use crate::run::VolumeRun;

/// Portworx's CSI driver, and the provisioner that was built into Kubernetes.
const PROVISIONERS: [&str; 2] = ["pxd.portworx.com", "kubernetes.io/portworx-volume"];
/// The volume, and the pod to attach it through.
#[derive(Debug)]
pub(crate) struct PortworxPlan {
    volume: String,
    target: PodContainer,
    node: String,
}

impl fmt::Display for PortworxPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            volume,
            target,
            node,
        } = self;
        write!(
            f,
            "volume {volume} is attached to {node} through pod {} in {}",
            target.pod, target.namespace
        )
    }
}

pub(super) async fn plan(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> anyhow::Result<Result<PortworxPlan, Obstacles>> {
    let provisioner = discovery.provisioner().unwrap_or("unknown");
    if !PROVISIONERS.contains(&provisioner) {
        return Ok(Err(Obstacles::from(format!(
            "the volume is not Portworx's (its provisioner is {provisioner})"
        ))));
    }
    let Some(volume) = discovery.volume_name() else {
        return Ok(Err(Obstacles::from(
            "the claim is not bound to a volume".to_owned(),
        )));
    };
    let mut obstacles = in_use(discovery, options);
    let missing = missing_permissions(cluster, &to_record()).await?;
    obstacles.extend(missing.map(Obstacle::from));
    match find_pod(cluster).await? {
        Err(reason) => obstacles.push(reason.into()),
        Ok((target, node)) => {
            let pxctl = Pxctl::new(&target);
            match pxctl.inspect(cluster, volume).await {
                Err(error) => obstacles.push(format!("{error:#}").into()),
                Ok(state) => obstacles.extend(state.obstacle(volume).map(Obstacle::from)),
            }
            if obstacles.is_empty() {
                let volume = volume.to_owned();
                return Ok(Ok(PortworxPlan {
                    volume,
                    target,
                    node,
                }));
            }
        }
    }
    Ok(Err(Obstacles::from(obstacles)))
}

/// Who uses the volume now, or will within the window.
fn in_use(discovery: &Discovery, options: &AccessOptions) -> Vec<Obstacle> {
    let mut reasons: Vec<Obstacle> = Vec::new();
    for mount in &discovery.mounts {
        reasons.push(format!("pod {} has the volume mounted", mount.pod).into());
    }
    // Of a pod with several mounts.
    reasons.dedup();
    for job in discovery.active_jobs() {
        reasons.push(format!("backup job {job} is running").into());
    }
    if let Some(wait) = discovery.next_backup_within(options.window) {
        let reason = format!(
            "a backup starts in {}: wait until it is over",
            elapsed(wait)
        );
        reasons.push(Obstacle::new(reason, Remedy::ShorterWindow));
    }
    if let Some(schedule) = discovery
        .unreadable_schedule()
        .filter(|_| options.window.is_some())
    {
        let reason = format!(
            "the schedule {schedule:?} does not tell when the next backup starts: make sure that none is near"
        );
        reasons.push(Obstacle::new(reason, Remedy::NoWindow));
    }
    reasons
}

/// A Ready Portworx pod that the user may run commands in, and its node; else the reason why there is none.
async fn find_pod(cluster: &Cluster) -> anyhow::Result<Result<(PodContainer, String), String>> {
    let mut reasons = Vec::new();
    for namespace in NAMESPACES {
        let there = cluster.in_namespace(namespace);
        if let Some(missing) = missing_permissions(&there, &to_use_portworx()).await? {
            reasons.push(missing);
            continue;
        }
        let ready = ready_pods(&there).await?;
        if let Some(pod) = ready.first() {
            return Ok(Ok((container_of(pod, namespace), node_of(pod))));
        }
        reasons.push(format!(
            "no Ready pod labelled {LABEL} in namespace {namespace:?}"
        ));
    }
    Ok(Err(reasons.join(", ")))
}

impl PortworxPlan {
    pub(super) async fn open(&self, run: &VolumeRun) -> anyhow::Result<(PodContainer, String)> {
        let path = path_of(run.run_name());
        let mount = PortworxMount {
            namespace: self.target.namespace.clone(),
            pod: self.target.pod.clone(),
            node: self.node.clone(),
            volume: self.volume.clone(),
            path: path.clone(),
        };
        let recorded = run.record(VolumeChange::Portworx(mount)).await?;
        run.step(
            "attaching",
            format!("volume {} to {}", self.volume, self.node),
        );
        let attach = attach(
            run.cluster().clone(),
            self.target.clone(),
            self.volume.clone(),
            path.clone(),
        );
        recorded.make(attach).await?;
        Ok((self.target.clone(), path))
    }
}

async fn attach(
    cluster: Cluster,
    target: PodContainer,
    volume: String,
    path: String,
) -> anyhow::Result<()> {
    let pxctl = Pxctl::new(&target);
    // Somebody may have attached it since the assessment.
    let state = pxctl.inspect(&cluster, &volume).await?;
    if let Some(reason) = state.obstacle(&volume) {
        bail!("{reason}");
    }
    pxctl.make_directory(&cluster, &mark_of(&path)).await?;
    pxctl.make_directory(&cluster, &path).await?;
    let attached = pxctl.attach(&cluster, &volume).await;
    if state.is_encrypted() {
        // Only trying tells: a key for the whole cluster is shown nowhere.
        attached.with_context(|| {
            let what = format!("volume {volume} is encrypted, and Portworx may not know its key");
            Remediable::new(what, Remedy::HelperPod)
        })?;
    } else {
        attached?;
    }
    pxctl.mount(&cluster, &volume, &path).await?;
    ensure!(
        pxctl.sees_mount(&cluster, &path).await?,
        "Portworx mounted the volume where pod {} does not see it; use another way",
        target.pod
    );
    Ok(())
}
