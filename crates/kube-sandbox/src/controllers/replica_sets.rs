//! ReplicaSets: as many pods as they ask for.

use std::cmp::Reverse;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Concerns, Controller, controlled, controlled_by, pods};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Store};

/// Creates and deletes the pods of ReplicaSets and counts them.
#[derive(Debug)]
pub(super) struct ReplicaSets;

impl Controller for ReplicaSets {
    fn kind(&self) -> &'static Resource {
        &resources::REPLICA_SETS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] =
            &[(&resources::PODS, |_, pod| controlled_by(pod, "ReplicaSet"))];
        WATCHED
    }

    fn reconcile(&self, store: &Store, set: &Object) -> Result<Option<Duration>, Status> {
        if !object::is_terminating(set) {
            scale(store, set)?;
        }
        let pods = controlled(store, &resources::PODS, set);
        let (active, rest): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| pods::is_active(pod));
        let ready = active.iter().filter(|pod| pods::is_ready(pod)).count();
        let terminating = rest
            .iter()
            .filter(|pod| object::is_terminating(pod))
            .count();
        store.modify(
            self.kind(),
            object::namespace(set),
            object::name(set),
            |set| {
                let mut status = Map::new();
                status.insert("replicas".into(), active.len().into());
                for (field, number) in [
                    ("fullyLabeledReplicas", active.len()),
                    ("readyReplicas", ready),
                    ("availableReplicas", ready),
                ] {
                    if number > 0 {
                        status.insert(field.into(), number.into());
                    }
                }
                status.insert("terminatingReplicas".into(), terminating.into());
                status.insert(
                    "observedGeneration".into(),
                    set["metadata"]["generation"].clone(),
                );
                set["status"] = Value::Object(status);
            },
        )?;
        Ok(None)
    }
}

fn scale(store: &Store, set: &Object) -> Result<(), Status> {
    let wanted = wanted(set);
    let mut active = controlled(store, &resources::PODS, set);
    active.retain(|pod| pods::is_active(pod));
    for _ in active.len()..wanted {
        pods::create(store, &resources::REPLICA_SETS, set)?;
    }
    // Pods that are of least use go first: not ready before ready, younger before older.
    active.sort_by_key(|pod| (pods::is_ready(pod), Reverse(object::revision(pod))));
    let surplus = active.len().saturating_sub(wanted);
    for pod in active.iter().take(surplus) {
        store.delete(
            &resources::PODS,
            object::namespace(pod),
            object::name(pod),
            &DeleteOptions::default(),
        )?;
    }
    Ok(())
}

/// `spec.replicas`, 1 when left out.
pub(super) fn wanted(workload: &Value) -> usize {
    workload["spec"]["replicas"]
        .as_u64()
        .map_or(1, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// Sets `spec.replicas`.
pub(super) fn resize(store: &Store, set: &Value, replicas: usize) -> Result<Object, Status> {
    store.modify(
        &resources::REPLICA_SETS,
        object::namespace(set),
        object::name(set),
        |set| {
            set["spec"]["replicas"] = json!(replicas);
        },
    )
}
