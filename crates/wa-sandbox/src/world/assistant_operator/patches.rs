//! The life of one temporary patch: its key in the annotations of the custom resource that it is for, and its finalizer.
//!
//! The operator reads the custom resource and later writes it back as it read it, with its change. When somebody has
//! written meanwhile it writes all the same: of two patches that come or go at once, one key can be lost, and one that was
//! removed can come back.

use std::time::Duration;

use kube_sandbox::meta::{Object, Resource, Status, object};
use kube_sandbox::store::Store;
use serde_json::Value;

use super::active::Annotations;
use super::{PARTS, is_up};
use crate::world::kinds::TEMPORARY_PATCHES;

const FINALIZER: &str = "finalizers.temporarypatch.assistant.watson.ibm.com";

/// What handling a patch needs to know.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) store: Store,
    /// The namespace of the operator.
    pub(super) operators: String,
    pub(super) annotations: Annotations,
    /// Between reading the custom resource and writing it.
    pub(super) write_delay: Duration,
}

impl Handler {
    /// Brings a patch's key to where it belongs. What the API refuses, or what is wrong, stays for the next period.
    pub(super) async fn handle(self, patch: Object) {
        if let Err(error) = self.try_handle(&patch).await {
            tracing::debug!(patch = object::name(&patch), %error, "the operator was refused");
        }
    }

    async fn try_handle(&self, patch: &Object) -> Result<(), Status> {
        let ends = object::is_terminating(patch);
        if !ends {
            self.hold(patch, true)?;
        }
        // A kind that may not be patched is passed over in silence.
        if let Some(part) = patched_kind(patch) {
            let name = patch["spec"]["name"].as_str().unwrap_or_default();
            match self.store.get(part, object::namespace(patch), name) {
                Ok(found) => {
                    if !self.write_key(part, &found, patch, !ends).await? {
                        return Ok(());
                    }
                }
                Err(gone) if !ends => return Err(gone),
                Err(_) => {}
            }
        }
        if ends {
            self.hold(patch, false)?;
        }
        Ok(())
    }

    /// Writes the custom resource back as it was read, with the patch's key or without it. False when the operator has
    /// ended meanwhile, or cannot read the annotation.
    async fn write_key(
        &self,
        part: &'static Resource,
        read: &Object,
        patch: &Object,
        active: bool,
    ) -> Result<bool, Status> {
        let Ok(next) = self.annotations.with_key(read, patch, active) else {
            return Ok(false);
        };
        let Some(stale) = next else { return Ok(true) };
        tokio::time::sleep(self.write_delay).await;
        if !is_up(&self.store, &self.operators) {
            return Ok(false);
        }
        let (namespace, name) = (object::namespace(read), object::name(read));
        self.store.modify(part, namespace, name, |current| {
            force(current, &stale);
        })?;
        Ok(true)
    }

    /// Sets the finalizer, or takes it away.
    fn hold(&self, patch: &Object, held: bool) -> Result<(), Status> {
        let (namespace, name) = (object::namespace(patch), object::name(patch));
        let written = self
            .store
            .modify(&TEMPORARY_PATCHES, namespace, name, |patch| {
                let finalizers = &mut patch["metadata"]["finalizers"];
                let mut list = finalizers.as_array().cloned().unwrap_or_default();
                list.retain(|one| one != FINALIZER);
                if held {
                    list.push(FINALIZER.into());
                }
                *finalizers = list.into();
            });
        written.map(drop)
    }
}

/// The kind that a patch is for, where it may be patched.
fn patched_kind(patch: &Value) -> Option<&'static Resource> {
    let spec = &patch["spec"];
    let is_meant = |part: &&&'static Resource| {
        spec["kind"] == part.kind && spec["apiVersion"] == part.api_version()
    };
    PARTS.iter().find(is_meant).copied()
}

/// Applies an old state of an object with force: what it holds is as it was, and what it does not hold stays.
fn force(current: &mut Value, stale: &Value) {
    current["spec"] = stale["spec"].clone();
    for field in ["labels", "annotations"] {
        if let Some(values) = stale["metadata"][field].as_object() {
            let own = object::map_mut(&mut current["metadata"][field]);
            own.extend(values.clone());
        }
    }
}
