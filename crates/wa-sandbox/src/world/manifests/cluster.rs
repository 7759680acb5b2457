//! What is there before the product is installed: namespaces and the definitions of custom resources.

use kube_sandbox::meta::{Resource, resources};
use serde_json::{Value, json};

use super::neighbours::STORAGE_NAMESPACE;
use super::service;
use crate::world::resource_controller::{CORE, CORE_PORT};
use crate::world::{Names, Storage, kinds};

/// Namespaces, the instance's own and its operators' among them.
pub(in crate::world) fn namespaces(names: &Names) -> Vec<Value> {
    [
        "default",
        "kube-system",
        STORAGE_NAMESPACE,
        names.namespace.as_str(),
        names.operators_namespace().as_str(),
    ]
    .into_iter()
    .map(|name| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        })
    })
    .collect()
}

/// The definitions of the custom resources that are served.
pub(in crate::world) fn definitions(storage: Storage) -> Vec<Value> {
    let snapshots = [
        &resources::SNAPSHOTS,
        &resources::SNAPSHOT_CLASSES,
        &resources::SNAPSHOT_CONTENTS,
    ];
    let snapshots = snapshots.into_iter().filter(|_| storage.has_snapshots());
    snapshots
        .chain(kinds::ALL.iter().copied())
        .map(Resource::definition)
        .collect()
}

/// The service of the platform's core.
pub(in crate::world) fn core_service(names: &Names, address: &str) -> Value {
    let labels = json!({ "component": CORE });
    service(names, CORE, &labels, &labels, address, CORE_PORT)
}
