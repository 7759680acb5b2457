//! Binding claims, and keeping those in use.
//!
//! Left out: claims that find a volume made before by its size and access modes, expansion.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Concerns, Controller, Key, events::Recorder, finalizers, key, pods};
use super::provision::{self, Outcome};
use super::{
    claim_of, claims_of, modify_claim, reference, set_volume_phase, snapshot_of, users_of, volumes,
};
use crate::disks::Disks;
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

pub(super) const PROTECTION: &str = "kubernetes.io/pvc-protection";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Binds claims, and keeps those that pods use from going away.
#[derive(Debug)]
pub(in super::super) struct Claims {
    pub(in super::super) disks: Disks,
}

impl Controller for Claims {
    fn kind(&self) -> &'static Resource {
        &resources::CLAIMS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[
            (&resources::PODS, |_, pod| claims_of(pod)),
            (&resources::VOLUMES, |_, volume| claim_of(volume)),
            (&resources::SNAPSHOTS, filled_from),
        ];
        WATCHED
    }

    fn reconcile(&self, store: &Store, claim: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(claim) {
            if users_of(store, claim).all(|pod| pods::has_ended(&pod)) {
                modify_claim(store, claim, |claim| finalizers::drop(claim, PROTECTION))?;
            }
            return Ok(None);
        }
        if claim["status"]["phase"] == "Bound" {
            return Ok(None);
        }
        modify_claim(store, claim, |claim| finalizers::add(claim, PROTECTION))?;
        if claim["spec"]["storageClassName"].is_null()
            && let Some(class) = default_class(store)
        {
            modify_claim(store, claim, |claim| {
                claim["spec"]["storageClassName"] = object::name(&class).into();
            })?;
            return Ok(None);
        }
        self.bind(store, claim)
    }
}

impl Claims {
    fn bind(&self, store: &Store, claim: &Object) -> Result<Option<Duration>, Status> {
        let outcome = match claim["spec"]["volumeName"].as_str() {
            None => provision::provision(store, &self.disks, claim)?,
            Some(name) => match store.get(&resources::VOLUMES, "", name) {
                Err(_) => Outcome::Waits(None),
                Ok(volume) if is_of_another(&volume, claim) => {
                    let message = format!("volume {name:?} already bound to a different claim.");
                    let recorder = Recorder {
                        store,
                        component: provision::CONTROLLER,
                    };
                    recorder.warning(claim, "FailedBinding", &message);
                    Outcome::Waits(None)
                }
                Ok(volume) => Outcome::Provisioned(volume),
            },
        };
        match outcome {
            Outcome::Waits(time) => Ok(time),
            Outcome::Provisioned(volume) => bind_to(store, claim, &volume).map(|()| None),
        }
    }
}

fn bind_to(store: &Store, claim: &Object, volume: &Value) -> Result<(), Status> {
    store.modify(&resources::VOLUMES, "", object::name(volume), |volume| {
        finalizers::add(volume, volumes::PROTECTION);
        volume["spec"]["claimRef"] = reference(claim);
        set_volume_phase(volume, "Bound");
    })?;
    modify_claim(store, claim, |claim| {
        let annotations = object::map_mut(&mut claim["metadata"]["annotations"]);
        annotations.insert("pv.kubernetes.io/bind-completed".into(), "yes".into());
        claim["spec"]["volumeName"] = object::name(volume).into();
        claim["spec"]["volumeMode"] = volume["spec"]["volumeMode"].clone();
        claim["status"] = json!({
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        });
    })
}

fn is_of_another(volume: &Value, claim: &Value) -> bool {
    let owner = &volume["spec"]["claimRef"]["uid"];
    owner.is_string() && owner != object::uid(claim)
}

/// The class of claims that name none. An empty name is no class on purpose.
fn default_class(store: &Store) -> Option<Object> {
    let classes = store.list(&resources::STORAGE_CLASSES, None).items;
    classes
        .into_iter()
        .find(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true")
}

/// The claims that wait for a snapshot.
fn filled_from(store: &Store, snapshot: &Value) -> Vec<Key> {
    let namespace = object::namespace(snapshot);
    let claims = store.list(&resources::CLAIMS, Some(namespace)).items;
    claims
        .iter()
        .filter(|claim| snapshot_of(claim) == Some(object::name(snapshot)))
        .map(|claim| key(claim))
        .collect()
}
