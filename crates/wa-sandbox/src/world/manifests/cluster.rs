//! What is there before the product is installed: namespaces, storage and the definitions of custom resources.

use serde_json::{Value, json};

use crate::api::resources;
use crate::world::Names;

/// The storage class of OpenShift Data Foundation, the default one.
pub(super) const STORAGE_CLASS: &str = "ocs-storagecluster-ceph-rbd";

/// Namespaces, the instance's own and its operators' among them.
pub(in crate::world) fn namespaces(names: &Names) -> Vec<Value> {
    [
        "default",
        "kube-system",
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

/// The default storage class.
pub(in crate::world) fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": "openshift-storage.rbd.csi.ceph.com",
        "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "allowVolumeExpansion": true,
    })
}

/// The definitions of the custom resources that are served.
pub(in crate::world) fn definitions() -> Vec<Value> {
    resources::ALL
        .iter()
        .filter(|resource| resource.custom)
        .map(|resource| resource.definition())
        .collect()
}
