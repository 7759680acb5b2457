//! What training needs of the products beside it, as far as anybody looks: the broker of knative with its triggers, and
//! the store behind the object storage. All are Ready; nothing keeps them so.
//!
//! The names of the triggers are made up.

use kube_sandbox::meta::Resource;
use serde_json::{Value, json};

use crate::world::{Names, kinds};

/// The namespace of the object storage.
pub(in crate::world) const STORAGE_NAMESPACE: &str = "openshift-storage";
/// The broker by which training is told what to train; called so whatever the instance is called.
const BROKER: &str = "knative-wa-clu-broker";
const TRIGGERS: [&str; 2] = ["wa-clu-training-trigger", "wa-clu-runtime-trigger"];

/// The objects.
pub(in crate::world) fn objects(names: &Names) -> Vec<(&'static Resource, Value)> {
    let mut objects = vec![
        (&kinds::BACKING_STORES, backing_store()),
        (&kinds::BROKERS, broker(names)),
    ];
    objects.extend(TRIGGERS.map(|name| (&kinds::TRIGGERS, trigger(names, name))));
    objects
}

fn backing_store() -> Value {
    json!({
        "apiVersion": kinds::BACKING_STORES.api_version(), "kind": kinds::BACKING_STORES.kind,
        "metadata": { "name": "noobaa-default-backing-store", "namespace": STORAGE_NAMESPACE },
        "spec": { "type": "pv-pool", "pvPool": { "numVolumes": 1 } },
        "status": { "phase": "Ready", "mode": { "modeCode": "OPTIMAL" } },
    })
}

fn broker(names: &Names) -> Value {
    json!({
        "apiVersion": kinds::BROKERS.api_version(), "kind": kinds::BROKERS.kind,
        "metadata": { "name": BROKER, "namespace": names.namespace },
        "spec": {},
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn trigger(names: &Names, name: &str) -> Value {
    json!({
        "apiVersion": kinds::TRIGGERS.api_version(), "kind": kinds::TRIGGERS.kind,
        "metadata": { "name": name, "namespace": names.namespace },
        "spec": { "broker": BROKER, "subscriber": {} },
        "status": { "conditions": [
            { "type": "BrokerReady", "status": "True" }, { "type": "Ready", "status": "True" },
        ] },
    })
}
