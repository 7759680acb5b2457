//! Fields the server fills in, as `k8s.io/kubernetes/pkg/apis/*/v1/defaults.go` does.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{default, items, pods};
use crate::meta::{Resource, object};

/// Completes a new object.
pub(super) fn apply(resource: &Resource, object: &mut Value) {
    match (resource.group, resource.plural) {
        ("", "pods") => pods::apply(object),
        ("", "persistentvolumeclaims") => {
            protect(object, "kubernetes.io/pvc-protection");
            data_source(&mut object["spec"]);
            default(object, "status", json!({ "phase": "Pending" }));
        }
        ("", "persistentvolumes") => {
            protect(object, "kubernetes.io/pv-protection");
            default(object, "status", json!({ "phase": "Available" }));
        }
        ("", "namespaces") => {
            let name = object::name(object).to_owned();
            default(&mut object["metadata"], "labels", json!({}));
            default(
                &mut object["metadata"]["labels"],
                "kubernetes.io/metadata.name",
                name,
            );
            default(object, "spec", json!({ "finalizers": ["kubernetes"] }));
            default(object, "status", json!({ "phase": "Active" }));
        }
        ("", "services") => default(object, "status", json!({ "loadBalancer": {} })),
        ("apps", "replicasets") => default(object, "status", json!({ "replicas": 0 })),
        ("apps", "statefulsets") => default(
            object,
            "status",
            json!({ "replicas": 0, "availableReplicas": 0 }),
        ),
        ("batch", "jobs") => {
            select_own_pods(object);
            default(object, "status", json!({}));
        }
        ("apps", "daemonsets" | "deployments")
        | ("autoscaling", "horizontalpodautoscalers")
        | ("batch", "cronjobs") => default(object, "status", json!({})),
        ("apiextensions.k8s.io", _) => establish(object),
        _ => {}
    }
    complete(resource, object);
}

/// Fills in what may be missing after any change.
pub(super) fn complete(resource: &Resource, object: &mut Value) {
    match (resource.group, resource.plural) {
        ("", "pods") => pods::complete(&mut object["spec"]),
        ("", "secrets") => secret(object),
        ("", "services") => service(&mut object["spec"]),
        ("", "persistentvolumeclaims") => default(&mut object["spec"], "volumeMode", "Filesystem"),
        ("", "persistentvolumes") => {
            pods::complete_volume(&mut object["spec"]);
            default(
                &mut object["spec"],
                "persistentVolumeReclaimPolicy",
                "Retain",
            );
            default(&mut object["spec"], "volumeMode", "Filesystem");
        }
        ("apps", "daemonsets") => daemon_set(&mut object["spec"]),
        ("apps", "deployments") => deployment(&mut object["spec"]),
        ("apps", "replicasets") => {
            default(&mut object["spec"], "replicas", 1);
            template(&mut object["spec"]);
        }
        ("apps", "statefulsets") => stateful_set(&mut object["spec"]),
        ("autoscaling", "horizontalpodautoscalers") => autoscaler(&mut object["spec"]),
        ("batch", "jobs") => job(&mut object["spec"]),
        ("batch", "cronjobs") => cron_job(&mut object["spec"]),
        ("storage.k8s.io", "storageclasses") => {
            default(object, "reclaimPolicy", "Delete");
            default(object, "volumeBindingMode", "Immediate");
        }
        _ => {}
    }
}

/// The older field and the newer one say the same, whichever was written.
fn data_source(spec: &mut Value) {
    for (from, to) in [
        ("dataSource", "dataSourceRef"),
        ("dataSourceRef", "dataSource"),
    ] {
        if spec[from].is_object() {
            let source = spec[from].clone();
            default(spec, to, source);
        }
    }
}

fn protect(object: &mut Value, finalizer: &str) {
    default(&mut object["metadata"], "finalizers", json!([]));
    if let Some(list) = object["metadata"]["finalizers"].as_array_mut()
        && !list.contains(&json!(finalizer))
    {
        list.push(json!(finalizer));
    }
}

fn secret(secret: &mut Value) {
    default(secret, "type", "Opaque");
    let Some(Value::Object(plain)) = secret
        .as_object_mut()
        .and_then(|fields| fields.remove("stringData"))
    else {
        return;
    };
    for (key, value) in plain {
        secret["data"][key] = BASE64_STANDARD
            .encode(value.as_str().unwrap_or_default())
            .into();
    }
}

fn service(spec: &mut Value) {
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    default(spec, "internalTrafficPolicy", "Cluster");
    for port in items(spec, "ports") {
        default(port, "protocol", "TCP");
        let number = port["port"].clone();
        default(port, "targetPort", number);
    }
}

fn template(spec: &mut Value) {
    default(&mut spec["template"], "metadata", json!({}));
    pods::complete(&mut spec["template"]["spec"]);
}

fn daemon_set(spec: &mut Value) {
    let gradually = json!({ "maxUnavailable": 1, "maxSurge": 0 });
    default(
        spec,
        "updateStrategy",
        json!({ "type": "RollingUpdate", "rollingUpdate": gradually }),
    );
    default(spec, "revisionHistoryLimit", 10);
    template(spec);
}

fn deployment(spec: &mut Value) {
    default(spec, "replicas", 1);
    default(spec, "strategy", json!({}));
    default(&mut spec["strategy"], "type", "RollingUpdate");
    if spec["strategy"]["type"] == "RollingUpdate" {
        default(&mut spec["strategy"], "rollingUpdate", json!({}));
        default(
            &mut spec["strategy"]["rollingUpdate"],
            "maxUnavailable",
            "25%",
        );
        default(&mut spec["strategy"]["rollingUpdate"], "maxSurge", "25%");
    }
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    template(spec);
}

fn stateful_set(spec: &mut Value) {
    default(spec, "replicas", 1);
    default(spec, "podManagementPolicy", "OrderedReady");
    default(
        spec,
        "updateStrategy",
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }),
    );
    default(spec, "revisionHistoryLimit", 10);
    let keep = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
    default(spec, "persistentVolumeClaimRetentionPolicy", keep);
    template(spec);
}

fn autoscaler(spec: &mut Value) {
    default(spec, "minReplicas", 1);
    let target = json!({ "type": "Utilization", "averageUtilization": 80 });
    let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
    default(spec, "metrics", json!([metric]));
}

fn job(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    default(spec, "backoffLimit", 6);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    template(spec);
}

/// A Job finds its pods by its own uid; without labels it takes those of its pods.
fn select_own_pods(job: &mut Value) {
    let (name, uid) = (object::name(job).to_owned(), object::uid(job).to_owned());
    let labelled = !job["metadata"]["labels"].is_null();
    if job["spec"]["manualSelector"] != true {
        let labels = &mut job["spec"]["template"]["metadata"]["labels"];
        for key in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
            labels[key] = uid.as_str().into();
        }
        for key in ["batch.kubernetes.io/job-name", "job-name"] {
            labels[key] = name.as_str().into();
        }
        job["spec"]["selector"] =
            json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } });
    }
    if !labelled {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        if labels.is_object() {
            job["metadata"]["labels"] = labels;
        }
    }
}

fn cron_job(spec: &mut Value) {
    default(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", false);
    default(spec, "successfulJobsHistoryLimit", 3);
    default(spec, "failedJobsHistoryLimit", 1);
    default(&mut spec["jobTemplate"], "metadata", json!({}));
    template(&mut spec["jobTemplate"]["spec"]);
}

/// A definition is served as soon as it is stored.
fn establish(definition: &mut Value) {
    let names = definition["spec"]["names"].clone();
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": object::now(), "reason": reason, "message": message });
    let conditions = [
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition(
            "Established",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        ),
    ];
    let version = definition["spec"]["versions"][0]["name"].clone();
    let status =
        json!({ "conditions": conditions, "acceptedNames": names, "storedVersions": [version] });
    default(definition, "status", status);
}
