//! Deployments: a ReplicaSet for each template, moved over from the old to the new one.
//!
//! Left out: `paused`, `rollbackTo`, `minReadySeconds`, `progressDeadlineSeconds` and the pruning of old ReplicaSets
//! (`revisionHistoryLimit`).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::conditions::{self, Condition};
use super::{
    Concerns, Controller, controlled, controlled_by, count, owner_reference, pods, replica_sets,
    rollout,
};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Creates and scales the ReplicaSets of Deployments and reports how far they are.
#[derive(Debug)]
pub(super) struct Deployments;

impl Controller for Deployments {
    fn kind(&self) -> &'static Resource {
        &resources::DEPLOYMENTS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::REPLICA_SETS, |_, set| {
            controlled_by(set, "Deployment")
        })];
        WATCHED
    }

    fn reconcile(&self, store: &Store, deployment: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(deployment) {
            return Ok(None);
        }
        let sets = controlled(store, &resources::REPLICA_SETS, deployment);
        let hash = pods::template_hash(&deployment["spec"]["template"]);
        let (mut current, old): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|set| set["metadata"]["labels"]["pod-template-hash"] == hash);
        let (current, created) = match current.pop() {
            Some(set) => (set, false),
            None => (create(store, deployment, &hash, next_revision(&old))?, true),
        };
        rollout::advance(store, deployment, &current, &old)?;

        let sets: Vec<_> = controlled(store, &resources::REPLICA_SETS, deployment);
        let (namespace, name) = (object::namespace(deployment), object::name(deployment));
        let revision = current["metadata"]["annotations"][REVISION].clone();
        store.modify(self.kind(), namespace, name, |deployment| {
            let annotations = object::map_mut(&mut deployment["metadata"]["annotations"]);
            annotations.insert(REVISION.into(), revision);
            report(deployment, &sets, object::name(&current), created);
        })?;
        Ok(None)
    }
}

fn next_revision(old: &[Object]) -> u64 {
    let revision = |set: &Object| {
        set["metadata"]["annotations"][REVISION]
            .as_str()?
            .parse::<u64>()
            .ok()
    };
    old.iter().filter_map(revision).max().unwrap_or_default() + 1
}

fn create(store: &Store, deployment: &Value, hash: &str, revision: u64) -> Result<Object, Status> {
    let label = |labels: &Value| {
        let mut labels = labels.clone();
        object::map_mut(&mut labels).insert("pod-template-hash".into(), hash.into());
        labels
    };
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"] = label(&template["metadata"]["labels"]);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "namespace": object::namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": replica_sets::wanted(deployment).to_string(),
                REVISION: revision.to_string(),
            },
            "ownerReferences": [owner_reference(&resources::DEPLOYMENTS, deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": label(&deployment["spec"]["selector"]["matchLabels"]) },
            "template": template,
        },
        "status": { "replicas": 0 },
    });
    store.create(&resources::REPLICA_SETS, set)
}

/// Writes the status out of the ReplicaSets' own.
fn report(deployment: &mut Value, sets: &[Object], current: &str, created: bool) {
    let total = |field: &str| sets.iter().map(|set| count(set, field)).sum::<usize>();
    let wanted = replica_sets::wanted(deployment);
    let updated = sets
        .iter()
        .find(|set| object::name(set) == current)
        .map(|set| count(set, "replicas"))
        .unwrap_or_default();
    let available = total("availableReplicas");
    let replicas = total("replicas");

    let mut status = Map::new();
    status.insert(
        "observedGeneration".into(),
        deployment["metadata"]["generation"].clone(),
    );
    for (field, number) in [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", total("readyReplicas")),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            replicas.max(wanted).saturating_sub(available),
        ),
    ] {
        if number > 0 {
            status.insert(field.into(), number.into());
        }
    }
    status.insert(
        "terminatingReplicas".into(),
        total("terminatingReplicas").into(),
    );
    if let Some(conditions) = deployment["status"].get("conditions") {
        status.insert("conditions".into(), conditions.clone());
    }
    deployment["status"] = Value::Object(status);

    let complete = updated == wanted && replicas == wanted && available >= wanted;
    if let Some(progress) = progress(deployment, current, created, complete) {
        conditions::set(deployment, &progress);
    }
    let least = wanted.saturating_sub(rollout::limits(deployment).unavailable);
    conditions::set(deployment, &availability(available >= least));
}

/// A rollout that is complete stays so while the Deployment is only scaled.
fn progress(deployment: &Value, current: &str, created: bool, complete: bool) -> Option<Condition> {
    let before = conditions::find(deployment, "Progressing");
    let (reason, message) = if complete {
        (
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{current}\" has successfully progressed."),
        )
    } else if created {
        (
            "NewReplicaSetCreated",
            format!("Created new replica set \"{current}\""),
        )
    } else if before.is_some_and(|one| one["reason"] == "NewReplicaSetAvailable") {
        return None;
    } else {
        (
            "ReplicaSetUpdated",
            format!("ReplicaSet \"{current}\" is progressing."),
        )
    };
    Some(Condition {
        kind: "Progressing",
        status: true,
        reason,
        message,
    })
}

fn availability(enough: bool) -> Condition {
    let (reason, message) = if enough {
        (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    Condition {
        kind: "Available",
        status: enough,
        reason,
        message: message.to_owned(),
    }
}
