//! Portworx as its DaemonSets install it: a pod with the daemon and `pxctl` on every node, and one with its API.

use serde_json::{Value, json};

/// Where Portworx pods are.
pub(in crate::world) const NAMESPACE: &str = "kube-system";
/// Their container.
pub(in crate::world) const CONTAINER: &str = "portworx";
/// The image of the pods with the daemon.
pub(in crate::world) const IMAGE: &str = "docker.io/portworx/oci-monitor:2.13.12";
/// The image of the pods with the API, which have no programs of Portworx.
pub(in crate::world) const API_IMAGE: &str = "registry.k8s.io/pause:3.1";

/// Process 1 of a container ends on a signal only if it wants to.
const STAY: &str = "trap 'exit 0' TERM; sleep infinity & wait";

/// Both DaemonSets.
pub(in crate::world) fn daemon_sets() -> [Value; 2] {
    let stay = json!(["/bin/sh", "-c", STAY]);
    let host_path = |name: &str, path: &str| json!({ "name": name, "hostPath": { "path": path } });
    let daemon = json!({
        "name": CONTAINER, "image": IMAGE, "command": stay,
        "securityContext": { "privileged": true },
        "readinessProbe": {
            "exec": { "command": ["/opt/pwx/bin/pxctl", "status"] }, "periodSeconds": 2,
        },
        "volumeMounts": [
            { "name": "optpwx", "mountPath": "/opt/pwx" },
            { "name": "osd", "mountPath": "/var/lib/osd", "mountPropagation": "Bidirectional" },
        ],
    });
    let api = json!({ "name": "portworx-api", "image": API_IMAGE, "command": stay });
    let volumes = json!([
        host_path("optpwx", "/opt/pwx"),
        host_path("osd", "/var/lib/osd"),
    ]);
    [
        daemon_set(CONTAINER, &daemon, &volumes),
        daemon_set("portworx-api", &api, &json!([])),
    ]
}

fn daemon_set(name: &str, container: &Value, volumes: &Value) -> Value {
    let labels = json!({ "name": name });
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "containers": [container], "volumes": volumes, "hostNetwork": true,
                    "tolerations": [{ "key": "node-role.kubernetes.io/master", "operator": "Exists", "effect": "NoSchedule" }],
                },
            },
        },
    })
}
