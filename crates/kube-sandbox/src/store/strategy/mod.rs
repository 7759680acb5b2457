//! What a kind does to an object on its way into the store: defaults, and rules it must keep.
//!
//! Defaults are those clients see on a real server. Validation covers the mistakes people make with the kinds of this
//! cluster; a real server checks far more.

mod defaults;
mod metadata;
mod pods;
mod update;
mod validation;

use serde_json::Value;

use crate::meta::{Cause, Resource, Status, object};

/// Completes a new object, which has its name and uid already; 422 when it breaks its kind's rules.
pub(super) fn prepare_create(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    defaults::apply(resource, object);
    let mut causes = metadata::check(resource, object);
    causes.extend(validation::check(resource, object));
    refuse(resource, object, &causes)
}

/// Adds what admission adds to a new object, which belongs to no field manager.
pub(super) fn admit(resource: &Resource, object: &mut Value) {
    if (resource.group, resource.plural) == ("", "pods") {
        pods::admit(object);
    }
}

/// Completes a changed object; 422 when the change breaks its kind's rules.
pub(super) fn prepare_update(
    resource: &Resource,
    current: &Value,
    object: &mut Value,
) -> Result<(), Status> {
    defaults::complete(resource, object);
    let mut causes = validation::check(resource, object);
    causes.extend(update::check(resource, current, object));
    refuse(resource, object, &causes)
}

fn refuse(resource: &Resource, object: &Value, causes: &[Cause]) -> Result<(), Status> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(resource, object::name(object), causes))
    }
}

/// Sets a field unless it has a value.
fn default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object[field].is_null() {
        object[field] = value.into();
    }
}

/// The items of a list, to be changed.
fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}
