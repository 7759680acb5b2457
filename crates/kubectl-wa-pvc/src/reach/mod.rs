//! The four ways to the files of the volume.
//!
//! Each way is first assessed, which changes nothing and yields a [`Plan`] or the reasons against it, and then opened,
//! which records every change before it is made.

mod debug;
mod pod;
mod portworx;
mod restored;
mod snapshot;

use std::fmt;
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use futures::future::try_join_all;
use kube_transfer::PodContainer;
use serde::Serialize;
use wa_common::cli::{Context, TimeLimit};
use wa_common::cluster::{Cluster, ClusterError, Permission};
use wa_common::run::Run;

use crate::change::{VolumeChange, VolumeRun};
use crate::survey::Survey;
use debug::DebugPlan;
pub(crate) use portworx::PortworxMount;
use portworx::PortworxPlan;
use snapshot::SnapshotPlan;

/// How to reach the volume, and what to do it with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReachArgs {
    /// Way to the files: auto, pod, debug, snapshot or portworx
    #[arg(
        long,
        value_name = "WAY",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub(crate) via: Via,

    /// Claim of the volume, if not the instance's own backup claim
    #[arg(long, value_name = "CLAIM")]
    pub(crate) pvc: Option<String>,

    /// VolumeSnapshotClass for --via snapshot [default: the one of the volume's driver]
    #[arg(long, value_name = "NAME")]
    pub(crate) snapshot_class: Option<String>,

    /// StorageClass of the volume made from the snapshot [default: the claim's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) storage_class: Option<String>,

    /// Image of the helper pod [default: the CronJob's own]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,

    /// With --via portworx, refuse when a backup starts within this time; 0 does not look
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub(crate) window: TimeLimit,

    /// Longest wait for a helper pod, a snapshot or a volume to be ready; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: TimeLimit,
}

impl ReachArgs {
    fn timeout(&self) -> Duration {
        self.timeout.0.unwrap_or(Duration::MAX)
    }
}

/// What `--via` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    Auto,
    Pod,
    Debug,
    Snapshot,
    Portworx,
}

/// A way to the files, in the order in which `auto` prefers them: what changes least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    Pod,
    Debug,
    Snapshot,
    Portworx,
}

impl Method {
    const ALL: [Self; 4] = [Self::Pod, Self::Debug, Self::Snapshot, Self::Portworx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Debug => "debug",
            Self::Snapshot => "snapshot",
            Self::Portworx => "portworx",
        }
    }

    /// The name of the step that goes this way.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Pod => "via pod",
            Self::Debug => "via debug",
            Self::Snapshot => "via snapshot",
            Self::Portworx => "via portworx",
        }
    }
}

impl Via {
    fn methods(self) -> &'static [Method] {
        match self {
            Self::Auto => &Method::ALL,
            Self::Pod => &[Method::Pod],
            Self::Debug => &[Method::Debug],
            Self::Snapshot => &[Method::Snapshot],
            Self::Portworx => &[Method::Portworx],
        }
    }
}

/// One way, and whether it can be gone.
#[derive(Debug)]
pub(crate) struct Assessment {
    pub(crate) method: Method,
    pub(crate) plan: Result<Plan, Obstacles>,
}

/// Why a way cannot be gone: every reason found.
#[derive(Debug)]
pub(crate) struct Obstacles(Vec<String>);

impl Obstacles {
    pub(crate) fn reasons(&self) -> &[String] {
        &self.0
    }
}

impl From<String> for Obstacles {
    fn from(reason: String) -> Self {
        Self(vec![reason])
    }
}

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// A way that can be gone.
#[derive(Debug)]
pub(crate) enum Plan {
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
pub(crate) struct Reached {
    pub(crate) via: Method,
    pub(crate) target: PodContainer,
    pub(crate) directory: String,
    /// What was begun for it; nothing where no change was needed.
    run: Option<VolumeRun>,
}

impl Reached {
    /// Does `work` with the files, as long as what was made to reach them is this command's own.
    pub(crate) async fn guard<T>(
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
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Pod(_) => Method::Pod,
            Self::Debug(_) => Method::Debug,
            Self::Snapshot(_) => Method::Snapshot,
            Self::Portworx(_) => Method::Portworx,
        }
    }

    /// Goes it. What is made on the way is undone when the process ends, however it ends.
    pub(crate) async fn open(
        &self,
        context: &Context,
        cluster: &Cluster,
        args: &ReachArgs,
    ) -> anyhow::Result<Reached> {
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
        Ok(Reached {
            via: self.method(),
            target,
            directory,
            run,
        })
    }
}

/// Looks at every way that `--via` allows.
pub(crate) async fn assess_all(
    cluster: &Cluster,
    survey: &Survey,
    args: &ReachArgs,
) -> anyhow::Result<Vec<Assessment>> {
    let assessments = args.via.methods().iter();
    try_join_all(assessments.map(|method| assess(*method, cluster, survey, args))).await
}

async fn assess(
    method: Method,
    cluster: &Cluster,
    survey: &Survey,
    args: &ReachArgs,
) -> anyhow::Result<Assessment> {
    let plan = match method {
        Method::Pod => pod::plan(cluster, survey, args.via == Via::Pod)
            .await?
            .map(Plan::Pod),
        Method::Debug => debug::plan(cluster, survey, args)
            .await?
            .map(|plan| Plan::Debug(Box::new(plan))),
        Method::Snapshot => snapshot::plan(cluster, survey, args)
            .await?
            .map(|plan| Plan::Snapshot(Box::new(plan))),
        Method::Portworx => portworx::plan(cluster, survey, args)
            .await?
            .map(Plan::Portworx),
    };
    Ok(Assessment { method, plan })
}

/// The way to go: the first that can be gone. The others are not looked at, which for Portworx takes a command in a
/// privileged pod.
pub(crate) async fn choose(
    cluster: &Cluster,
    survey: &Survey,
    args: &ReachArgs,
) -> anyhow::Result<Plan> {
    let mut reasons = String::new();
    for method in args.via.methods() {
        match assess(*method, cluster, survey, args).await?.plan {
            Ok(plan) => return Ok(plan),
            Err(obstacles) => {
                let name = method.name();
                reasons = format!("{reasons}\n  {name:<10} {obstacles}");
            }
        }
    }
    bail!("there is no way to the volume's files; nothing was changed:{reasons}")
}

/// What of `needed` the user may not do, as reasons.
pub(crate) async fn missing_permissions(
    cluster: &Cluster,
    needed: &[Permission],
) -> Result<Vec<String>, ClusterError> {
    let held = try_join_all(needed.iter().map(|permission| cluster.may(permission))).await?;
    let missing: Vec<String> = needed
        .iter()
        .zip(held)
        .filter(|(_, held)| !held)
        .map(|(permission, _)| permission.to_string())
        .collect();
    Ok(if missing.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "you may not {} in namespace {:?}",
            missing.join(", "),
            cluster.namespace()
        )]
    })
}

/// To run commands: an exec over WebSocket is a GET, and since Kubernetes 1.35 must be allowed as `create` too.
fn to_exec() -> Vec<Permission> {
    ["get", "create"]
        .map(|verb| Permission::new(verb, "", "pods").on_subresource("exec"))
        .into()
}

/// To keep the record of what is changed.
fn to_record() -> Vec<Permission> {
    Run::<VolumeChange>::permissions()
}

/// To make a helper pod, wait for it and delete it.
fn to_make_pods() -> Vec<Permission> {
    let verbs = ["create", "get", "delete"];
    verbs.map(|verb| Permission::new(verb, "", "pods")).into()
}
