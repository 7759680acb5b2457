//! The four ways to the files of the volume.
//!
//! Each way is first assessed, which changes nothing and yields a [`Plan`] or the reasons against it, and then opened,
//! which records every change before it is made.

mod args;
mod debug;
mod obstacles;
mod pod;
mod portworx;
mod restored;
mod snapshot;

use std::fmt;

use anyhow::bail;
use futures::future::try_join_all;
use kube_transfer::PodContainer;
use wa_common::cli::Context;
use wa_common::cluster::Cluster;

use crate::discovery::Discovery;
use crate::run::VolumeRun;
pub use args::{AccessArgs, Method, Via};
use debug::DebugPlan;
use obstacles::Obstacles;
use portworx::PortworxPlan;
use snapshot::SnapshotPlan;

/// One way, and whether it can be gone.
#[derive(Debug)]
pub struct Assessment {
    pub method: Method,
    pub plan: Result<Plan, Obstacles>,
}

/// A way that can be gone.
#[derive(Debug)]
pub enum Plan {
    Pod(pod::PodPlan),
    Debug(Box<DebugPlan>),
    Snapshot(Box<SnapshotPlan>),
    Portworx(PortworxPlan),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(plan) => plan.fmt(f),
            Self::Debug(plan) => plan.fmt(f),
            Self::Snapshot(plan) => plan.fmt(f),
            Self::Portworx(plan) => plan.fmt(f),
        }
    }
}

/// Where the files of the volume can be read now.
pub struct Access {
    pub via: Method,
    pub target: PodContainer,
    pub directory: String,
    /// What was begun for it; nothing where no change was needed.
    run: Option<VolumeRun>,
}

impl Access {
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

impl Plan {
    pub fn method(&self) -> Method {
        match self {
            Self::Pod(_) => Method::Pod,
            Self::Debug(_) => Method::Debug,
            Self::Snapshot(_) => Method::Snapshot,
            Self::Portworx(_) => Method::Portworx,
        }
    }

    /// Goes it. What is made on the way is undone when the process ends, however it ends.
    pub async fn open(
        &self,
        context: &Context,
        cluster: &Cluster,
        args: &AccessArgs,
    ) -> anyhow::Result<Access> {
        let timeout = args.timeout();
        if !matches!(self, Self::Pod(_)) {
            // Nothing is made that could then not be used.
            cluster.require_websockets().await?;
        }
        let begin = || VolumeRun::begin(context, cluster, self.to_string());
        let ((target, directory), run) = match self {
            Self::Pod(plan) => (plan.open(cluster), None),
            Self::Debug(plan) => {
                let run = begin().await?;
                (plan.open(&run, timeout).await?, Some(run))
            }
            Self::Snapshot(plan) => {
                let run = begin().await?;
                (plan.open(&run, timeout).await?, Some(run))
            }
            Self::Portworx(plan) => {
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

/// Looks at every way that `--via` allows.
pub async fn assess_all(
    cluster: &Cluster,
    discovery: &Discovery,
    args: &AccessArgs,
) -> anyhow::Result<Vec<Assessment>> {
    let assessments = args.via.methods().iter();
    try_join_all(assessments.map(|method| assess(*method, cluster, discovery, args))).await
}

async fn assess(
    method: Method,
    cluster: &Cluster,
    discovery: &Discovery,
    args: &AccessArgs,
) -> anyhow::Result<Assessment> {
    let plan = match method {
        Method::Pod => pod::plan(cluster, discovery, args.via == Via::Pod)
            .await?
            .map(Plan::Pod),
        Method::Debug => debug::plan(cluster, discovery, args)
            .await?
            .map(|plan| Plan::Debug(Box::new(plan))),
        Method::Snapshot => snapshot::plan(cluster, discovery, args)
            .await?
            .map(|plan| Plan::Snapshot(Box::new(plan))),
        Method::Portworx => portworx::plan(cluster, discovery, args)
            .await?
            .map(Plan::Portworx),
    };
    Ok(Assessment { method, plan })
}

/// The way to go: the first that can be gone. The others are not looked at, which for Portworx takes a command in a
/// privileged pod.
pub async fn choose(
    cluster: &Cluster,
    discovery: &Discovery,
    args: &AccessArgs,
) -> anyhow::Result<Plan> {
    let mut reasons = String::new();
    for method in args.via.methods() {
        match assess(*method, cluster, discovery, args).await?.plan {
            Ok(plan) => return Ok(plan),
            Err(obstacles) => {
                let name = method.name();
                reasons = format!("{reasons}\n  {name:<10} {obstacles}");
            }
        }
    }
    bail!("there is no way to the volume's files; nothing was changed:{reasons}")
}
