//! PersistentVolumeClaims and PersistentVolumes: what a storage driver with dynamic provisioning does to them.
//!
//! The node keeps a volume's files in a directory of its own, so binding is a matter of objects alone. Left out: sizes
//! and access modes that do not match, expansion, cloning, topology.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Concerns, Controller, Key, pods};
use crate::api::{Resource, Status, resources};
use crate::store::{DeleteOptions, Object, Store, object};

const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Binds claims, and keeps those that pods use from going away.
#[derive(Debug)]
pub(super) struct Claims;

impl Controller for Claims {
    fn kind(&self) -> &'static Resource {
        &resources::CLAIMS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[
            (&resources::PODS, |_, pod| claims_of(pod)),
            (&resources::VOLUMES, |_, volume| claim_of(volume)),
        ];
        WATCHED
    }

    fn reconcile(&self, store: &Store, claim: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(claim) {
            if !is_used(store, claim, |pod| !pods::has_ended(pod)) {
                modify_claim(store, claim, |claim| {
                    drop_finalizer(claim, CLAIM_PROTECTION);
                })?;
            }
            return Ok(None);
        }
        if claim["status"]["phase"] != "Bound" {
            bind(store, claim)?;
        }
        Ok(None)
    }
}

/// Frees or deletes volumes whose claim is gone.
#[derive(Debug)]
pub(super) struct Volumes;

impl Controller for Volumes {
    fn kind(&self) -> &'static Resource {
        &resources::VOLUMES
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::CLAIMS, |_, claim| {
            claim["spec"]["volumeName"]
                .as_str()
                .map(|name| (String::new(), name.to_owned()))
                .into_iter()
                .collect()
        })];
        WATCHED
    }

    fn reconcile(&self, store: &Store, volume: &Object) -> Result<Option<Duration>, Status> {
        let claimed = claim_of(volume).first().is_some_and(|(namespace, name)| {
            let claim = store.get(&resources::CLAIMS, namespace, name);
            claim.is_ok_and(|claim| volume["spec"]["claimRef"]["uid"] == object::uid(&claim))
        });
        if claimed || volume["status"]["phase"] == "Available" {
            return Ok(None);
        }
        let name = object::name(volume);
        if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
            && !object::is_terminating(volume)
        {
            store.delete(&resources::VOLUMES, "", name, &DeleteOptions::default())?;
        }
        store.modify(&resources::VOLUMES, "", name, |volume| {
            if object::is_terminating(volume) {
                drop_finalizer(volume, VOLUME_PROTECTION);
            } else {
                let bound = volume["status"]["phase"] == "Bound";
                set_phase(volume, if bound { "Released" } else { "Available" });
            }
        })?;
        Ok(None)
    }
}

fn bind(store: &Store, claim: &Object) -> Result<(), Status> {
    let volume = match claim["spec"]["volumeName"].as_str() {
        Some(name) => store.get(&resources::VOLUMES, "", name).ok(),
        None => provision(store, claim)?,
    };
    let Some(volume) = volume else {
        return modify_claim(store, claim, |claim| {
            add_finalizer(claim, CLAIM_PROTECTION);
            set_pending(claim);
        });
    };
    store.modify(&resources::VOLUMES, "", object::name(&volume), |volume| {
        add_finalizer(volume, VOLUME_PROTECTION);
        volume["spec"]["claimRef"] = json!({
            "kind": "PersistentVolumeClaim", "apiVersion": "v1",
            "namespace": object::namespace(claim), "name": object::name(claim), "uid": object::uid(claim),
            "resourceVersion": claim["metadata"]["resourceVersion"],
        });
        set_phase(volume, "Bound");
    })?;
    modify_claim(store, claim, |claim| {
        add_finalizer(claim, CLAIM_PROTECTION);
        let annotations = object::map_mut(&mut claim["metadata"]["annotations"]);
        annotations.insert("pv.kubernetes.io/bind-completed".into(), "yes".into());
        claim["spec"]["volumeName"] = object::name(&volume).into();
        claim["spec"]["volumeMode"] = volume["spec"]["volumeMode"].clone();
        claim["status"] = json!({
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        });
    })
}

/// A new volume from the claim's class; none when it has no class, or one that waits for the first pod.
fn provision(store: &Store, claim: &Object) -> Result<Option<Object>, Status> {
    let Some(class) = class_of(store, claim) else {
        return Ok(None);
    };
    if class["volumeBindingMode"] == "WaitForFirstConsumer" && !is_used(store, claim, |_| true) {
        return Ok(None);
    }
    let name = format!("pvc-{}", object::uid(claim));
    let provisioner = class["provisioner"].as_str().unwrap_or_default();
    if let Ok(volume) = store.get(&resources::VOLUMES, "", &name) {
        return Ok(Some(volume));
    }
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": { "pv.kubernetes.io/provisioned-by": class["provisioner"] },
            "finalizers": [VOLUME_PROTECTION],
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": object::name(&class),
            "volumeMode": claim["spec"]["volumeMode"].as_str().unwrap_or("Filesystem"),
        },
        "status": { "phase": "Pending" },
    });
    let (kind, source) = source(provisioner, &name);
    volume["spec"][kind] = source;
    modify_claim(store, claim, |claim| {
        claim["spec"]["storageClassName"] = object::name(&class).into();
    })?;
    store.create(&resources::VOLUMES, volume).map(Some)
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

/// The class the claim names, or the default one if it names none. An empty name is no class on purpose.
fn class_of(store: &Store, claim: &Value) -> Option<Object> {
    if let Some(name) = claim["spec"]["storageClassName"].as_str() {
        return store.get(&resources::STORAGE_CLASSES, "", name).ok();
    }
    let classes = store.list(&resources::STORAGE_CLASSES, None).items;
    classes
        .into_iter()
        .find(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true")
}

fn is_used(store: &Store, claim: &Value, counts: fn(&Value) -> bool) -> bool {
    let wanted = super::key(claim);
    let pods = store
        .list(&resources::PODS, Some(object::namespace(claim)))
        .items;
    pods.iter()
        .any(|pod| counts(pod) && claims_of(pod).contains(&wanted))
}

fn claims_of(pod: &Value) -> Vec<Key> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .map(|name| (object::namespace(pod).to_owned(), name.to_owned()))
        .collect()
}

fn claim_of(volume: &Value) -> Vec<Key> {
    let claim = &volume["spec"]["claimRef"];
    let key = claim["namespace"].as_str().zip(claim["name"].as_str());
    key.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .into_iter()
        .collect()
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

fn set_pending(claim: &mut Value) {
    if claim["status"]["phase"].is_null() {
        claim["status"] = json!({ "phase": "Pending" });
    }
}

fn set_phase(volume: &mut Value, phase: &str) {
    if volume["status"]["phase"] != phase {
        volume["status"] = json!({ "phase": phase, "lastPhaseTransitionTime": object::now() });
    }
}

fn add_finalizer(target: &mut Value, finalizer: &str) {
    let finalizers = object::metadata_mut(target)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.contains(&json!(finalizer))
    {
        list.push(finalizer.into());
    }
}

pub(super) fn drop_finalizer(target: &mut Value, finalizer: &str) {
    if let Some(list) = object::metadata_mut(target)
        .get_mut("finalizers")
        .and_then(Value::as_array_mut)
    {
        list.retain(|one| one != finalizer);
    }
}
