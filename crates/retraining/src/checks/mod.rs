//! What must hold before a retraining changes anything: everything is looked at, and all problems are reported at once.

mod health;
mod permissions;

use anyhow::bail;
use jiff::SignedDuration;
use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;
use wa_common::preflight::{Finding, Preflight};
use wa_common::run::ServerClock;

use crate::autoscaler::Autoscalers;
use crate::component::Component;
use crate::estimate::Counted;
use crate::kinds::Kinds;
use crate::operator::Operator;
use crate::patch::{STORE, TemporaryPatch};
use crate::plan::{patched, read_active};
use crate::procedure::{Dangling, Found, Objects, Ready, Session, is_open};
use crate::workload::Workload;

pub use permissions::{COMMANDS, needed_permissions};

/// How far this machine's clock may be from the API server's without a word.
const CLOCKS_DIFFER_BY: SignedDuration = SignedDuration::from_secs(30);

/// What a command is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// It scales.
    pub scales: bool,
    /// It starts the job.
    pub starts: bool,
    /// It takes over patches of others.
    pub adopts: bool,
}

/// Those that can be scaled, and store-admin.
type Deployments = (Vec<(Component, Workload)>, Workload);

/// The conditions, and what was found where all of them hold.
#[derive(Debug)]
pub struct Checked {
    /// The conditions.
    pub preflight: Preflight,
    ready: Option<Ready>,
}

impl Checked {
    /// What was found; an error with every problem where a condition does not hold.
    pub fn require(self) -> anyhow::Result<Ready> {
        match self.ready {
            Some(ready) if self.preflight.passed() => Ok(ready),
            _ => Err(self.preflight.into_error()),
        }
    }
}

/// Looks at everything that a command with this purpose needs.
pub async fn check(
    cluster: &Cluster,
    instance: Option<&str>,
    operators_namespace: Option<&str>,
    purpose: Purpose,
) -> Checked {
    let mut run = Run {
        cluster,
        purpose,
        preflight: Preflight::default(),
    };
    let connection = run.preflight.connection(cluster).await;
    run.clock(&connection).await;
    let instance = run.preflight.instance(&connection, cluster, instance).await;
    run.permissions(&instance).await;
    let kinds = run.kinds(&instance).await;
    let operator = run.operator(&instance, operators_namespace).await;
    let deployments = run.deployments(&instance).await;
    run.active_patches(&instance, &kinds).await;
    run.patches_of_others(&instance, &kinds).await;
    if purpose.scales {
        run.autoscalers(&instance, &deployments).await;
    }
    let workspaces = if purpose.starts {
        health::check(&mut run.preflight, cluster, &instance).await;
        run.workspaces(&instance).await.into_value()
    } else {
        None
    };
    let ready = match (
        instance.into_value(),
        kinds.into_value(),
        operator.into_value(),
        deployments.into_value(),
    ) {
        (Some(instance), Some(kinds), Some(operator), Some((workloads, store_admin))) => {
            Some(Ready {
                instance,
                kinds,
                operator,
                workloads,
                store_admin,
                workspaces,
            })
        }
        _ => None,
    };
    Checked {
        preflight: run.preflight,
        ready,
    }
}

/// The conditions one by one.
struct Run<'a> {
    cluster: &'a Cluster,
    purpose: Purpose,
    preflight: Preflight,
}

impl Run<'_> {
    async fn clock(&mut self, connection: &Finding<()>) {
        let cluster = self.cluster;
        let look = async |(): &()| Ok(ServerClock::read(cluster).await?.ahead());
        self.preflight
            .check("clock", connection, look, |ahead| clocks(*ahead))
            .await;
    }

    async fn permissions(&mut self, instance: &Finding<Instance>) {
        let name = instance.value().map_or("", |instance| &instance.name);
        let permissions = needed_permissions(self.purpose, name);
        self.preflight
            .permissions(instance, self.cluster, &permissions)
            .await;
    }

    async fn kinds(&mut self, instance: &Finding<Instance>) -> Finding<Kinds> {
        let cluster = self.cluster;
        let look = async |_: &_| Ok(Kinds::discover(cluster).await?);
        self.preflight
            .check("temporary patches", instance, look, |_| {
                "the kind TemporaryPatch of assistant.watson.ibm.com is served".to_owned()
            })
            .await
    }

    async fn operator(
        &mut self,
        instance: &Finding<Instance>,
        namespace: Option<&str>,
    ) -> Finding<Operator> {
        let cluster = self.cluster;
        let look = async |_: &_| {
            let operator = Operator::find(cluster, namespace).await?;
            operator.require_up()?;
            Ok(operator)
        };
        self.preflight
            .check("operator", instance, look, Operator::in_words)
            .await
    }

    async fn deployments(&mut self, instance: &Finding<Instance>) -> Finding<Deployments> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| read_deployments(cluster, instance).await;
        self.preflight
            .check("deployments", instance, look, replicas_in_words)
            .await
    }

    async fn active_patches(&mut self, instance: &Finding<Instance>, kinds: &Finding<Kinds>) {
        let cluster = self.cluster;
        let look =
            async |(instance, kinds): (&Instance, &Kinds)| active(cluster, kinds, instance).await;
        self.preflight
            .check("active patches", (instance, kinds), look, |()| {
                "every patch that is listed as active exists".to_owned()
            })
            .await;
    }

    async fn patches_of_others(&mut self, instance: &Finding<Instance>, kinds: &Finding<Kinds>) {
        let (cluster, purpose) = (self.cluster, self.purpose);
        let look = async |(instance, kinds): (&Instance, &Kinds)| {
            foreign(cluster, kinds, instance, purpose).await
        };
        self.preflight
            .check("patches of others", (instance, kinds), look, |()| {
                "none does what this would".to_owned()
            })
            .await;
    }

    async fn autoscalers(
        &mut self,
        instance: &Finding<Instance>,
        deployments: &Finding<Deployments>,
    ) {
        let cluster = self.cluster;
        let look = async |(_, (workloads, _)): (&Instance, &Deployments)| {
            autoscalers(cluster, workloads).await
        };
        self.preflight
            .check("autoscalers", (instance, deployments), look, |()| {
                "none governs what is scaled".to_owned()
            })
            .await;
    }

    async fn workspaces(&mut self, instance: &Finding<Instance>) -> Finding<u64> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| count(cluster, instance).await;
        self.preflight
            .check("workspaces", instance, look, |count| {
                format!("{count} to train")
            })
            .await
    }
}

fn clocks(ahead: SignedDuration) -> String {
    if ahead.abs() < CLOCKS_DIFFER_BY {
        return "this machine's and the API server's agree".to_owned();
    }
    let by = ahead.abs().as_secs();
    let word = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    format!(
        "the API server's is {by} s {word} this machine's; times are reckoned by the API server's"
    )
}

async fn read_deployments(cluster: &Cluster, instance: &Instance) -> anyhow::Result<Deployments> {
    let mut workloads = Vec::new();
    // Without this one there is nothing to scale for.
    Workload::read(cluster, instance, Component::Training).await?;
    for component in Component::ALL {
        if let Some(workload) = Workload::find(cluster, instance, component).await? {
            workloads.push((component, workload));
        }
    }
    let store_admin = Workload::store_admin(cluster, instance).await?;
    Ok((workloads, store_admin))
}

fn replicas_in_words((workloads, store_admin): &Deployments) -> String {
    let workloads = workloads.iter().map(|(_, one)| one);
    let counts: Vec<String> = workloads
        .chain([store_admin])
        .map(|one| format!("{} ({})", one.name, one.replicas))
        .collect();
    counts.join(", ")
}

/// No key may be there without its patch: the operator could not reconcile at all.
async fn active(cluster: &Cluster, kinds: &Kinds, instance: &Instance) -> anyhow::Result<()> {
    for patched in patched() {
        // One that is missing would look as if it listed nothing.
        read_active(cluster, kinds, instance, patched).await?;
    }
    let objects = Objects::new(cluster, instance, kinds.clone());
    let dangling = objects.dangling().await?.into_iter().map(|one| {
        let Dangling {
            patched,
            annotation,
            key,
        } = one;
        format!(
            "{key} in {annotation} of {} {}",
            patched.kind, instance.name
        )
    });
    let dangling: Vec<String> = dangling.collect();
    if dangling.is_empty() {
        return Ok(());
    }
    bail!(
        "patches are listed as active that do not exist: {}; the operator cannot reconcile (\"Patch not found\") until those keys are removed, which `kubectl wa-retrain doctor --fix` does",
        dangling.join(", ")
    );
}

/// Patches of others that do the same, unless they are to be taken over.
async fn foreign(
    cluster: &Cluster,
    kinds: &Kinds,
    instance: &Instance,
    purpose: Purpose,
) -> anyhow::Result<()> {
    if purpose.adopts {
        return Ok(());
    }
    let found = Session::find(cluster, &instance.name).await?;
    let run = found
        .as_ref()
        .filter(|found| is_open(found))
        .map(Found::run_id);
    let patches = TemporaryPatch::list(cluster, kinds).await?;
    let mut same = Vec::new();
    for patch in patches
        .iter()
        .filter(|patch| patch.run.as_deref() != run || run.is_none())
    {
        let ours = patch.target.name == instance.name;
        let scaled = patch.scaled();
        let variables = patch.retraining_variables();
        if purpose.scales && ours && !scaled.is_empty() {
            same.push(format!(
                "{} sets the replicas of {}",
                patch.name,
                scaled.join(", ")
            ));
        } else if purpose.starts && ours && patch.target.kind == STORE.kind && !variables.is_empty()
        {
            let variables: Vec<String> = variables
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            same.push(format!("{} sets {}", patch.name, variables.join(", ")));
        } else if has_our_name(patch, instance, purpose) {
            same.push(format!("{} has the name that this would use", patch.name));
        }
    }
    if same.is_empty() {
        return Ok(());
    }
    bail!(
        "a TemporaryPatch that was not made by this run does the same: {}; it is never changed: look at it, delete it if nobody needs it, or take it over with --adopt",
        same.join("; ")
    );
}

/// Whether a patch has the name of one that would be made.
fn has_our_name(patch: &TemporaryPatch, instance: &Instance, purpose: Purpose) -> bool {
    patched().iter().any(|one| {
        let made = if *one == STORE {
            purpose.starts
        } else {
            purpose.scales
        };
        made && patch.name == format!("{}-{}", instance.name, one.patch)
    })
}

/// An autoscaler would set again what is set here.
async fn autoscalers(cluster: &Cluster, workloads: &[(Component, Workload)]) -> anyhow::Result<()> {
    let autoscalers = Autoscalers::read(cluster).await?;
    let governed: Vec<String> = workloads
        .iter()
        .filter_map(|(_, workload)| {
            let by = autoscalers.of_deployment(&workload.name)?;
            Some(format!("{by} governs {}", workload.name))
        })
        .collect();
    if governed.is_empty() {
        return Ok(());
    }
    bail!(
        "HorizontalPodAutoscaler {}, and would set its replicas again; raise its minReplicas instead, or leave the scaling out",
        governed.join(", ")
    );
}

async fn count(cluster: &Cluster, instance: &Instance) -> anyhow::Result<u64> {
    let counted = Counted::read(cluster, instance).await?;
    if counted.workspaces == 0 {
        bail!(
            "there is nothing to train: etcd has no key under {}",
            counted.prefix
        );
    }
    Ok(counted.workspaces)
}
