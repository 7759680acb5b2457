//! Events about pods, as the scheduler and the kubelet write them.

use rand::RngExt;
use serde_json::json;

use super::{registration::Machine, spec::Pod};
use crate::meta::{object, resources};
use crate::store::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Normal,
    Warning,
}

/// Records what the kubelet did with a pod, or with one of its containers.
pub(super) fn from_kubelet(
    store: &Store,
    (pod, machine): (&Pod, &Machine),
    container: Option<&str>,
    severity: Severity,
    reason: &str,
    message: &str,
) {
    let mut involved = involved_object(pod);
    if let Some(container) = container {
        involved["fieldPath"] = format!("spec.containers{{{container}}}").into();
    }
    let now = object::now();
    create(
        store,
        pod,
        json!({
            "involvedObject": involved, "reason": reason, "message": message,
            "source": {"component": "kubelet", "host": machine.name},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
            "type": format!("{severity:?}"), "eventTime": null,
            "reportingComponent": "kubelet", "reportingInstance": machine.name,
        }),
    );
}

/// Records what came of attaching a pod's volume to its machine.
pub(super) fn from_attach_detach(
    store: &Store,
    pod: &Pod,
    severity: Severity,
    reason: &str,
    message: &str,
) {
    let component = "attachdetach-controller";
    let now = object::now();
    create(
        store,
        pod,
        json!({
            "involvedObject": involved_object(pod), "reason": reason, "message": message,
            "source": {"component": component}, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
            "type": format!("{severity:?}"), "eventTime": null,
            "reportingComponent": component, "reportingInstance": "",
        }),
    );
}

/// Records what the scheduler decided about a pod.
pub(super) fn from_scheduler(
    store: &Store,
    pod: &Pod,
    severity: Severity,
    reason: &str,
    message: &str,
) {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string();
    create(
        store,
        pod,
        json!({
            "involvedObject": involved_object(pod), "reason": reason, "message": message, "source": {},
            "firstTimestamp": null, "lastTimestamp": null, "type": format!("{severity:?}"), "eventTime": now,
            "action": if severity == Severity::Normal { "Binding" } else { "Scheduling" },
            "reportingComponent": "default-scheduler", "reportingInstance": "default-scheduler-kube-sandbox",
        }),
    );
}

fn involved_object(pod: &Pod) -> serde_json::Value {
    let metadata = &pod.metadata;
    json!({
        "kind": "Pod", "apiVersion": "v1", "namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid,
    })
}

fn create(store: &Store, pod: &Pod, mut event: serde_json::Value) {
    let metadata = &pod.metadata;
    let number: u64 = rand::rng().random();
    event["apiVersion"] = "v1".into();
    event["kind"] = "Event".into();
    event["metadata"] = json!({
        "name": format!("{}.{number:016x}", metadata.name), "namespace": metadata.namespace,
    });
    if let Err(refused) = store.create(&resources::EVENTS, event) {
        // As on a real node, an event that cannot be written (its namespace is gone) is not worth more than this.
        tracing::debug!(pod = metadata.name, %refused, "event not recorded");
    }
}
