//! DaemonSets: one pod on every node.
//!
//! Left out: updates of pods that run, node selectors and taints, and the scheduler: a pod is assigned to its node by
//! the controller itself, as it was before Kubernetes 1.12.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Concerns, Controller, controlled, controlled_by, key, pods};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

/// Creates the pods of DaemonSets and counts them.
#[derive(Debug)]
pub(super) struct DaemonSets;

impl Controller for DaemonSets {
    fn kind(&self) -> &'static Resource {
        &resources::DAEMON_SETS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[
            (&resources::PODS, |_, pod| controlled_by(pod, "DaemonSet")),
            (&resources::NODES, |store, _| {
                let sets = store.list(&resources::DAEMON_SETS, None).items;
                sets.iter().map(|set| key(set)).collect()
            }),
        ];
        WATCHED
    }

    fn reconcile(&self, store: &Store, set: &Object) -> Result<Option<Duration>, Status> {
        let nodes = store.list(&resources::NODES, None).items;
        if !object::is_terminating(set) {
            let pods = controlled(store, &resources::PODS, set);
            let lacking = nodes.iter().map(|node| object::name(node)).filter(|node| {
                !pods
                    .iter()
                    .any(|pod| pods::is_active(pod) && pod["spec"]["nodeName"] == *node)
            });
            for node in lacking {
                let mut owner = Value::clone(set);
                owner["spec"]["template"]["spec"]["nodeName"] = node.into();
                pods::create(store, self.kind(), &owner)?;
            }
        }
        let pods = controlled(store, &resources::PODS, set);
        let number = |wanted: fn(&Value) -> bool| pods.iter().filter(|pod| wanted(pod)).count();
        let (active, ready) = (
            number(pods::is_active),
            number(|pod| pods::is_active(pod) && pods::is_ready(pod)),
        );
        store.modify(
            self.kind(),
            object::namespace(set),
            object::name(set),
            |set| {
                set["status"] = json!({
                    "currentNumberScheduled": active, "desiredNumberScheduled": nodes.len(),
                    "updatedNumberScheduled": active, "numberMisscheduled": 0,
                    "numberReady": ready, "numberAvailable": ready,
                    "observedGeneration": set["metadata"]["generation"],
                });
            },
        )?;
        Ok(None)
    }
}
