//! Fields by their places in an object, as `managedFields` names them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Writer;
use crate::api::objects::schema::{ListType, is_atomic_map, is_embedded, list_type};
use crate::meta::Resource;

/// A field's place: `f:spec`, `k:{"name":"c"}`, `v:"x"`, and `.` for a map or item itself.
pub(super) type Path = Vec<String>;
pub(super) type Fields = BTreeMap<Path, Value>;

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
/// Collects the fields of an object that this writer's door leads to. An update also owns the maps it makes (`.`).
pub(super) fn collect(
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
pub(super) fn item_key(keys: &[&str], item: &Value) -> String {
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
/// Removes the field at a path, if it is there.
pub(super) fn remove(object: &mut Value, path: &[String]) {
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
pub(super) fn readable(path: &[String]) -> String {
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
