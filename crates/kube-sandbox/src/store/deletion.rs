//! Deleting objects: at once, after a grace period, or when the last finalizer is gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::history::{EventType, WatchEvent};
use super::{State, Store};
use crate::meta::{Object, Resource, Status, object, resources};

/// How to delete (`metav1.DeleteOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds a pod gets to end by itself; its own setting when `None`.
    pub grace_period_seconds: Option<u64>,
    /// What happens to the objects it owns.
    pub propagation: Option<Propagation>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only this revision of it.
    pub resource_version: Option<String>,
    /// Only make the answer.
    pub dry_run: bool,
}

/// What happens to the objects an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are collected after it.
    Background,
    /// They are collected before it: it waits with the finalizer `foregroundDeletion`.
    Foreground,
    /// They stay: it waits with the finalizer `orphan` until they no longer name it.
    Orphan,
}

/// Where a delete left the object.
#[derive(Debug, Clone)]
pub enum Deletion {
    /// It is gone; this was its last state.
    Gone(Object),
    /// It waits for its grace period or finalizers.
    Pending(Object),
}

impl Store {
    /// Deletes an object, or starts to.
    pub fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deletion, Status> {
        let mut state = self.lock();
        let deletion = self.delete_in(&mut state, resource, namespace, name, options)?;
        if resource.plural == resources::NAMESPACES.plural && !options.dry_run {
            self.empty(&mut state, name)?;
        }
        Ok(deletion)
    }

    fn delete_in(
        &self,
        state: &mut State,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deletion, Status> {
        let current = Arc::clone(state.get(resource, namespace, name)?);
        check_preconditions(resource, &current, options)?;
        let mut next = (*current).clone();
        add_finalizer(&mut next, options.propagation);
        mark(&mut next, grace_period(resource, &current, options));
        if resource.has_generation && !object::is_terminating(&current) {
            let generation = current["metadata"]["generation"]
                .as_u64()
                .unwrap_or_default()
                + 1;
            object::metadata_mut(&mut next).insert("generation".into(), generation.into());
        }
        let is_namespace = resource.plural == resources::NAMESPACES.plural;
        if is_namespace {
            next["status"]["phase"] = "Terminating".into();
        }
        let pending = is_namespace
            || object::has_finalizers(&next)
            || next["metadata"]["deletionGracePeriodSeconds"] != json!(0);
        let object = if options.dry_run {
            Arc::new(next)
        } else if next == *current {
            current
        } else {
            self.settle(state, resource, current, next)
        };
        Ok(if pending {
            Deletion::Pending(object)
        } else {
            Deletion::Gone(object)
        })
    }

    /// Deletes everything in a namespace that is being deleted.
    fn empty(&self, state: &mut State, namespace: &str) -> Result<(), Status> {
        for resource in self.kinds.all().filter(|resource| resource.namespaced) {
            for name in state.names(resource, namespace) {
                self.delete_in(state, resource, namespace, &name, &DeleteOptions::default())?;
            }
        }
        self.end_namespace(state, namespace);
        Ok(())
    }

    /// Removes a namespace that is being deleted once it is empty.
    pub(super) fn end_namespace(&self, state: &mut State, name: &str) {
        let Ok(namespace) = state.get(&resources::NAMESPACES, "", name).cloned() else {
            return;
        };
        let mut namespaced = self.kinds.all().filter(|resource| resource.namespaced);
        if object::is_terminating(&namespace)
            && namespaced.all(|resource| state.names(resource, name).is_empty())
        {
            let last = state.take(&resources::NAMESPACES, &namespace);
            let event = WatchEvent {
                event: EventType::Deleted,
                object: last,
                previous: Some(namespace),
            };
            self.history.record(&resources::NAMESPACES, event);
        }
    }

    /// Ends the grace period of a pod that has stopped: the kubelet's last step. Finalizers still hold it.
    pub fn remove(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Deletion, Status> {
        self.delete(
            resource,
            namespace,
            name,
            &DeleteOptions {
                grace_period_seconds: Some(0),
                ..DeleteOptions::default()
            },
        )
    }
}

fn check_preconditions(
    resource: &Resource,
    current: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let conflict = |field: &str, wanted: &str, actual: &str| {
        let why = format!(
            "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {actual}"
        );
        Status::conflict(resource, object::name(current), &why)
    };
    if let Some(wanted) = &options.uid
        && wanted != object::uid(current)
    {
        return Err(conflict("UID", wanted, object::uid(current)));
    }
    let actual = current["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    match &options.resource_version {
        Some(wanted) if wanted != actual => Err(conflict("ResourceVersion", wanted, actual)),
        _ => Ok(()),
    }
}

/// Only pods have one; a pod that runs nowhere, or has ended, needs none.
fn grace_period(resource: &Resource, current: &Value, options: &DeleteOptions) -> u64 {
    let ended = matches!(
        current["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if resource.plural != resources::PODS.plural || ended || current["spec"]["nodeName"].is_null() {
        return 0;
    }
    options
        .grace_period_seconds
        .or_else(|| current["spec"]["terminationGracePeriodSeconds"].as_u64())
        .unwrap_or(30)
}

fn mark(object: &mut Value, grace: u64) {
    let metadata = object::metadata_mut(object);
    let shorter = metadata
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_u64)
        .is_none_or(|before| grace < before);
    if shorter {
        let ends = jiff::Timestamp::now()
            .saturating_add(Duration::from_secs(grace))
            .unwrap_or(jiff::Timestamp::MAX);
        metadata.insert("deletionTimestamp".into(), object::timestamp(ends).into());
        metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
    }
}

fn add_finalizer(object: &mut Value, propagation: Option<Propagation>) {
    let finalizer = match propagation {
        Some(Propagation::Foreground) => "foregroundDeletion",
        Some(Propagation::Orphan) => "orphan",
        Some(Propagation::Background) | None => return,
    };
    let metadata = object::metadata_mut(object);
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.contains(&json!(finalizer))
    {
        list.push(json!(finalizer));
    }
}
