//! Decides which machine runs a pod, and says why none can.
//!
//! Looks at cordons, node selectors and affinity, and at claims. Of several machines that fit, the first is taken. As in
//! a real cluster, nothing here knows where a `ReadWriteOnce` volume is attached. Left out: resources, preferences,
//! taints, priorities.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};

use super::{
    affinity,
    events::{self, Severity},
    registration::{self, Machine},
    spec::Pod,
    status,
};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Waits until the pod fits somewhere, then assigns it to that machine.
pub(super) async fn place(store: &Store, scheduling: &Mutex<()>, pod: &Pod) -> &'static Machine {
    let mut changes = changes(store, &pod.metadata.namespace);
    let mut reported = String::new();
    loop {
        {
            let _one_at_a_time = scheduling.lock().unwrap_or_else(PoisonError::into_inner);
            match decide(store, pod) {
                Verdict::Fits(machine) => {
                    bind(store, pod, machine);
                    return machine;
                }
                Verdict::Binding => {}
                Verdict::Unschedulable(message) => {
                    if message != reported {
                        report(store, pod, &message);
                        reported = message;
                    }
                }
            }
        }
        changes.next().await;
    }
}

/// Everything that can change the verdict.
fn changes(store: &Store, namespace: &str) -> BoxStream<'static, ()> {
    let watch = |resource: &'static Resource, namespace: Option<&str>| {
        let (store, namespace) = (store.clone(), namespace.map(str::to_owned));
        // A watch that fell behind ends; the next one begins with everything there is.
        stream::repeat_with(move || store.watch(resource, namespace.as_deref(), None))
            .flatten()
            .map(drop)
            .boxed()
    };
    stream::select_all([
        watch(&resources::CLAIMS, Some(namespace)),
        watch(&resources::PODS, Some(namespace)),
        watch(&resources::NODES, None),
    ])
    .boxed()
}

enum Verdict {
    Fits(&'static Machine),
    /// A claim that waited for its first pod is being bound.
    Binding,
    Unschedulable(String),
}

/// Why a machine does not fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Misfit {
    Cordoned,
    Selector,
    OncePod,
    VolumeAffinity,
}

impl Misfit {
    fn reason(self) -> &'static str {
        match self {
            Self::Cordoned => "node(s) were unschedulable",
            Self::Selector => "node(s) didn't match Pod's node affinity/selector",
            Self::OncePod => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
            Self::VolumeAffinity => "node(s) didn't match PersistentVolume's node affinity",
        }
    }

    /// What the attempt to make room by evicting other pods comes to.
    fn preemption(self) -> &'static str {
        match self {
            Self::OncePod => "No preemption victims found for incoming pod",
            _ => "Preemption is not helpful for scheduling",
        }
    }
}

fn decide(store: &Store, pod: &Pod) -> Verdict {
    let nodes = store.list(&resources::NODES, None).items;
    let claims = match claims(store, pod) {
        Ok(claims) => claims,
        Err(why) => {
            let number = nodes.len();
            return Verdict::Unschedulable(format!(
                "0/{number} nodes are available: {why}. not found"
            ));
        }
    };
    let mut misfits = Vec::new();
    for node in &nodes {
        let Some(machine) = registration::machine(object::name(node)) else {
            continue;
        };
        match misfit(store, pod, &claims, node) {
            Some(misfit) => misfits.push(misfit),
            None if select(store, &claims, machine) => return Verdict::Binding,
            None => return Verdict::Fits(machine),
        }
    }
    let summary = |text: fn(Misfit) -> &'static str| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for misfit in &misfits {
            *counts.entry(text(*misfit)).or_default() += 1;
        }
        let mut parts: Vec<_> = counts
            .iter()
            .map(|(text, count)| format!("{count} {text}"))
            .collect();
        parts.sort();
        parts.join(", ")
    };
    let number = nodes.len();
    Verdict::Unschedulable(format!(
        "0/{number} nodes are available: {}. no new claims to deallocate, preemption: 0/{number} nodes are available: {}.",
        summary(Misfit::reason),
        summary(Misfit::preemption)
    ))
}

/// The pod's claims; the error says which of them no machine could give it.
fn claims(store: &Store, pod: &Pod) -> Result<Vec<Object>, String> {
    let sources = pod
        .spec
        .volumes
        .iter()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref());
    sources
        .map(|source| {
            let name = &source.claim_name;
            let claim = store
                .get(&resources::CLAIMS, &pod.metadata.namespace, name)
                .map_err(|_| format!("persistentvolumeclaim {name:?} not found"))?;
            if object::is_terminating(&claim) {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if is_unbound(&claim) && !waits_for_a_pod(store, &claim) {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            Ok(claim)
        })
        .collect()
}

fn is_unbound(claim: &Value) -> bool {
    claim["status"]["phase"] != "Bound"
}

fn waits_for_a_pod(store: &Store, claim: &Value) -> bool {
    let class = claim["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default();
    store
        .get(&resources::STORAGE_CLASSES, "", class)
        .is_ok_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
}

/// The first thing that keeps a pod from a node, in the order of the scheduler's plugins.
fn misfit(store: &Store, pod: &Pod, claims: &[Object], node: &Value) -> Option<Misfit> {
    if node["spec"]["unschedulable"] == true {
        return Some(Misfit::Cordoned);
    }
    let spec = &pod.spec;
    let labels = &node["metadata"]["labels"];
    let required = &spec.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let selected = spec
        .node_selector
        .iter()
        .all(|(label, value)| labels[label] == value.as_str());
    if !selected || !affinity::selects(required, node) {
        return Some(Misfit::Selector);
    }
    if claims.iter().any(|claim| is_taken(store, pod, claim)) {
        return Some(Misfit::OncePod);
    }
    let reachable = claims.iter().all(|claim| {
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
        store
            .get(&resources::VOLUMES, "", volume)
            .is_ok_and(|volume| {
                affinity::selects(&volume["spec"]["nodeAffinity"]["required"], node)
            })
            || is_unbound(claim)
    });
    (!reachable).then_some(Misfit::VolumeAffinity)
}

/// Whether another pod has a claim that only one may use.
fn is_taken(store: &Store, pod: &Pod, claim: &Value) -> bool {
    let modes = claim["spec"]["accessModes"].as_array();
    if !modes.is_some_and(|modes| modes.contains(&json!("ReadWriteOncePod"))) {
        return false;
    }
    let others = store
        .list(&resources::PODS, Some(&pod.metadata.namespace))
        .items;
    others.iter().any(|other| {
        let has_ended = matches!(
            other["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        let mut volumes = other["spec"]["volumes"].as_array().into_iter().flatten();
        object::uid(other) != pod.metadata.uid
            && other["spec"]["nodeName"].is_string()
            && !has_ended
            && volumes
                .any(|volume| volume["persistentVolumeClaim"]["claimName"] == object::name(claim))
    })
}

/// Tells the volume controller of the machine whose pod wants the claims that wait for one; false when none does.
fn select(store: &Store, claims: &[Object], machine: &Machine) -> bool {
    let waiting: Vec<_> = claims.iter().filter(|claim| is_unbound(claim)).collect();
    for claim in &waiting {
        let selected = store.modify(
            &resources::CLAIMS,
            object::namespace(claim),
            object::name(claim),
            |claim| claim["metadata"]["annotations"][SELECTED_NODE] = machine.name.into(),
        );
        if let Err(gone) = selected {
            tracing::debug!(%gone, "a claim was deleted before it was bound");
        }
    }
    !waiting.is_empty()
}

fn report(store: &Store, pod: &Pod, message: &str) {
    let unschedulable = ("False", Some("Unschedulable"), Some(message.to_owned()));
    set_scheduled(store, pod, unschedulable, |_| {});
    events::from_scheduler(store, pod, Severity::Warning, "FailedScheduling", message);
}

fn bind(store: &Store, pod: &Pod, machine: &Machine) {
    set_scheduled(store, pod, ("True", None, None), |object| {
        object["spec"]["nodeName"] = machine.name.into();
    });
    let metadata = &pod.metadata;
    let message = format!(
        "Successfully assigned {}/{} to {}",
        metadata.namespace, metadata.name, machine.name
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
