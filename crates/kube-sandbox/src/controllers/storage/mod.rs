//! Storage: claims and their volumes, snapshots and what they are stored as.
//!
//! In a real cluster these are several programs: the controller manager's volume controllers, a driver's
//! `external-provisioner` and `external-snapshotter`, and the snapshot controller. Events and messages are theirs.

mod claims;
mod contents;
mod provision;
mod snapshots;
mod volumes;

use serde_json::{Value, json};

pub(super) use claims::Claims;
pub(super) use contents::Contents;
pub(super) use snapshots::Snapshots;
pub(super) use volumes::Volumes;

use super::{Key, RETRY, key};
use crate::meta::{Object, Status, object, resources};
use crate::store::Store;

/// The claims that a pod mounts.
fn claims_of(pod: &Value) -> Vec<Key> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .map(|name| (object::namespace(pod).to_owned(), name.to_owned()))
        .collect()
}

/// The pods that mount a claim.
fn users_of(store: &Store, claim: &Value) -> impl Iterator<Item = Object> {
    let wanted = key(claim);
    let pods = store
        .list(&resources::PODS, Some(object::namespace(claim)))
        .items;
    pods.into_iter()
        .filter(move |pod| claims_of(pod).contains(&wanted))
}

/// The claim that a volume is bound to.
fn claim_of(volume: &Value) -> Vec<Key> {
    let claim = &volume["spec"]["claimRef"];
    let key = claim["namespace"].as_str().zip(claim["name"].as_str());
    key.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .into_iter()
        .collect()
}

/// A volume's reference to its claim.
fn reference(claim: &Value) -> Value {
    json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1",
        "namespace": object::namespace(claim), "name": object::name(claim), "uid": object::uid(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    })
}

/// The snapshot that a claim asks to be filled from.
fn snapshot_of(claim: &Value) -> Option<&str> {
    let source = &claim["spec"]["dataSource"];
    let is_snapshot = source["kind"] == resources::SNAPSHOTS.kind
        && source["apiGroup"] == resources::SNAPSHOTS.group;
    source["name"].as_str().filter(|_| is_snapshot)
}

fn modify_claim(
    store: &Store,
    claim: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<(), Status> {
    store
        .modify(
            &resources::CLAIMS,
            object::namespace(claim),
            object::name(claim),
            change,
        )
        .map(drop)
}

/// A failure of the storage system, which is this machine's.
fn broken(error: &std::io::Error) -> Status {
    Status::internal(format!("the storage system failed: {error}"))
}

fn set_volume_phase(volume: &mut Value, phase: &str) {
    if volume["status"]["phase"] != phase {
        volume["status"] = json!({ "phase": phase, "lastPhaseTransitionTime": object::now() });
    }
}
