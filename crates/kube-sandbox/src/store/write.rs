//! Creating and changing objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::history::{EventType, WatchEvent};
use super::{State, Store, random_suffix, strategy};
use crate::meta::{Object, Resource, Status, object, resources};

/// Metadata that only the store sets; a writer's own values are ignored.
const KEPT_METADATA: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generateName",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// Which half of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status, as a write to the object itself (kinds with a status subresource only).
    Main,
    /// Only the status, as a write to `/status`.
    Status,
    /// Everything.
    Whole,
}

impl Store {
    /// Adds an object; name, uid and the like are filled in. 404 when its namespace is missing, 409 when the name is taken.
    pub fn create(&self, resource: &Resource, object: Value) -> Result<Object, Status> {
        self.create_or_try(resource, object, false, |_| {})
    }

    /// As [`Store::create`]; `finish` has the last word on the object, so that it can be older than the cluster.
    pub fn create_and(
        &self,
        resource: &Resource,
        object: Value,
        finish: impl FnOnce(&mut Value),
    ) -> Result<Object, Status> {
        self.create_or_try(resource, object, false, finish)
    }

    /// Replaces an object as a whole. 409 when its resourceVersion is outdated (none: not checked).
    pub fn update(&self, resource: &Resource, object: Value) -> Result<Object, Status> {
        let (namespace, name) = (
            object::namespace(&object).to_owned(),
            object::name(&object).to_owned(),
        );
        self.write(resource, &namespace, &name, Part::Whole, false, |_| {
            Ok(object)
        })
    }

    /// Reads, changes and writes an object as one step. An unchanged object is no new revision.
    pub fn modify(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Object, Status> {
        self.write(resource, namespace, name, Part::Whole, false, |current| {
            let mut next = current.clone();
            change(&mut next);
            Ok(next)
        })
    }

    /// As [`Store::create`]; with `dry_run` only the answer is made. `finish` has the last word on the object.
    pub(crate) fn create_or_try(
        &self,
        resource: &Resource,
        mut object: Value,
        dry_run: bool,
        finish: impl FnOnce(&mut Value),
    ) -> Result<Object, Status> {
        let mut state = self.lock();
        name_it(&mut object)?;
        let (namespace, name) = (
            object::namespace(&object).to_owned(),
            object::name(&object).to_owned(),
        );
        if resource.namespaced {
            let place = state.get(&resources::NAMESPACES, "", &namespace)?;
            if object::is_terminating(place) {
                return Err(Status::namespace_ends(resource, &name, &namespace));
            }
        }
        if state.get(resource, &namespace, &name).is_ok() {
            return Err(Status::already_exists(resource, &name));
        }
        let metadata = object::metadata_mut(&mut object);
        if !resource.namespaced {
            metadata.remove("namespace");
        }
        for set_by_store in [
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ] {
            metadata.remove(set_by_store);
        }
        metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".into(), object::now().into());
        if resource.has_generation {
            metadata.insert("generation".into(), json!(1));
        }
        strategy::prepare_create(resource, &mut object)?;
        finish(&mut object);
        strategy::admit(resource, &mut object);
        if dry_run {
            return Ok(Arc::new(object));
        }
        let object = state.put(resource, object);
        self.history.record(
            resource,
            WatchEvent {
                event: EventType::Added,
                object: Arc::clone(&object),
                previous: None,
            },
        );
        Ok(object)
    }

    /// Computes an object's next state from its current one and stores it, as one step.
    pub(crate) fn write(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        part: Part,
        dry_run: bool,
        next: impl FnOnce(&Value) -> Result<Value, Status>,
    ) -> Result<Object, Status> {
        let mut state = self.lock();
        let current = Arc::clone(state.get(resource, namespace, name)?);
        let mut object = next(&current)?;
        check_revision(resource, &current, &object)?;
        if part == Part::Main {
            strategy::prepare_update(resource, &current, &mut object)?;
        }
        keep(resource, part, &current, &mut object);
        if object == *current {
            return Ok(current);
        }
        if dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.settle(&mut state, resource, current, object))
    }

    /// Stores a changed object, or removes it when a pending deletion has nothing left to wait for.
    pub(super) fn settle(
        &self,
        state: &mut State,
        resource: &Resource,
        previous: Object,
        object: Value,
    ) -> Object {
        // A namespace goes when it is empty, everything else when nothing holds it.
        let deletable = resource.plural != resources::NAMESPACES.plural
            && object::is_terminating(&object)
            && !object::has_finalizers(&object)
            && object["metadata"]["deletionGracePeriodSeconds"]
                .as_u64()
                .unwrap_or_default()
                == 0;
        let (event, object) = if deletable {
            (EventType::Deleted, state.take(resource, &object))
        } else {
            (EventType::Modified, state.put(resource, object))
        };
        let change = WatchEvent {
            event,
            object: Arc::clone(&object),
            previous: Some(previous),
        };
        self.history.record(resource, change);
        if deletable && resource.namespaced {
            self.end_namespace(state, object::namespace(&object));
        }
        object
    }
}

fn name_it(object: &mut Value) -> Result<(), Status> {
    if !object::name(object).is_empty() {
        return Ok(());
    }
    let Some(prefix) = object["metadata"]["generateName"].as_str() else {
        return Err(Status::bad_request("name or generateName is required"));
    };
    let name = format!("{prefix}{}", random_suffix());
    object::metadata_mut(object).insert("name".into(), name.into());
    Ok(())
}

fn check_revision(resource: &Resource, current: &Value, next: &Value) -> Result<(), Status> {
    let wanted = &next["metadata"]["resourceVersion"];
    if wanted.as_str().is_some_and(|wanted| !wanted.is_empty())
        && *wanted != current["metadata"]["resourceVersion"]
    {
        return Err(Status::stale(resource, object::name(current)));
    }
    let wanted = &next["metadata"]["uid"];
    if wanted.as_str().is_some_and(|wanted| !wanted.is_empty())
        && *wanted != current["metadata"]["uid"]
    {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            wanted.as_str().unwrap_or_default(),
            object::uid(current)
        );
        return Err(Status::conflict(resource, object::name(current), &why));
    }
    Ok(())
}

/// Puts back what this write may not change, and counts the generation.
fn keep(resource: &Resource, part: Part, current: &Value, next: &mut Value) {
    if part == Part::Status {
        let written = std::mem::replace(next, current.clone());
        put_back(object::map_mut(next), &written, "status");
        put_back(
            object::metadata_mut(next),
            &written["metadata"],
            "managedFields",
        );
    } else if part == Part::Main && resource.subresource("status").is_some() {
        put_back(object::map_mut(next), current, "status");
    }
    let metadata = object::metadata_mut(next);
    for field in KEPT_METADATA.iter().chain(&["resourceVersion"]) {
        put_back(metadata, &current["metadata"], field);
    }
    if metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        metadata.remove("finalizers");
    }
    put_back(object::map_mut(next), current, "apiVersion");
    put_back(object::map_mut(next), current, "kind");
    if resource.has_generation && specification(current) != specification(next) {
        let generation = current["metadata"]["generation"]
            .as_u64()
            .unwrap_or_default()
            + 1;
        object::metadata_mut(next).insert("generation".into(), generation.into());
    }
}

fn put_back(map: &mut serde_json::Map<String, Value>, from: &Value, field: &str) {
    match from.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// Everything but metadata, status and the node a pod is bound to, which is no change of what is wanted.
fn specification(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let mut specification: Value = fields
        .filter(|(field, _)| *field != "metadata" && *field != "status")
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    if let Some(spec) = specification.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("nodeName");
    }
    specification
}
