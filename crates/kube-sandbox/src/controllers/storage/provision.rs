//! Making volumes for claims: what the volume controller and a driver's `external-provisioner` do.
//!
//! Left out: volumes copied from another claim (such a claim stays pending), capacity.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{events::Recorder, finalizers};
use super::{RETRY, broken, modify_claim, reference, snapshot_of, users_of, volumes};
use crate::disks::{Disks, Operation};
use crate::meta::{Object, Status, object, quantity, resources};
use crate::store::Store;

/// The component whose events say why a claim is not bound.
pub(super) const CONTROLLER: &str = "persistentvolume-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a snapshot that a claim's volume is being filled from. Where the claim goes before that is done, nobody takes it
/// off again.
const SOURCE: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// The driver whose volumes are on the disks of one node.
const LOCAL_DRIVER: &str = "topolvm.io";

/// How far a claim got.
pub(super) enum Outcome {
    /// It can be bound to this volume.
    Provisioned(Object),
    /// Not yet; when to look again if nothing changes until then.
    Waits(Option<Duration>),
}

/// Makes the volume that a claim of a class asks for.
pub(super) fn provision(store: &Store, disks: &Disks, claim: &Object) -> Result<Outcome, Status> {
    let controller = Recorder {
        store,
        component: CONTROLLER,
    };
    let name = claim["spec"]["storageClassName"]
        .as_str()
        .unwrap_or_default();
    if name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        controller.normal(claim, "FailedBinding", message);
        return Ok(Outcome::Waits(None));
    }
    let Ok(class) = store.get(&resources::STORAGE_CLASSES, "", name) else {
        let message = format!("storageclass.storage.k8s.io {name:?} not found");
        controller.warning(claim, "ProvisioningFailed", &message);
        return Ok(Outcome::Waits(Some(RETRY)));
    };
    let node = &claim["metadata"]["annotations"][SELECTED_NODE];
    if class["volumeBindingMode"] == "WaitForFirstConsumer" && node.is_null() {
        let (reason, message) = match users_of(store, claim).next() {
            None => (
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding".to_owned(),
            ),
            Some(pod) => (
                "WaitForPodScheduled",
                format!("waiting for pod {} to be scheduled", object::name(&pod)),
            ),
        };
        controller.normal(claim, reason, &message);
        return Ok(Outcome::Waits(None));
    }
    let volume = format!("pvc-{}", object::uid(claim));
    if let Ok(volume) = store.get(&resources::VOLUMES, "", &volume) {
        return Ok(Outcome::Provisioned(volume));
    }
    let provisioner = class["provisioner"].as_str().unwrap_or_default();
    announce(store, claim, provisioner)?;
    let driver = Recorder {
        store,
        component: if is_in_tree(provisioner) {
            CONTROLLER
        } else {
            provisioner
        },
    };
    let fails = |why: &str| {
        let message = format!("failed to provision volume with StorageClass {name:?}: {why}");
        driver.warning(claim, "ProvisioningFailed", &message);
        Ok(Outcome::Waits(Some(RETRY)))
    };
    let snapshot = match content(store, claim, &class) {
        Ok(snapshot) => snapshot,
        Err(why) => {
            let source = &claim["spec"]["dataSource"];
            let text = |field: &str| source[field].as_str().unwrap_or_default().to_owned();
            return fails(&format!(
                "error getting handle for DataSource Type {} by Name {}: {why}",
                text("kind"),
                text("name")
            ));
        }
    };
    if let Some(answer) = disks.refusal(Operation::Provision) {
        return fails(&answer);
    }
    if snapshot.is_some() {
        modify_source(store, claim, |snapshot| finalizers::add(snapshot, SOURCE))?;
    }
    if let Some(left) = disks.remaining(Operation::Provision, &volume) {
        return Ok(Outcome::Waits(Some(left)));
    }
    if let Some(snapshot) = &snapshot {
        disks
            .restore(snapshot, &volume)
            .map_err(|error| broken(&error))?;
        modify_source(store, claim, |snapshot| finalizers::drop(snapshot, SOURCE))?;
    }
    let made = store.create(&resources::VOLUMES, manifest(claim, &class, &volume))?;
    let message = if is_in_tree(provisioner) {
        format!("Successfully provisioned volume {volume} using {provisioner}")
    } else {
        format!("Successfully provisioned volume {volume}")
    };
    driver.normal(claim, "ProvisioningSucceeded", &message);
    Ok(Outcome::Provisioned(made))
}

/// Changes the snapshot that a claim is filled from.
fn modify_source(
    store: &Store,
    claim: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<(), Status> {
    let name = snapshot_of(claim).unwrap_or_default();
    store
        .modify(
            &resources::SNAPSHOTS,
            object::namespace(claim),
            name,
            change,
        )
        .map(drop)
}

/// Whether the volume controller makes the volume itself, instead of a driver's own program.
fn is_in_tree(provisioner: &str) -> bool {
    provisioner.starts_with("kubernetes.io/")
}

/// Tells the driver, and everybody else, who is to make the volume.
fn announce(store: &Store, claim: &Value, provisioner: &str) -> Result<(), Status> {
    modify_claim(store, claim, |claim| {
        let annotations = object::map_mut(&mut claim["metadata"]["annotations"]);
        for name in [
            "volume.beta.kubernetes.io/storage-provisioner",
            "volume.kubernetes.io/storage-provisioner",
        ] {
            annotations.insert(name.into(), provisioner.into());
        }
    })?;
    if is_in_tree(provisioner) {
        return Ok(());
    }
    let waiting = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    let provisioning = format!(
        "External provisioner is provisioning volume for claim \"{}/{}\"",
        object::namespace(claim),
        object::name(claim)
    );
    for (component, reason, message) in [
        (CONTROLLER, "ExternalProvisioning", waiting),
        (provisioner, "Provisioning", provisioning),
    ] {
        Recorder { store, component }.normal(claim, reason, &message);
    }
    Ok(())
}

/// The snapshot on the storage system that fills a claim's volume, if one does.
fn content(store: &Store, claim: &Value, class: &Value) -> Result<Option<String>, String> {
    let source = &claim["spec"]["dataSource"];
    if source.is_null() {
        return Ok(None);
    }
    let Some(name) = snapshot_of(claim) else {
        return Err("only snapshots can be copied here".to_owned());
    };
    let snapshot = store
        .get(&resources::SNAPSHOTS, object::namespace(claim), name)
        .map_err(|missing| format!("error getting snapshot {name} from api server: {missing}"))?;
    let status = &snapshot["status"];
    let Some(content_name) = status["boundVolumeSnapshotContentName"].as_str() else {
        return Err(format!("snapshot {name} not bound"));
    };
    let content = store
        .get(&resources::SNAPSHOT_CONTENTS, "", content_name)
        .map_err(|_| format!("error getting snapshotcontent {content_name} for snapshot {name}"))?;
    if content["spec"]["volumeSnapshotRef"]["uid"] != object::uid(&snapshot) {
        return Err(format!(
            "snapshotcontent {content_name} for snapshot {name} is bound to a different snapshot"
        ));
    }
    if content["spec"]["driver"] != class["provisioner"] {
        return Err(format!(
            "snapshotcontent {content_name} for snapshot {name} is not handled by CSI driver of StorageClass {}",
            object::name(class)
        ));
    }
    if status["readyToUse"] != true {
        return Err(format!("snapshot {name} is not Ready"));
    }
    let size = |value: &Value| value.as_str().and_then(quantity::bytes).unwrap_or_default();
    let requested = size(&claim["spec"]["resources"]["requests"]["storage"]);
    let smallest = size(&status["restoreSize"]);
    if requested < smallest {
        return Err(format!(
            "requested volume size {requested} is less than the size {smallest} for the source snapshot {name}"
        ));
    }
    let handle = content["status"]["snapshotHandle"].as_str();
    handle
        .map(|handle| Some(handle.to_owned()))
        .ok_or_else(|| format!("snapshot handle {name} is not available"))
}

fn manifest(claim: &Value, class: &Value, name: &str) -> Value {
    let provisioner = class["provisioner"].as_str().unwrap_or_default();
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": { "pv.kubernetes.io/provisioned-by": provisioner },
            "finalizers": [volumes::PROTECTION],
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
            "claimRef": reference(claim),
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": object::name(class),
            "volumeMode": claim["spec"]["volumeMode"].as_str().unwrap_or("Filesystem"),
        },
        "status": { "phase": "Pending" },
    });
    let (kind, source) = source(provisioner, name);
    volume["spec"][kind] = source;
    let node = claim["metadata"]["annotations"][SELECTED_NODE].as_str();
    if let Some(node) = node.filter(|_| provisioner == LOCAL_DRIVER) {
        let here = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] });
        volume["spec"]["nodeAffinity"] =
            json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } });
    }
    volume
}

/// The type of a volume, and where its driver finds it. Portworx numbers its volumes, and had a type of its own while
/// it was part of Kubernetes.
fn source(provisioner: &str, volume: &str) -> (&'static str, Value) {
    let number = || (rand::random::<u64>() % 10_u64.pow(18)).to_string();
    match provisioner {
        "kubernetes.io/portworx-volume" => (
            "portworxVolume",
            json!({ "fsType": "ext4", "volumeID": number() }),
        ),
        "pxd.portworx.com" => (
            "csi",
            json!({ "driver": provisioner, "fsType": "ext4", "volumeHandle": number() }),
        ),
        _ => (
            "csi",
            json!({ "driver": provisioner, "fsType": "ext4", "volumeHandle": volume }),
        ),
    }
}
