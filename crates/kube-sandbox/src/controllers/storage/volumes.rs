//! PersistentVolumes after their claim: freed or deleted, as their reclaim policy says.

use std::time::Duration;

use super::super::{Concerns, Controller, finalizers};
use super::{broken, claim_of, set_volume_phase};
use crate::disks::Disks;
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Store};

pub(super) const PROTECTION: &str = "kubernetes.io/pv-protection";

/// Frees or deletes volumes whose claim is gone.
#[derive(Debug)]
pub(in super::super) struct Volumes {
    pub(in super::super) disks: Disks,
}

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
        let name = object::name(volume);
        let owner = &volume["spec"]["claimRef"]["uid"];
        let is_claimed = claim_of(volume).first().is_some_and(|(namespace, name)| {
            let claim = store.get(&resources::CLAIMS, namespace, name);
            claim.is_ok_and(|claim| *owner == object::uid(&claim))
        });
        if is_claimed {
            return Ok(None);
        }
        // One that never had a claim waits for its first.
        let is_released = !owner.is_null();
        let goes = is_released && volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete";
        if goes && !object::is_terminating(volume) {
            store.delete(&resources::VOLUMES, "", name, &DeleteOptions::default())?;
            self.disks
                .delete_volume(name)
                .map_err(|error| broken(&error))?;
        }
        store.modify(&resources::VOLUMES, "", name, |volume| {
            if object::is_terminating(volume) {
                finalizers::drop(volume, PROTECTION);
            } else {
                let phase = if is_released { "Released" } else { "Available" };
                set_volume_phase(volume, phase);
            }
        })?;
        Ok(None)
    }
}
