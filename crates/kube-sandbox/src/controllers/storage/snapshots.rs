//! VolumeSnapshots: what the snapshot controller does with them.
//!
//! Left out: snapshots of contents made before (`source.volumeSnapshotContentName`), groups, and the finalizer on the
//! claim while its snapshot is taken.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Concerns, Controller, RETRY, events::Recorder, finalizers};
use super::snapshot_of;
use crate::meta::{Object, Resource, Status, object, quantity, resources};
use crate::store::{DeleteOptions, Store};

const AS_SOURCE: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
/// On a content whose snapshot is being deleted: its driver may delete what it stands for.
pub(super) const BEING_DELETED: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// Gives each snapshot its content.
#[derive(Debug)]
pub(in super::super) struct Snapshots;

/// Why a snapshot cannot be taken: reason of the event, and the message of event and status.
struct Failure {
    reason: &'static str,
    message: String,
}

impl Controller for Snapshots {
    fn kind(&self) -> &'static Resource {
        &resources::SNAPSHOTS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[
            (&resources::SNAPSHOT_CONTENTS, |_, content| {
                let snapshot = &content["spec"]["volumeSnapshotRef"];
                let text = |field: &str| snapshot[field].as_str().unwrap_or_default().to_owned();
                vec![(text("namespace"), text("name"))]
            }),
            (&resources::CLAIMS, |_, claim| {
                let namespace = object::namespace(claim).to_owned();
                let snapshot = snapshot_of(claim).map(str::to_owned);
                snapshot.map(|name| (namespace, name)).into_iter().collect()
            }),
        ];
        WATCHED
    }

    fn reconcile(&self, store: &Store, snapshot: &Object) -> Result<Option<Duration>, Status> {
        let content = store
            .get(&resources::SNAPSHOT_CONTENTS, "", &content_name(snapshot))
            .ok();
        if object::is_terminating(snapshot) {
            return delete(store, snapshot, content.as_ref());
        }
        let deletes = content
            .as_ref()
            .is_some_and(|content| content["spec"]["deletionPolicy"] == "Delete");
        modify(store, snapshot, |snapshot| {
            finalizers::add(snapshot, AS_SOURCE);
            if deletes {
                finalizers::add(snapshot, BOUND);
            }
        })?;
        let made = match content {
            Some(content) => Ok(content),
            None if snapshot["status"]["readyToUse"] == true => Err(Failure {
                reason: "SnapshotContentMissing",
                message: "VolumeSnapshotContent is missing".to_owned(),
            }),
            None => create_content(store, snapshot)?,
        };
        match made {
            Ok(content) => follow(store, snapshot, &content).map(|()| None),
            Err(failure) => fail(store, snapshot, &failure).map(|()| Some(RETRY)),
        }
    }
}

fn content_name(snapshot: &Value) -> String {
    format!("snapcontent-{}", object::uid(snapshot))
}

fn path(snapshot: &Value) -> String {
    format!("{}/{}", object::namespace(snapshot), object::name(snapshot))
}

fn recorder(store: &Store) -> Recorder<'_> {
    Recorder {
        store,
        component: "snapshot-controller",
    }
}

fn modify(store: &Store, snapshot: &Value, change: impl FnOnce(&mut Value)) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(snapshot), object::name(snapshot));
    store
        .modify(&resources::SNAPSHOTS, namespace, name, change)
        .map(drop)
}

/// Asks the driver for a snapshot, unless something about the request is wrong.
fn create_content(store: &Store, snapshot: &Object) -> Result<Result<Object, Failure>, Status> {
    let volume = match source(store, snapshot) {
        Ok(volume) => volume,
        Err(message) => return Ok(Err(not_created(snapshot, &message))),
    };
    let class = match class(store, snapshot, &volume)? {
        Ok(class) => class,
        Err(failure) => return Ok(Err(failure)),
    };
    let Some(handle) = volume["spec"]["csi"]["volumeHandle"].as_str() else {
        return Ok(Err(Failure {
            reason: "SnapshotContentCreationFailed",
            message: format!(
                "Failed to create snapshot content with error cannot find CSI PersistentVolumeSource for volume {}",
                object::name(&volume)
            ),
        }));
    };
    let content = json!({
        "apiVersion": resources::SNAPSHOTS.api_version(), "kind": resources::SNAPSHOT_CONTENTS.kind,
        "metadata": { "name": content_name(snapshot) },
        "spec": {
            "deletionPolicy": class["deletionPolicy"], "driver": class["driver"],
            "source": { "volumeHandle": handle }, "sourceVolumeMode": volume["spec"]["volumeMode"],
            "volumeSnapshotClassName": object::name(&class),
            "volumeSnapshotRef": {
                "apiVersion": snapshot["apiVersion"], "kind": snapshot["kind"],
                "namespace": object::namespace(snapshot), "name": object::name(snapshot), "uid": object::uid(snapshot),
                "resourceVersion": snapshot["metadata"]["resourceVersion"],
            },
        },
    });
    let content = store.create(&resources::SNAPSHOT_CONTENTS, content)?;
    let message = format!(
        "Waiting for a snapshot {} to be created by the CSI driver.",
        path(snapshot)
    );
    recorder(store).normal(snapshot, "CreatingSnapshot", &message);
    Ok(Ok(content))
}

fn not_created(snapshot: &Value, why: &str) -> Failure {
    let name = object::name(snapshot);
    Failure {
        reason: "SnapshotContentCreationFailed",
        message: format!(
            "Failed to create snapshot content with error failed to get input parameters to create snapshot {name}: {why:?}"
        ),
    }
}

/// The volume a snapshot is to be taken of.
fn source(store: &Store, snapshot: &Value) -> Result<Object, String> {
    let name = snapshot["spec"]["source"]["persistentVolumeClaimName"]
        .as_str()
        .ok_or("the snapshot source PVC name is not specified")?;
    let claim = store
        .get(&resources::CLAIMS, object::namespace(snapshot), name)
        .map_err(|missing| {
            let missing = missing.to_string();
            format!("failed to retrieve PVC {name} from the lister: {missing:?}")
        })?;
    if claim["status"]["phase"] != "Bound" {
        return Err(format!(
            "the PVC {name} is not yet bound to a PV, will not attempt to take a snapshot"
        ));
    }
    let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
    store
        .get(&resources::VOLUMES, "", volume)
        .map_err(|missing| {
            let missing = missing.to_string();
            format!("failed to retrieve PV {volume} from the API server: {missing:?}")
        })
}

/// The class a snapshot names, or the default one of the volume's driver, which it names from then on.
fn class(
    store: &Store,
    snapshot: &Value,
    volume: &Value,
) -> Result<Result<Object, Failure>, Status> {
    if let Some(name) = snapshot["spec"]["volumeSnapshotClassName"].as_str() {
        let class = store.get(&resources::SNAPSHOT_CLASSES, "", name);
        return Ok(class.map_err(|_| {
            let kind = &resources::SNAPSHOT_CLASSES;
            let missing = format!("{}.{} {name:?} not found", kind.singular, kind.group);
            not_created(snapshot, &missing)
        }));
    }
    let mut classes = store.list(&resources::SNAPSHOT_CLASSES, None).items;
    classes.retain(|class| {
        class["metadata"]["annotations"][DEFAULT_CLASS] == "true"
            && class["driver"] == volume["spec"]["csi"]["driver"]
    });
    let why = match classes.as_slice() {
        [class] => {
            modify(store, snapshot, |snapshot| {
                snapshot["spec"]["volumeSnapshotClassName"] = object::name(class).into();
            })?;
            return Ok(Ok(class.clone()));
        }
        [] if volume["spec"]["csi"].is_null() => format!(
            "snapshotting non-CSI volumes is not supported, snapshot:{}",
            path(snapshot)
        ),
        [] => "cannot find default snapshot class".to_owned(),
        several => format!("{} default snapshot classes were found", several.len()),
    };
    Ok(Err(Failure {
        reason: "SetDefaultSnapshotClassFailed",
        message: format!("Failed to set default snapshot class with error {why}"),
    }))
}

/// Writes to the snapshot's status what became of its content.
fn follow(store: &Store, snapshot: &Object, content: &Value) -> Result<(), Status> {
    let before = &snapshot["status"];
    let status = &content["status"];
    let is_created = |status: &Value| !status["creationTime"].is_null();
    if is_created(status) && !is_created(before) {
        let message = format!(
            "Snapshot {} was successfully created by the CSI driver.",
            path(snapshot)
        );
        recorder(store).normal(snapshot, "SnapshotCreated", &message);
    }
    if status["readyToUse"] == true && before["readyToUse"] != true {
        let message = format!("Snapshot {} is ready to use.", path(snapshot));
        recorder(store).normal(snapshot, "SnapshotReady", &message);
    }
    let created = status["creationTime"]
        .as_i64()
        .and_then(|nanoseconds| jiff::Timestamp::from_nanosecond(nanoseconds.into()).ok());
    modify(store, snapshot, |snapshot| {
        let next = object::map_mut(&mut snapshot["status"]);
        next.insert(
            "boundVolumeSnapshotContentName".into(),
            object::name(content).into(),
        );
        let ready = status["readyToUse"].as_bool().unwrap_or_default();
        next.insert("readyToUse".into(), ready.into());
        if let Some(created) = created {
            next.insert("creationTime".into(), object::timestamp(created).into());
        }
        if let Some(bytes) = status["restoreSize"].as_u64() {
            next.insert("restoreSize".into(), quantity::binary(bytes).into());
        }
        if status["error"].is_null() {
            next.remove("error");
        } else {
            next.insert("error".into(), status["error"].clone());
        }
    })
}

fn fail(store: &Store, snapshot: &Value, failure: &Failure) -> Result<(), Status> {
    if snapshot["status"]["error"]["message"] == failure.message.as_str() {
        return Ok(());
    }
    modify(store, snapshot, |snapshot| {
        let status = object::map_mut(&mut snapshot["status"]);
        status.insert("readyToUse".into(), false.into());
        let error = json!({ "message": failure.message, "time": object::now() });
        status.insert("error".into(), error);
    })?;
    recorder(store).warning(snapshot, failure.reason, &failure.message);
    Ok(())
}

/// Lets a snapshot go after its content, and not before the claims that are being filled from it.
fn delete(
    store: &Store,
    snapshot: &Value,
    content: Option<&Object>,
) -> Result<Option<Duration>, Status> {
    let namespace = object::namespace(snapshot);
    let claims = store.list(&resources::CLAIMS, Some(namespace)).items;
    let is_being_restored = claims.iter().any(|claim| {
        snapshot_of(claim) == Some(object::name(snapshot)) && claim["status"]["phase"] == "Pending"
    });
    if content.is_some() && is_being_restored {
        let message = "Snapshot is being used to restore a PVC";
        recorder(store).warning(snapshot, "SnapshotDeletePending", message);
        return Ok(Some(RETRY));
    }
    let mut waits_for_content = false;
    if let Some(content) = content {
        let name = object::name(content);
        store.modify(&resources::SNAPSHOT_CONTENTS, "", name, |content| {
            let annotations = object::map_mut(&mut content["metadata"]["annotations"]);
            annotations.insert(BEING_DELETED.into(), "yes".into());
        })?;
        if content["spec"]["deletionPolicy"] == "Delete" {
            waits_for_content = true;
            let options = DeleteOptions::default();
            store.delete(&resources::SNAPSHOT_CONTENTS, "", name, &options)?;
        }
    }
    modify(store, snapshot, |snapshot| {
        finalizers::drop(snapshot, AS_SOURCE);
        if !waits_for_content {
            finalizers::drop(snapshot, BOUND);
        }
    })?;
    Ok(None)
}
