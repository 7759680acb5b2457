//! `metadata.managedFields`: who set which field, and server-side apply, which rests on it.
//!
//! Left out: writes of the sandbox's own controllers (they own nothing, so nobody conflicts with them) and version
//! conversion.

mod entries;
mod fields;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{ListType, list_type};
use crate::meta::{Resource, Status, object};
use entries::Entries;
use fields::{Fields, Path, collect, item_key, remove};

/// Who writes, and through which door.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: &'a str,
}

/// Notes that the writer made `object` out of `before`.
pub(super) fn updated(
    resource: &Resource,
    writer: &Writer<'_>,
    before: Option<&Value>,
    object: &mut Value,
) {
    let (mut old, mut new) = (Fields::new(), Fields::new());
    if let Some(before) = before {
        collect(resource, writer, before, true, &mut old);
    }
    collect(resource, writer, object, true, &mut new);
    let changed: BTreeSet<Path> = new
        .iter()
        .filter(|(path, value)| old.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect();
    let removed: BTreeSet<Path> = old
        .keys()
        .filter(|path| !new.contains_key(*path))
        .cloned()
        .collect();
    let mut entries = Entries::from_object(object);
    entries.retain_fields(|entry, path| {
        let own = entry.is(writer, "Update");
        !removed.contains(path) && (own || !changed.contains(path))
    });
    if !changed.is_empty() {
        entries
            .entry(resource, writer, "Update")
            .fields
            .extend(changed);
    }
    entries.write(object);
}

/// The object an update makes of `current`; unchanged if the update changes nothing.
pub(super) fn with_update(
    resource: &Resource,
    writer: &Writer<'_>,
    current: &Value,
    mut next: Value,
) -> Value {
    let metadata = object::metadata_mut(&mut next);
    metadata.retain(|field, value| field == "managedFields" || !is_empty(value));
    if !metadata.get("managedFields").is_some_and(Value::is_array)
        && let Some(managed) = current["metadata"].get("managedFields")
    {
        metadata.insert("managedFields".into(), managed.clone());
    }
    if next != *current {
        updated(resource, writer, Some(current), &mut next);
    }
    next
}

/// Metadata leaves out empty lists and maps.
fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// The object that server-side apply makes of `current`; 409 when it would take fields of others and is not forced.
pub(super) fn applied(
    resource: &Resource,
    writer: &Writer<'_>,
    current: Option<&Value>,
    configuration: &Value,
    force: bool,
) -> Result<Value, Status> {
    let mut wanted = Fields::new();
    collect(resource, writer, configuration, false, &mut wanted);
    let mut before = Fields::new();
    if let Some(current) = current {
        collect(resource, writer, current, true, &mut before);
    }
    let empty = json!({});
    let current = current.unwrap_or(&empty);
    let mut entries = Entries::from_object(current);
    let differs = |path: &Path| before.get(path) != wanted.get(path);
    if !force {
        let conflicts = entries.conflicts(writer, wanted.keys().filter(|path| differs(path)));
        if !conflicts.is_empty() {
            return Err(Status::apply_conflict(&conflicts));
        }
    }
    let mut next = current.clone();
    merge(resource, &mut next, configuration, ("", ""));
    let fields: BTreeSet<Path> = wanted.keys().cloned().collect();
    let given_up: Vec<Path> = entries
        .entry(resource, writer, "Apply")
        .fields
        .difference(&fields)
        .cloned()
        .collect();
    entries.retain_fields(|entry, path| {
        entry.is(writer, "Apply") || !fields.contains(path) || !differs(path)
    });
    entries.entry(resource, writer, "Apply").fields = fields;
    for path in given_up
        .iter()
        .rev()
        .filter(|path| !entries.owns_below(path))
    {
        remove(&mut next, path);
    }
    entries.write(&mut next);
    Ok(next)
}

/// Merges a configuration into an object, lists by their keys.
fn merge(
    resource: &Resource,
    target: &mut Value,
    configuration: &Value,
    (parent, field): (&str, &str),
) {
    match configuration {
        Value::Object(map) if target.is_object() => {
            for (name, value) in map {
                merge(resource, &mut target[name.as_str()], value, (field, name));
            }
        }
        Value::Array(items) if target.is_array() && (!resource.custom || parent == "metadata") => {
            match (list_type(parent, field), target.as_array_mut()) {
                (ListType::Map(keys), Some(list)) => {
                    for item in items {
                        match list
                            .iter_mut()
                            .find(|one| item_key(keys, one) == item_key(keys, item))
                        {
                            Some(one) => merge(resource, one, item, (parent, field)),
                            None => list.push(item.clone()),
                        }
                    }
                }
                (ListType::Set, Some(list)) => {
                    for item in items {
                        if !list.contains(item) {
                            list.push(item.clone());
                        }
                    }
                }
                _ => *target = configuration.clone(),
            }
        }
        _ => *target = configuration.clone(),
    }
}
