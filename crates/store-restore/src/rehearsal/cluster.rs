//! A rehearsal in a pod beside those of the database.

use std::time::Duration;

use anyhow::Context as _;
use backup_set::{Rehearsal, RehearsalPlace, ToolRecord};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;
use kube_transfer::RemoteCommand;
use wa_common::assistant::{Instance, POSTGRES_CONTAINER, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::cluster::helper_pod::{self, Scratch, scratch_pod};
use wa_common::preflight::{missing_permissions, require_permissions};
use wa_common::report::{Event, bytes};
use wa_common::run::{RUN_LABEL, Run, RunState};

use super::change::{RUNS, RehearsalChange};
use super::server::{PodServer, SCRATCH, SERVE};
use super::{INITDB, InPod, SETTINGS, rehearse, require_version};
use crate::permissions::{to_isolate, to_rehearse};
use crate::source::Source;

/// The cluster ends a pod that is left alone.
const LIFETIME: Duration = Duration::from_hours(24);
const MEMORY_BYTES: u64 = 1 << 30;
/// What a server without data takes, with its log of changes.
const SERVER_BYTES: u64 = 1 << 30;
/// Data takes so much more in tables and indexes than in a dump that is not compressed.
const GROWTH: u64 = 3;

/// Where the pod comes from and what it takes.
#[derive(Debug, Clone)]
pub struct Place {
    /// A pod of the database.
    original: Pod,
    /// Its name.
    pub like: String,
    /// Its image.
    pub image: String,
    /// How much disk of its node the pod may take.
    pub disk_bytes: u64,
    /// Whether the user may keep it from the network.
    pub with_network_policy: bool,
}

/// Looks at everything that a rehearsal in a pod needs, and changes nothing.
pub async fn look(
    cluster: &Cluster,
    instance: Option<&str>,
    source: &Source,
) -> anyhow::Result<Place> {
    require_permissions(cluster, &to_rehearse(instance.is_some())).await?;
    let instance = Instance::find(cluster, instance).await?;
    let cluster = &cluster.in_namespace(&instance.namespace);
    let found = PostgresPod::find(cluster, &instance, None).await?;
    let asked = RemoteCommand::new("pg_restore").arg("--version");
    let printed = cluster
        .run_idempotent(&found.container(), &asked)
        .await
        .with_context(|| format!("cannot ask for the pg_restore of pod {}", found.name))?;
    let image = format!("the image of pod {}", found.name);
    require_version(&String::from_utf8_lossy(&printed.stdout), &image, source)?;
    let like = found.name;
    let original: Option<Pod> = cluster.find(&like).await?;
    let original = original.with_context(|| format!("pod {like} is gone"))?;
    let spec = original.spec.as_ref();
    let containers = spec
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    let container = containers.iter().find(|one| one.name == POSTGRES_CONTAINER);
    let image = container.and_then(|container| container.image.clone());
    let with_network_policy = missing_permissions(cluster, &to_isolate()).await?.is_none();
    Ok(Place {
        like,
        image: image.unwrap_or_default(),
        disk_bytes: disk_bytes(source),
        with_network_policy,
        original,
    })
}

impl Place {
    /// What keeps the pod to itself, for a person.
    pub fn isolation(&self) -> &'static str {
        if self.with_network_policy {
            "no token of a service account, and a NetworkPolicy that lets nothing in or out"
        } else {
            "no token of a service account, and a PostgreSQL that listens on no address; no NetworkPolicy, which you may not create"
        }
    }

    /// What would be made, for a person.
    pub fn in_words(&self) -> String {
        format!(
            "a pod with the image of {} ({}), up to {} of its node's disk, {}",
            self.like,
            self.image,
            bytes(self.disk_bytes),
            self.isolation()
        )
    }
}

/// The dump itself, its data with indexes, the server.
fn disk_bytes(source: &Source) -> u64 {
    let contents = &source.intact.verified.contents;
    let tables: u64 = contents.tables.iter().map(|table| table.bytes).sum();
    let data = tables.saturating_add(contents.large_objects.bytes);
    let restored = data.saturating_mul(GROWTH).saturating_add(SERVER_BYTES);
    source.intact.bytes.saturating_add(restored)
}

/// Removes what rehearsals have left whose process is dead; returns their names.
pub async fn clean_up(caller: &InPod) -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for found in Run::<RehearsalChange>::others(&caller.cluster, RUNS).await? {
        let found = found?;
        if found.state != RunState::Dead {
            continue;
        }
        let name = found.name.clone();
        let run = found
            .take_over(&caller.exit_hooks, &caller.reporter, &caller.cluster)
            .await?;
        run.finish().await?;
        removed.push(name);
    }
    Ok(removed)
}

/// Restores the set in a pod of its own, which is removed when the command ends, however it ends.
pub async fn in_pod(
    caller: &InPod,
    place: &Place,
    source: &Source,
    tool: ToolRecord,
) -> anyhow::Result<Rehearsal> {
    for name in clean_up(caller).await? {
        step(caller, "clean up", format!("removed what {name} had left"));
    }
    let purpose = format!("rehearse {}", source.path.display());
    let run = Run::<RehearsalChange>::begin(
        &caller.exit_hooks,
        &caller.reporter,
        &caller.cluster,
        RUNS,
        purpose,
    )
    .await?;
    if place.with_network_policy {
        let change = RehearsalChange::network_policy(run.run_name());
        let policy = no_network(change.name(), run.run_name());
        let recorded = run.record(change).await?;
        recorded.create(&caller.cluster, policy).await?;
    }
    let change = RehearsalChange::pod(run.run_name());
    let name = change.name().to_owned();
    let pod = place.pod(&name)?;
    let recorded = run.record(change).await?;
    recorded.create(&caller.cluster, pod).await?;
    let work = async {
        let reporter = &*caller.reporter;
        let target = helper_pod::ready(&caller.cluster, &name, caller.timeout, reporter)
            .await
            .context("the pod for the rehearsal does not start")?;
        let server = PodServer::start(caller, target).await?;
        step(
            caller,
            "helper pod",
            format!("{name} runs, with {}", place.isolation()),
        );
        server.send(source).await?;
        step(
            caller,
            "pg_restore",
            format!("restores into a PostgreSQL of its own in {name}"),
        );
        rehearse(&server, source, RehearsalPlace::Pod, tool).await
    };
    run.guard(work).await?
}

fn step(caller: &InPod, step: &'static str, detail: String) {
    caller.reporter.report(&Event::Step { step, detail });
}

impl Place {
    fn pod(&self, name: &str) -> anyhow::Result<Pod> {
        let template = PodTemplateSpec {
            metadata: Some(self.original.metadata.clone()),
            spec: self.original.spec.clone(),
        };
        let (initdb, settings) = (
            INITDB.join(" "),
            SETTINGS.map(|one| format!("-c {one}")).join(" "),
        );
        let mut command = vec!["sh", "-c", SERVE, "sh", SCRATCH];
        command.extend([initdb.as_str(), settings.as_str()]);
        let scratch = Scratch {
            path: SCRATCH,
            bytes: self.disk_bytes,
            memory_bytes: MEMORY_BYTES,
            command: &command,
            lifetime: LIFETIME,
        };
        scratch_pod(&template, POSTGRES_CONTAINER, name, &scratch)
            .with_context(|| format!("pod {} has no container {POSTGRES_CONTAINER}", self.like))
    }
}

/// Lets nothing in or out of the pods of the run.
fn no_network(name: &str, run: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some([(RUN_LABEL.to_owned(), run.to_owned())].into()),
                match_expressions: None,
            }),
            policy_types: Some(["Ingress", "Egress"].map(str::to_owned).to_vec()),
            ..NetworkPolicySpec::default()
        }),
    }
}
