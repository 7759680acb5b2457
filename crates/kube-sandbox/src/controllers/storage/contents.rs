//! VolumeSnapshotContents: what a driver's `external-snapshotter` does with them, and the driver itself.
//!
//! How long the driver takes to answer, and how long the snapshot then takes to be ready to use, is the storage system's
//! to say. While the driver has not answered, a deletion is not looked at, so that no snapshot is lost sight of; and the
//! answer does not make the snapshotter look again, which it does only at its next resync.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Concerns, Controller, RETRY, events::Recorder, finalizers};
use super::{broken, snapshots};
use crate::disks::{Disks, Operation};
use crate::meta::{Object, Resource, Status, object, quantity, resources};
use crate::store::Store;

const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

/// On a content whose driver has been asked for the snapshot and has not answered, or not with its last word.
const BEING_CREATED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
/// The gRPC codes after which the driver may still be at work.
const NOT_FINAL: [&str; 5] = [
    "Aborted",
    "Canceled",
    "DeadlineExceeded",
    "ResourceExhausted",
    "Unavailable",
];

/// Takes and deletes the snapshots that contents stand for.
#[derive(Debug)]
pub(in super::super) struct Contents {
    pub(in super::super) disks: Disks,
}

impl Controller for Contents {
    fn kind(&self) -> &'static Resource {
        &resources::SNAPSHOT_CONTENTS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        &[]
    }

    fn reconcile(&self, store: &Store, content: &Object) -> Result<Option<Duration>, Status> {
        let handle = handle(content);
        if object::is_terminating(content) {
            let resync = || self.disks.remaining(Operation::Resync, &handle);
            if is_being_created(content) {
                resync();
            } else if self.disks.has_begun(Operation::Resync, &handle)
                && let Some(left) = resync()
            {
                return Ok(Some(left.min(RETRY)));
            } else {
                return self.delete(store, content).map(|()| None);
            }
        } else {
            modify(store, content, |content| finalizers::add(content, BOUND))?;
        }
        if content["status"]["readyToUse"] == true || !is_served(store, content) {
            return Ok(None);
        }
        let Some(volume) = volume_of(store, content) else {
            let handle = content["spec"]["source"]["volumeHandle"].as_str();
            let handle = handle.unwrap_or_default();
            let answer =
                format!("rpc error: code = NotFound desc = source Volume ID {handle} not found");
            return refuse(store, content, &answer).map(|()| None);
        };
        if content["status"]["snapshotHandle"].is_null() {
            return self.take(store, content, &volume);
        }
        self.make_ready(store, content, &volume)
    }
}

impl Contents {
    /// Asks the driver for the snapshot.
    fn take(
        &self,
        store: &Store,
        content: &Value,
        volume: &Value,
    ) -> Result<Option<Duration>, Status> {
        let handle = handle(content);
        if let Some(left) = self.disks.remaining(Operation::TakeSnapshot, &handle) {
            modify(store, content, |content| set_being_created(content, true))?;
            return Ok(Some(left));
        }
        if let Some(answer) = self.disks.refusal(Operation::TakeSnapshot) {
            return refuse(store, content, &answer).map(|()| Some(RETRY));
        }
        self.disks
            .snapshot(object::name(volume), &handle)
            .map_err(|error| broken(&error))?;
        let taken = i64::try_from(jiff::Timestamp::now().as_nanosecond());
        modify(store, content, |content| {
            set_being_created(content, false);
            let status = object::map_mut(&mut content["status"]);
            status.insert("creationTime".into(), json!(taken.unwrap_or(i64::MAX)));
            status.insert("snapshotHandle".into(), handle.into());
            status.insert("readyToUse".into(), false.into());
        })?;
        // Its own change calls it again.
        Ok(None)
    }

    fn make_ready(
        &self,
        store: &Store,
        content: &Value,
        volume: &Value,
    ) -> Result<Option<Duration>, Status> {
        if let Some(left) = self.disks.remaining(Operation::Snapshot, &handle(content)) {
            return Ok(Some(left));
        }
        let size = volume["spec"]["capacity"]["storage"]
            .as_str()
            .and_then(quantity::bytes);
        modify(store, content, |content| {
            let status = object::map_mut(&mut content["status"]);
            status.remove("error");
            status.insert("readyToUse".into(), true.into());
            status.insert("restoreSize".into(), json!(size.unwrap_or_default()));
        })?;
        Ok(None)
    }

    fn delete(&self, store: &Store, content: &Value) -> Result<(), Status> {
        if content["metadata"]["annotations"][snapshots::BEING_DELETED] != "yes" {
            return Ok(());
        }
        if content["spec"]["deletionPolicy"] == "Delete" {
            self.disks
                .delete_snapshot(&handle(content))
                .map_err(|error| broken(&error))?;
        }
        modify(store, content, |content| finalizers::drop(content, BOUND))
    }
}

/// What the driver calls the snapshot.
fn handle(content: &Value) -> String {
    let snapshot = content["spec"]["volumeSnapshotRef"]["uid"].as_str();
    format!("snapshot-{}", snapshot.unwrap_or_default())
}

fn modify(store: &Store, content: &Value, change: impl FnOnce(&mut Value)) -> Result<(), Status> {
    let name = object::name(content);
    store
        .modify(&resources::SNAPSHOT_CONTENTS, "", name, change)
        .map(drop)
}

/// Whether the driver runs in this cluster: the drivers that do have a storage class.
fn is_served(store: &Store, content: &Value) -> bool {
    let classes = store.list(&resources::STORAGE_CLASSES, None).items;
    classes
        .iter()
        .any(|class| class["provisioner"] == content["spec"]["driver"])
}

/// The volume of the content's driver that has the handle the content names.
fn volume_of(store: &Store, content: &Value) -> Option<Object> {
    let spec = &content["spec"];
    let volumes = store.list(&resources::VOLUMES, None).items;
    volumes.into_iter().find(|volume| {
        let source = &volume["spec"]["csi"];
        source["driver"] == spec["driver"]
            && source["volumeHandle"] == spec["source"]["volumeHandle"]
    })
}

fn is_being_created(content: &Value) -> bool {
    content["metadata"]["annotations"]
        .get(BEING_CREATED)
        .is_some()
}

fn set_being_created(content: &mut Value, is_being_created: bool) {
    if is_being_created {
        let annotations = object::map_mut(&mut content["metadata"]["annotations"]);
        annotations.insert(BEING_CREATED.into(), "yes".into());
    } else if let Some(annotations) = content["metadata"]["annotations"].as_object_mut() {
        annotations.remove(BEING_CREATED);
    }
}

/// Writes down that the driver took no snapshot, and why. Only when that is its last word is it no more at work.
fn refuse(store: &Store, content: &Value, answer: &str) -> Result<(), Status> {
    let handle = content["spec"]["source"]["volumeHandle"]
        .as_str()
        .unwrap_or_default();
    let message = format!(
        "Failed to check and update snapshot content: failed to take snapshot of the volume {handle}: {answer:?}"
    );
    if content["status"]["error"]["message"] == message.as_str() {
        return Ok(());
    }
    let is_final = !NOT_FINAL
        .iter()
        .any(|code| answer.contains(&format!("code = {code} ")));
    modify(store, content, |content| {
        set_being_created(content, !is_final);
        let status = object::map_mut(&mut content["status"]);
        status.insert("readyToUse".into(), false.into());
        let error = json!({ "message": message, "time": object::now() });
        status.insert("error".into(), error);
    })?;
    let driver = content["spec"]["driver"].as_str().unwrap_or_default();
    let recorder = Recorder {
        store,
        component: &format!("csi-snapshotter {driver}"),
    };
    recorder.warning(content, "SnapshotContentCheckandUpdateFailed", &message);
    Ok(())
}
