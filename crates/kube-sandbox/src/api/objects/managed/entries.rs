//! The entries of `managedFields`, one a manager, operation and subresource.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Writer;
use super::fields::{Path, readable};
use crate::meta::{Cause, Resource, object};

/// What one manager owns.
pub(super) struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    /// As read, to see whether the entry changed.
    known: BTreeSet<Path>,
    pub(super) fields: BTreeSet<Path>,
}

impl Entry {
    pub(super) fn is(&self, writer: &Writer<'_>, operation: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
    }
}

/// All entries of an object.
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    pub(super) fn from_object(object: &Value) -> Self {
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

    pub(super) fn entry(
        &mut self,
        resource: &Resource,
        writer: &Writer<'_>,
        operation: &str,
    ) -> &mut Entry {
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

    pub(super) fn retain_fields(&mut self, keep: impl Fn(&Entry, &Path) -> bool) {
        for entry in &mut self.0 {
            let fields = std::mem::take(&mut entry.fields);
            entry.fields = fields
                .into_iter()
                .filter(|path| keep(entry, path))
                .collect();
        }
    }

    pub(super) fn conflicts<'a>(
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

    pub(super) fn owns_below(&self, path: &[String]) -> bool {
        let prefix = path.strip_suffix(&[".".to_owned()]).unwrap_or(path);
        self.0
            .iter()
            .any(|entry| entry.fields.iter().any(|owned| owned.starts_with(prefix)))
    }

    /// Orders and stores the entries as a real server does; empty ones vanish, changed ones get the current time.
    pub(super) fn write(mut self, object: &mut Value) {
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
