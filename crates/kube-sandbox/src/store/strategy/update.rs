//! Rules for what may change.

use serde_json::Value;

use crate::meta::{Cause, Resource};

/// Fields of a pod's specification that may change while it runs.
const CHANGEABLE_IN_PODS: &[&str] = &[
    "containers",
    "initContainers",
    "activeDeadlineSeconds",
    "tolerations",
    "terminationGracePeriodSeconds",
];

pub(super) fn check(resource: &Resource, current: &Value, next: &Value) -> Vec<Cause> {
    let immutable: &[&str] = match (resource.group, resource.plural) {
        ("", "pods") => return pod(current, next).into_iter().collect(),
        ("", "persistentvolumeclaims") => return claim(current, next).into_iter().collect(),
        ("", "secrets") => &["/type"],
        ("apps", "daemonsets" | "deployments" | "replicasets") => &["/spec/selector"],
        ("apps", "statefulsets") => &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/podManagementPolicy",
        ],
        ("batch", "jobs") => &["/spec/selector", "/spec/template", "/spec/completions"],
        _ => &[],
    };
    let changed = immutable
        .iter()
        .filter(|at| current.pointer(at) != next.pointer(at));
    let field = |at: &str| at.trim_start_matches('/').replace('/', ".");
    changed
        .map(|at| {
            Cause::invalid(
                field(at),
                next.pointer(at).unwrap_or(&Value::Null),
                "field is immutable",
            )
        })
        .collect()
}

fn forbidden(field: &str, detail: &str) -> Cause {
    Cause {
        reason: "FieldValueForbidden",
        field: field.to_owned(),
        message: format!("Forbidden: {detail}"),
    }
}

/// Of a container only the image may change.
fn pod(current: &Value, next: &Value) -> Option<Cause> {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for kind in ["containers", "initContainers"] {
            for container in spec
                .get_mut(kind)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                container["image"] = Value::Null;
            }
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| {
                !CHANGEABLE_IN_PODS.contains(&field.as_str()) || field.ends_with("ontainers")
            });
        }
        spec
    };
    let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
        `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
        `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    (fixed(current) != fixed(next)).then(|| forbidden("spec", detail))
}

/// A claim may ask for more space, nothing else.
fn claim(current: &Value, next: &Value) -> Option<Cause> {
    let fixed = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        for field in ["resources", "volumeName"] {
            spec[field] = Value::Null;
        }
        spec
    };
    let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    (fixed(current) != fixed(next)).then(|| forbidden("spec", detail))
}
