//! The four ways to the files of the volume.
//!
//! Each way is first assessed, which changes nothing and yields a [`AccessPlan`] or the reasons against it, and then opened,
//! which records every change before it is made.

mod debug;
mod obstacles;
mod options;
mod pod;
mod portworx;
mod restored;
mod snapshot;

use std::fmt;

use futures::future::try_join_all;
use kube_transfer::PodContainer;
use kube_transfer::file::Space;
use wa_common::cluster::Cluster;

use crate::caller::Caller;
use crate::discovery::Discovery;
use crate::run::VolumeRun;
use debug::DebugPlan;
pub use obstacles::{NoWay, Obstacles};
pub use options::{AccessMethod, AccessOptions, Via};
use portworx::PortworxPlan;
use snapshot::SnapshotPlan;

/// One way, and whether it can be gone.
#[derive(Debug)]
pub struct Assessment {
    /// Which.
    pub method: AccessMethod,
    /// How it is gone, or what speaks against it.
    pub plan: Result<AccessPlan, Obstacles>,
}

/// A way that can be gone.
#[derive(Debug)]
pub struct AccessPlan(Way);

#[derive(Debug)]
enum Way {
    Pod(pod::PodPlan),
    Debug(Box<DebugPlan>),
    Snapshot(Box<SnapshotPlan>),
    Portworx(PortworxPlan),
}

impl fmt::Display for AccessPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Pod(plan) => plan.fmt(f),
            Way::Debug(plan) => plan.fmt(f),
            Way::Snapshot(plan) => plan.fmt(f),
            Way::Portworx(plan) => plan.fmt(f),
        }
    }
}

/// Where the files of the volume can be read now.
pub struct Access {
    pub(crate) via: AccessMethod,
    pub(crate) target: PodContainer,
    pub(crate) directory: String,
    /// What was begun for it; nothing where no change was needed.
    run: Option<VolumeRun>,
}

impl Access {
    /// What is used and what is free of the volume.
    pub async fn space(&self, cluster: &Cluster) -> anyhow::Result<Space> {
        Ok(cluster.pod(&self.target).space(&self.directory).await?)
    }

    /// Does `work` with the files, as long as what was made for access to them is this command's own.
    pub async fn guard<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match &self.run {
            Some(run) => run.guard(work).await,
            None => work.await,
        }
    }
}

impl AccessPlan {
    /// Which it is.
    pub fn method(&self) -> AccessMethod {
        match &self.0 {
            Way::Pod(_) => AccessMethod::Pod,
            Way::Debug(_) => AccessMethod::Debug,
            Way::Snapshot(_) => AccessMethod::Snapshot,
            Way::Portworx(_) => AccessMethod::Portworx,
        }
    }

    /// Goes it. What is made on the way is undone when the process ends, however it ends.
    pub async fn open(&self, caller: &Caller, options: &AccessOptions) -> anyhow::Result<Access> {
        let timeout = options.timeout();
        if !matches!(self.0, Way::Pod(_)) {
            // Nothing is made that could then not be used.
            caller.cluster.require_websockets().await?;
        }
        let begin = || VolumeRun::begin(caller, self.to_string());
        let ((target, directory), run) = match &self.0 {
            Way::Pod(plan) => (plan.open(&caller.cluster), None),
            Way::Debug(plan) => {
                let run = begin().await?;
                (plan.open(&run, timeout).await?, Some(run))
            }
            Way::Snapshot(plan) => {
                let run = begin().await?;
                (plan.open(&run, timeout).await?, Some(run))
            }
            Way::Portworx(plan) => {
                let run = begin().await?;
                (plan.open(&run).await?, Some(run))
            }
        };
        Ok(Access {
            via: self.method(),
            target,
            directory,
            run,
        })
    }
}

/// Looks at every way that the options allow.
pub async fn assess_all(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> anyhow::Result<Vec<Assessment>> {
    let assessments = options.via.methods().iter();
    try_join_all(assessments.map(|method| assess(*method, cluster, discovery, options))).await
}

async fn assess(
    method: AccessMethod,
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> anyhow::Result<Assessment> {
    let plan = match method {
        AccessMethod::Pod => pod::plan(
            cluster,
            discovery,
            options.via == Via::Only(AccessMethod::Pod),
        )
        .await?
        .map(Way::Pod),
        AccessMethod::Debug => debug::plan(cluster, discovery, options)
            .await?
            .map(|plan| Way::Debug(Box::new(plan))),
        AccessMethod::Snapshot => snapshot::plan(cluster, discovery, options)
            .await?
            .map(|plan| Way::Snapshot(Box::new(plan))),
        AccessMethod::Portworx => portworx::plan(cluster, discovery, options)
            .await?
            .map(Way::Portworx),
    };
    let plan = plan.map(AccessPlan);
    Ok(Assessment { method, plan })
}

/// The way to go: the first that can be gone. The others are not looked at, which for Portworx takes a command in a
/// privileged pod.
pub(crate) async fn choose(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> anyhow::Result<AccessPlan> {
    let mut ways = Vec::new();
    for method in options.via.methods() {
        match assess(*method, cluster, discovery, options).await?.plan {
            Ok(plan) => return Ok(plan),
            Err(obstacles) => ways.push((*method, obstacles)),
        }
    }
    Err(NoWay(ways).into())
}
