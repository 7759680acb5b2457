//! Redis, which keeps what the store has read: after a restore it is stale, and wants a restart.
//!
//! Its container does nothing: no plugin talks to it.

use serde_json::{Value, json};

use super::{image, labels};
use crate::world::{Names, Variant};

const COMPONENT: &str = "redis-server";

/// The image of its pods.
pub(in crate::world) fn image_of(names: &Names) -> String {
    image(COMPONENT, names.version)
}

/// The StatefulSet.
pub(in crate::world) fn stateful_set(names: &Names, variant: &Variant) -> Value {
    let name = format!("{}-{COMPONENT}", names.instance);
    let labels = labels(names, "redis");
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": name, "namespace": names.namespace, "labels": labels },
        "spec": {
            "replicas": 3, "serviceName": name, "podManagementPolicy": "OrderedReady",
            "selector": { "matchLabels": labels },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
            "revisionHistoryLimit": 10,
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "containers": [{
                        "name": "server", "image": image_of(names), "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "infinity"], "resources": {},
                        "securityContext": { "readOnlyRootFilesystem": true, "runAsNonRoot": true },
                    }],
                    "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {},
                    "terminationGracePeriodSeconds": variant.grace_seconds, "schedulerName": "default-scheduler",
                },
            },
        },
        "status": { "replicas": 0 },
    })
}
