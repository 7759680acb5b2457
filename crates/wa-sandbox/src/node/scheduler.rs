//! Decides whether a pod can run on the only node there is, and says why not.
//!
//! Looks at node selectors and claims. Left out: resources, affinity, taints, priorities.

use std::pin::pin;

use futures::StreamExt;
use serde_json::{Value, json};

use super::{
    NODE_NAME,
    events::{self, Severity},
    spec::Pod,
    status,
};
use crate::{
    api::{Status, resources},
    store::{Store, object},
};

/// Waits until the pod fits, then assigns it to the node.
pub(super) async fn place(store: &Store, pod: &Pod) {
    let mut claims = pin!(store.watch(&resources::CLAIMS, Some(&pod.metadata.namespace), None));
    let mut reported = String::new();
    while let Some(obstacle) = obstacle(store, pod) {
        if let Obstacle::Unschedulable(message) = obstacle
            && message != reported
        {
            report(store, pod, &message);
            reported = message;
        }
        // Only a claim can change the verdict: the node's labels stay, and a pod's selector cannot be changed.
        if claims.next().await.is_none() {
            return;
        }
    }
    bind(store, pod);
}

enum Obstacle {
    /// A claim that waited for its first pod is being bound.
    Binding,
    Unschedulable(String),
}

fn obstacle(store: &Store, pod: &Pod) -> Option<Obstacle> {
    let node = store.get(&resources::NODES, "", NODE_NAME).ok()?;
    let fits = pod
        .spec
        .node_selector
        .iter()
        .all(|(label, value)| node["metadata"]["labels"][label] == value.as_str());
    if !fits {
        return Some(Obstacle::Unschedulable(
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to \
             deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
                .to_owned(),
        ));
    }
    pod.spec
        .volumes
        .iter()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .find_map(|claim| claim_obstacle(store, &pod.metadata.namespace, &claim.claim_name))
}

fn claim_obstacle(store: &Store, namespace: &str, name: &str) -> Option<Obstacle> {
    let Ok(claim) = store.get(&resources::CLAIMS, namespace, name) else {
        return Some(Obstacle::Unschedulable(format!(
            "0/1 nodes are available: persistentvolumeclaim {name:?} not found. not found"
        )));
    };
    if object::is_terminating(&claim) {
        return Some(Obstacle::Unschedulable(format!(
            "0/1 nodes are available: persistentvolumeclaim {name:?} is being deleted. not found"
        )));
    }
    if claim["status"]["phase"] == "Bound" {
        return None;
    }
    let class = claim["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default();
    let waits = store
        .get(&resources::STORAGE_CLASSES, "", class)
        .is_ok_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer");
    if !waits {
        return Some(Obstacle::Unschedulable(
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
                .to_owned(),
        ));
    }
    // Tells the volume controller that a pod wants it now.
    let selected = store.modify(&resources::CLAIMS, namespace, name, |claim| {
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = NODE_NAME.into();
    });
    selected.is_ok().then_some(Obstacle::Binding)
}

fn report(store: &Store, pod: &Pod, message: &str) {
    let unschedulable = ("False", Some("Unschedulable"), Some(message.to_owned()));
    set_scheduled(store, pod, unschedulable, |_| {});
    events::from_scheduler(store, pod, Severity::Warning, "FailedScheduling", message);
}

fn bind(store: &Store, pod: &Pod) {
    set_scheduled(store, pod, ("True", None, None), |object| {
        object["spec"]["nodeName"] = NODE_NAME.into();
    });
    let metadata = &pod.metadata;
    let message = format!(
        "Successfully assigned {}/{} to {NODE_NAME}",
        metadata.namespace, metadata.name
    );
    events::from_scheduler(store, pod, Severity::Normal, "Scheduled", &message);
}

fn set_scheduled(
    store: &Store,
    pod: &Pod,
    verdict: (&'static str, Option<&'static str>, Option<String>),
    change: impl FnOnce(&mut Value),
) {
    let metadata = &pod.metadata;
    let result: Result<_, Status> = store.modify(
        &resources::PODS,
        &metadata.namespace,
        &metadata.name,
        |object| {
            if object::uid(object) != metadata.uid {
                return;
            }
            let generation = object["metadata"]["generation"].clone();
            let condition = status::condition(
                "PodScheduled",
                verdict,
                &generation,
                &object["status"]["conditions"],
            );
            object["status"]["conditions"] = json!([condition]);
            change(object);
        },
    );
    if let Err(gone) = result {
        tracing::debug!(%gone, "a pod was deleted before it was scheduled");
    }
}
