//! Defaults of pods and pod templates, and what admission adds to a pod.

use serde_json::{Value, json};

use super::{default, items};
use crate::store::random_suffix;

const TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Fills in a pod specification, of a pod or of a template.
pub(super) fn complete(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        default(spec, "serviceAccount", account);
    }
    for volume in items(spec, "volumes") {
        complete_pod_volume(volume);
    }
    for kind in ["initContainers", "containers"] {
        items(spec, kind).for_each(complete_container);
    }
}

fn complete_pod_volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|fields| fields.len() == 1) {
        volume["emptyDir"] = json!({});
    }
    complete_volume(volume);
    for source in ["secret", "configMap", "projected"] {
        if volume[source].is_object() {
            default(&mut volume[source], "defaultMode", 0o644);
        }
    }
}

/// Fills in what volumes of pods and persistent volumes share.
pub(super) fn complete_volume(volume: &mut Value) {
    if volume["hostPath"].is_object() {
        default(&mut volume["hostPath"], "type", "");
    }
}

fn complete_container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default();
    let movable = !tag.contains('@') && (!tag.contains(':') || tag.ends_with(":latest"));
    default(
        container,
        "imagePullPolicy",
        if movable { "Always" } else { "IfNotPresent" },
    );
    default(container, "resources", json!({}));
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        default(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            default(reference, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|probe| probe.is_object()) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                default(probe, field, value);
            }
        }
    }
}

/// Fills in a pod, which is more than its specification.
pub(super) fn apply(pod: &mut Value) {
    let quality = quality(&pod["spec"]);
    default(pod, "status", json!({}));
    default(&mut pod["status"], "phase", "Pending");
    default(&mut pod["status"], "qosClass", quality);
    if pod["spec"].is_object() {
        default(&mut pod["spec"], "enableServiceLinks", true);
    }
}

/// Adds what a real server adds only to pods: service account, its token, tolerations, priority.
pub(super) fn admit(pod: &mut Value) {
    let spec = &mut pod["spec"];
    if !spec.is_object() {
        return;
    }
    default(spec, "serviceAccountName", "default");
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    default(spec, "priority", 0);
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    tolerate_a_lost_node(spec);
    if spec["automountServiceAccountToken"] != false {
        mount_token(spec);
    }
}

fn tolerate_a_lost_node(spec: &mut Value) {
    default(spec, "tolerations", json!([]));
    let Some(list) = spec["tolerations"].as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        if !list.iter().any(|one| one["key"] == key) {
            list.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
}

/// Containers that already have something at the token's place keep it.
fn mount_token(spec: &mut Value) {
    let lacking = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        !mounts
            .into_iter()
            .any(|mount| mount["mountPath"] == TOKEN_DIRECTORY)
    };
    let volume = format!("kube-api-access-{}", random_suffix());
    let mut mounted = false;
    for kind in ["initContainers", "containers"] {
        for container in items(spec, kind).filter(|container| lacking(container)) {
            default(container, "volumeMounts", json!([]));
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.push(
                    json!({ "name": volume, "readOnly": true, "mountPath": TOKEN_DIRECTORY }),
                );
                mounted = true;
            }
        }
    }
    if mounted {
        default(spec, "volumes", json!([]));
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.push(token_volume(&volume));
        }
    }
}

fn token_volume(name: &str) -> Value {
    let config_map = |name: &str, key: &str| json!({ "configMap": { "name": name, "items": [{ "key": key, "path": key }] } });
    let namespace = json!({ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } });
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                config_map("kube-root-ca.crt", "ca.crt"),
                { "downwardAPI": { "items": [namespace] } },
                config_map("openshift-service-ca.crt", "service-ca.crt"),
            ],
        },
    })
}

/// `status.qosClass`.
fn quality(spec: &Value) -> &'static str {
    let containers = || spec["containers"].as_array().into_iter().flatten();
    let given = |container: &Value, field: &str| {
        container["resources"][field]
            .as_object()
            .is_some_and(|map| !map.is_empty())
    };
    if !containers().any(|container| given(container, "requests") || given(container, "limits")) {
        return "BestEffort";
    }
    let fixed = containers().all(|container| {
        let resources = &container["resources"];
        ["cpu", "memory"].iter().all(|name| {
            let (limit, request) = (&resources["limits"][name], &resources["requests"][name]);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    });
    if fixed { "Guaranteed" } else { "Burstable" }
}
