//! `metadata.managedFields`: who set which field, and server-side apply, which rests on it.
//!
//! Left out: writes of the sandbox's own controllers (they own nothing, so nobody conflicts with them) and version
//! conversion.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::schema::{ListType, is_atomic_map, is_embedded, list_type};
use crate::api::{Cause, Resource, Status};
use crate::store::object;

/// Who writes, and through which door.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: &'a str,
}

/// A field's place: `f:spec`, `k:{"name":"c"}`, `v:"x"`, and `.` for a map or item itself.
type Path = Vec<String>;
type Fields = BTreeMap<Path, Value>;

/// Metadata that nobody owns.
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

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
    let mut entries = Entries::of(object);
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
    let mut entries = Entries::of(current);
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

struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    /// As read, to see whether the entry changed.
    known: BTreeSet<Path>,
    fields: BTreeSet<Path>,
}

impl Entry {
    fn is(&self, writer: &Writer<'_>, operation: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
    }
}

struct Entries(Vec<Entry>);

impl Entries {
    fn of(object: &Value) -> Self {
        let text =
            |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = object["metadata"]["managedFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| {
                let mut fields = BTreeSet::new();
                decode(&entry["fieldsV1"], &mut Vec::new(), &mut fields);
                Entry {
                    manager: text(entry, "manager"),
                    operation: text(entry, "operation"),
                    subresource: text(entry, "subresource"),
                    api_version: text(entry, "apiVersion"),
                    time: text(entry, "time"),
                    known: fields.clone(),
                    fields,
                }
            });
        Self(entries.collect())
    }

    fn entry(&mut self, resource: &Resource, writer: &Writer<'_>, operation: &str) -> &mut Entry {
        let index = self
            .0
            .iter()
            .position(|entry| entry.is(writer, operation))
            .unwrap_or_else(|| {
                self.0.push(Entry {
                    manager: writer.manager.to_owned(),
                    operation: operation.to_owned(),
                    subresource: writer.subresource.to_owned(),
                    api_version: resource.api_version(),
                    time: String::new(),
                    known: BTreeSet::new(),
                    fields: BTreeSet::new(),
                });
                self.0.len() - 1
            });
        &mut self.0[index]
    }

    fn retain_fields(&mut self, keep: impl Fn(&Entry, &Path) -> bool) {
        for entry in &mut self.0 {
            let fields = std::mem::take(&mut entry.fields);
            entry.fields = fields
                .into_iter()
                .filter(|path| keep(entry, path))
                .collect();
        }
    }

    fn conflicts<'a>(
        &self,
        writer: &Writer<'_>,
        wanted: impl Iterator<Item = &'a Path>,
    ) -> Vec<Cause> {
        let mut conflicts = Vec::new();
        for path in wanted {
            for owner in self
                .0
                .iter()
                .filter(|entry| !entry.is(writer, "Apply") && entry.fields.contains(path))
            {
                let using = if owner.operation == "Update" {
                    format!(" using {}", owner.api_version)
                } else {
                    String::new()
                };
                conflicts.push(Cause {
                    reason: "FieldManagerConflict",
                    field: readable(path),
                    message: format!("conflict with {:?}{using}", owner.manager),
                });
            }
        }
        conflicts
    }

    fn owns_below(&self, path: &[String]) -> bool {
        let prefix = path.strip_suffix(&[".".to_owned()]).unwrap_or(path);
        self.0
            .iter()
            .any(|entry| entry.fields.iter().any(|owned| owned.starts_with(prefix)))
    }

    /// Orders and stores the entries as a real server does; empty ones vanish, changed ones get the current time.
    fn write(mut self, object: &mut Value) {
        self.0.retain(|entry| !entry.fields.is_empty());
        for entry in &mut self.0 {
            if entry.fields != entry.known {
                entry.time = object::now();
            }
        }
        self.0.sort_by(|a, b| {
            let order = |entry: &Entry| {
                (
                    entry.operation.clone(),
                    entry.time.clone(),
                    entry.manager.clone(),
                )
            };
            order(a).cmp(&order(b))
        });
        let list: Vec<Value> = self.0.iter().map(entry_json).collect();
        let metadata = object::metadata_mut(object);
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), list.into());
        }
    }
}

fn entry_json(entry: &Entry) -> Value {
    let mut fields = Map::new();
    for path in &entry.fields {
        let mut place = &mut fields;
        for step in path {
            place = object::map_mut(place.entry(step.as_str()).or_insert_with(|| json!({})));
        }
    }
    let mut json = json!({
        "manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version, "time": entry.time,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !entry.subresource.is_empty() {
        json["subresource"] = entry.subresource.as_str().into();
    }
    json
}

fn decode(fields: &Value, path: &mut Path, into: &mut BTreeSet<Path>) {
    match fields.as_object() {
        Some(map) if !map.is_empty() => {
            for (step, below) in map {
                path.push(step.clone());
                decode(below, path, into);
                path.pop();
            }
        }
        _ if path.is_empty() => {}
        _ => {
            into.insert(path.clone());
        }
    }
}

/// Collects the fields of an object that this writer's door leads to. An update also owns the maps it makes (`.`).
fn collect(
    resource: &Resource,
    writer: &Writer<'_>,
    object: &Value,
    with_maps: bool,
    into: &mut Fields,
) {
    let has_status = resource.subresource("status").is_some();
    let collector = Collector {
        custom: resource.custom,
        with_maps,
    };
    for (field, value) in object.as_object().into_iter().flatten() {
        let reachable = match field.as_str() {
            "apiVersion" | "kind" => false,
            "status" => writer.subresource == "status" || !has_status,
            _ => writer.subresource != "status",
        };
        if !reachable {
            continue;
        }
        let mut path = vec![format!("f:{field}")];
        if field == "metadata" {
            for (field, value) in value.as_object().into_iter().flatten() {
                if !UNOWNED_METADATA.contains(&field.as_str()) {
                    path.push(format!("f:{field}"));
                    Collector {
                        custom: false,
                        ..collector
                    }
                    .value(("metadata", field), value, &mut path, into);
                    path.pop();
                }
            }
        } else {
            collector.value(("", field), value, &mut path, into);
        }
    }
}

#[derive(Clone, Copy)]
struct Collector {
    custom: bool,
    with_maps: bool,
}

impl Collector {
    fn value(
        self,
        (parent, field): (&str, &str),
        value: &Value,
        path: &mut Path,
        into: &mut Fields,
    ) {
        match value {
            Value::Null => {}
            Value::Object(map) if !map.is_empty() && (self.custom || !is_atomic_map(field)) => {
                if self.with_maps && (self.custom || !is_embedded(field)) {
                    mark(path, into);
                }
                self.fields(field, map, path, into);
            }
            Value::Array(items) if !items.is_empty() && !self.custom => {
                match list_type(parent, field) {
                    ListType::Atomic => {
                        into.insert(path.clone(), value.clone());
                    }
                    ListType::Set => {
                        if self.with_maps {
                            mark(path, into);
                        }
                        for item in items {
                            path.push(format!("v:{item}"));
                            into.insert(path.clone(), item.clone());
                            path.pop();
                        }
                    }
                    ListType::Map(keys) => {
                        // `containers` is never absent, so that nobody makes it.
                        if self.with_maps && field != "containers" {
                            mark(path, into);
                        }
                        for item in items {
                            path.push(item_key(keys, item));
                            mark(path, into);
                            if let Some(map) = item.as_object() {
                                self.fields(field, map, path, into);
                            }
                            path.pop();
                        }
                    }
                }
            }
            _ => {
                into.insert(path.clone(), value.clone());
            }
        }
    }

    fn fields(self, parent: &str, map: &Map<String, Value>, path: &mut Path, into: &mut Fields) {
        for (field, value) in map {
            path.push(format!("f:{field}"));
            self.value((parent, field), value, path, into);
            path.pop();
        }
    }
}

fn mark(path: &Path, into: &mut Fields) {
    let mut path = path.clone();
    path.push(".".to_owned());
    into.insert(path, Value::Null);
}

/// `k:{"name":"c"}`; a port's protocol is TCP when not given.
fn item_key(keys: &[&str], item: &Value) -> String {
    let keys: Map<String, Value> = keys
        .iter()
        .filter_map(|key| {
            let value = item
                .get(*key)
                .cloned()
                .or_else(|| (*key == "protocol").then(|| json!("TCP")))?;
            Some(((*key).to_owned(), value))
        })
        .collect();
    format!("k:{}", Value::Object(keys))
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

/// Removes the field at a path, if it is there.
fn remove(object: &mut Value, path: &[String]) {
    let path = path.strip_suffix(&[".".to_owned()]).unwrap_or(path);
    let Some((end, steps)) = path.split_last() else {
        return;
    };
    let Some(place) = steps
        .iter()
        .try_fold(object, |value, step| match step.split_once(':')? {
            ("f", field) => value.get_mut(field),
            (_, key) => value
                .as_array_mut()?
                .iter_mut()
                .find(|item| is_item(item, key)),
        })
    else {
        return;
    };
    match (end.split_once(':'), place) {
        (Some(("f", field)), Value::Object(map)) => {
            map.remove(field);
        }
        (Some(("k", key)), Value::Array(list)) => list.retain(|item| !is_item(item, key)),
        (Some(("v", value)), Value::Array(list)) => list.retain(|item| *item.to_string() != *value),
        _ => {}
    }
}

fn is_item(item: &Value, key: &str) -> bool {
    let Ok(Value::Object(key)) = serde_json::from_str(key) else {
        return false;
    };
    key.iter().all(|(name, value)| {
        item.get(name)
            .map_or(name == "protocol" && value == "TCP", |one| one == value)
    })
}

/// `.spec.containers[name="c"].image`
fn readable(path: &[String]) -> String {
    path.iter()
        .filter_map(|step| match step.split_once(':')? {
            ("f", field) => Some(format!(".{field}")),
            ("v", value) => Some(format!("[={value}]")),
            (_, key) => {
                let Ok(Value::Object(key)) = serde_json::from_str(key) else {
                    return None;
                };
                let terms: Vec<_> = key
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                Some(format!("[{}]", terms.join(",")))
            }
        })
        .collect()
}
