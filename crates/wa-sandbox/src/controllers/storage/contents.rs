//! VolumeSnapshotContents: what a driver's `external-snapshotter` does with them, and the driver itself.
//!
//! A driver takes the snapshot at once; how long it then takes to be ready to use is the storage system's to say.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Concerns, Controller, events::Recorder, finalizers};
use super::{broken, snapshots};
use crate::api::{Resource, Status, quantity, resources};
use crate::disks::{Disks, Operation};
use crate::store::{Object, Store, object};

const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

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
        if object::is_terminating(content) {
            return self.delete(store, content).map(|()| None);
        }
        modify(store, content, |content| finalizers::add(content, BOUND))?;
        if content["status"]["readyToUse"] == true || !is_served(store, content) {
            return Ok(None);
        }
        let Some(volume) = volume_of(store, content) else {
            return refuse(store, content).map(|()| None);
        };
        let handle = handle(content);
        self.disks
            .snapshot(object::name(&volume), &handle)
            .map_err(|error| broken(&error))?;
        let left = self.disks.remaining(Operation::Snapshot, &handle);
        let size = volume["spec"]["capacity"]["storage"]
            .as_str()
            .and_then(quantity::bytes);
        modify(store, content, |content| {
            let status = object::map_mut(&mut content["status"]);
            let taken = i64::try_from(jiff::Timestamp::now().as_nanosecond());
            status
                .entry("creationTime")
                .or_insert_with(|| json!(taken.unwrap_or(i64::MAX)));
            status.insert("snapshotHandle".into(), handle.into());
            status.insert("readyToUse".into(), left.is_none().into());
            if left.is_none() {
                status.insert("restoreSize".into(), json!(size.unwrap_or_default()));
            }
        })?;
        Ok(left)
    }
}

impl Contents {
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

/// Says that the driver knows no such volume, as it is with the snapshot class of another driver.
fn refuse(store: &Store, content: &Value) -> Result<(), Status> {
    let handle = content["spec"]["source"]["volumeHandle"]
        .as_str()
        .unwrap_or_default();
    let message = format!(
        "Failed to check and update snapshot content: failed to take snapshot of the volume {handle}: \"rpc error: code = \
         NotFound desc = source Volume ID {handle} not found\""
    );
    if content["status"]["error"]["message"] == message.as_str() {
        return Ok(());
    }
    modify(store, content, |content| {
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
