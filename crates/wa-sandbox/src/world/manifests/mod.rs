//! The objects of the installation, one file for each part of it.

pub(super) mod assistant;
pub(super) mod autoscalers;
pub(super) mod backup;
pub(super) mod cluster;
pub(super) mod etcd;
pub(super) mod neighbours;
mod patches;
pub(super) mod portworx;
pub(super) mod postgres;
pub(super) mod redis;
mod store_admin;
mod training;

use serde_json::{Value, json};

use super::secrets::encoded;
use super::{Names, Storage};

/// The component that has all models trained, and its container.
const STORE_ADMIN: &str = "store-admin";

/// Address that something is pulled from on a real cluster.
fn image(name: &str, version: &str) -> String {
    format!("cp.icr.io/cp/watson-assistant/{name}:{version}")
}

/// The labels every object of the instance has.
fn labels(names: &Names, component: &str) -> Value {
    json!({
        "app.kubernetes.io/instance": names.instance,
        "app.kubernetes.io/managed-by": "Operator",
        "component": component,
        "icpdsupport/addOnId": "assistant",
    })
}

fn secret(names: &Names, name: &str, labels: &Value, data: &[(&str, &str)]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "namespace": names.namespace, "labels": labels },
        "data": encoded(data),
    })
}

fn claim(names: &Names, storage: Storage, name: &str, labels: &Value, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": names.namespace, "labels": labels },
        "spec": {
            "accessModes": [storage.access_mode()],
            "resources": { "requests": { "storage": size } },
            "storageClassName": storage.class(),
            "volumeMode": "Filesystem",
        },
        "status": { "phase": "Pending" },
    })
}

fn service(
    names: &Names,
    name: &str,
    labels: &Value,
    selector: &Value,
    address: &str,
    port: u16,
) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": names.namespace, "labels": labels },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ports": [{ "port": port, "protocol": "TCP", "targetPort": port }],
            "selector": selector,
        },
        "status": { "loadBalancer": {} },
    })
}
