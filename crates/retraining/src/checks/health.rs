//! What training needs beside the product's own Deployments: the database, the object storage, the broker.
//!
//! Kinds that a cluster does not serve, or the user may not see, are reported and are no problem: not every release has them, and
//! nobody needs a cluster role to retrain.

use anyhow::bail;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;
use wa_common::assistant::{Instance, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::preflight::{Finding, Preflight};

/// Called so for every instance, one of Orchestrate included.
const BROKER: &str = "knative-wa-clu-broker";
const EVENTING: &str = "eventing.knative.dev";
const NOOBAA: &str = "noobaa.io";

pub(super) async fn check(
    preflight: &mut Preflight,
    cluster: &Cluster,
    instance: &Finding<Instance>,
) {
    let look = async |instance: &Instance| postgres(cluster, instance).await;
    preflight
        .check("database", instance, look, Clone::clone)
        .await;
    let look = async |_: &Instance| backing_stores(cluster).await;
    preflight
        .check("object storage", instance, look, Clone::clone)
        .await;
    let look = async |_: &Instance| broker(cluster).await;
    preflight
        .check("broker", instance, look, Clone::clone)
        .await;
}

async fn postgres(cluster: &Cluster, instance: &Instance) -> anyhow::Result<String> {
    let pods = PostgresPod::find_all(cluster, instance, None).await?;
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    // Where nothing tells which one is the primary, one that is ready will do.
    Ok(format!("Ready: {}", names.join(", ")))
}

/// Objects of a kind; or why there is nothing to judge.
enum Seen {
    Objects(Vec<DynamicObject>),
    Nothing(String),
}

async fn objects(
    cluster: &Cluster,
    group: &str,
    version: &str,
    kind: &str,
    everywhere: bool,
) -> anyhow::Result<Seen> {
    let served = cluster.served_kinds(&format!("{group}/{version}")).await?;
    let served = served.unwrap_or_default();
    let found = served
        .iter()
        .find(|one| one.kind == kind && !one.name.contains('/'));
    let Some(found) = found else {
        return Ok(Seen::Nothing(format!(
            "not judged: this cluster serves no {kind} of {group}"
        )));
    };
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind),
        &found.name,
    );
    match cluster.list_custom(&resource, everywhere).await {
        Err(error) if error.code() == Some(403) => Ok(Seen::Nothing(format!(
            "not judged: you may not list {}.{group}",
            found.name
        ))),
        listed => Ok(Seen::Objects(listed?)),
    }
}

/// The stores behind the object storage, wherever they are.
async fn backing_stores(cluster: &Cluster) -> anyhow::Result<String> {
    let stores = match objects(cluster, NOOBAA, "v1alpha1", "BackingStore", true).await? {
        Seen::Objects(stores) => stores,
        Seen::Nothing(why) => return Ok(why),
    };
    let phase = |store: &DynamicObject| {
        let phase = store.data.pointer("/status/phase").and_then(Value::as_str);
        phase.unwrap_or("unknown").to_owned()
    };
    let broken: Vec<String> = stores
        .iter()
        .filter(|store| phase(store) != "Ready")
        .map(|store| {
            format!(
                "{} in {} is {}",
                store.name_any(),
                store.namespace().unwrap_or_default(),
                phase(store)
            )
        })
        .collect();
    if !broken.is_empty() {
        bail!(
            "a backing store of the object storage is not Ready: {}; training reads and writes models there: repair it first",
            broken.join(", ")
        );
    }
    Ok(match stores.len() {
        0 => "not judged: there is no BackingStore".to_owned(),
        1 => format!("backing store {} is Ready", stores[0].name_any()),
        count => format!("all {count} backing stores are Ready"),
    })
}

/// The broker by which training is told what to do, and its triggers.
async fn broker(cluster: &Cluster) -> anyhow::Result<String> {
    let brokers = match objects(cluster, EVENTING, "v1", "Broker", false).await? {
        Seen::Objects(brokers) => brokers,
        Seen::Nothing(why) => return Ok(why),
    };
    let Some(broker) = brokers.iter().find(|one| one.name_any() == BROKER) else {
        bail!(
            "there is no knative Broker {BROKER} in namespace {:?}, which tells the training pods what to train",
            cluster.namespace()
        );
    };
    if !is_ready(broker) {
        bail!(
            "the knative Broker {BROKER} is not Ready: without it nothing is trained; see `kubectl describe broker {BROKER}`"
        );
    }
    let triggers = match objects(cluster, EVENTING, "v1", "Trigger", false).await? {
        Seen::Objects(triggers) => triggers,
        Seen::Nothing(why) => return Ok(format!("{BROKER} is Ready; triggers {why}")),
    };
    let own = |trigger: &&DynamicObject| {
        trigger.data.pointer("/spec/broker").and_then(Value::as_str) == Some(BROKER)
    };
    let own: Vec<&DynamicObject> = triggers.iter().filter(own).collect();
    let unready: Vec<String> = own
        .iter()
        .filter(|one| !is_ready(one))
        .map(|one| one.name_any())
        .collect();
    if !unready.is_empty() {
        bail!(
            "triggers of the knative Broker {BROKER} are not Ready: {}; what they are for is not trained",
            unready.join(", ")
        );
    }
    Ok(format!("{BROKER} and its {} triggers are Ready", own.len()))
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}
