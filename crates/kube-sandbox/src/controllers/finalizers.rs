//! Finalizers: what keeps an object until somebody has cleaned up after it.

use serde_json::{Value, json};

use crate::meta::object;

pub(super) fn add(target: &mut Value, finalizer: &str) {
    let finalizers = object::metadata_mut(target)
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.contains(&json!(finalizer))
    {
        list.push(finalizer.into());
    }
}

pub(super) fn drop(target: &mut Value, finalizer: &str) {
    if let Some(list) = object::metadata_mut(target)
        .get_mut("finalizers")
        .and_then(Value::as_array_mut)
    {
        list.retain(|one| one != finalizer);
    }
}
