//! What Kubernetes' types say of the fields of objects: which are structures, and how lists merge (`patchMergeKey`,
//! `listType`).
//!
//! Left out: everything the kinds of this cluster do not have. A field's own name and place tell its type, which holds
//! for these kinds.

use serde_json::Value;

use crate::meta::{Resource, Status};

/// How a list is merged and how its items are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// A set of values.
    Set,
    /// Objects distinguished by these fields; the first is strategic merge's key.
    Map(&'static [&'static str]),
}

/// The type of the list in that field; `parent` is the field that holds it.
pub(super) fn list_type(parent: &str, field: &str) -> ListType {
    match (parent, field) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "secrets",
        ) => ListType::Map(&["name"]),
        ("metadata", "finalizers") => ListType::Set,
        ("metadata", "ownerReferences") => ListType::Map(&["uid"]),
        (_, "conditions" | "addresses") => ListType::Map(&["type"]),
        (_, "volumeMounts") => ListType::Map(&["mountPath"]),
        (_, "volumeDevices") => ListType::Map(&["devicePath"]),
        (_, "hostAliases" | "podIPs" | "hostIPs") => ListType::Map(&["ip"]),
        ("spec", "ports") => ListType::Map(&["port", "protocol"]),
        (_, "ports") => ListType::Map(&["containerPort", "protocol"]),
        _ => ListType::Atomic,
    }
}

/// Whether a map is one value, replaced as a whole.
pub(super) fn is_atomic_map(field: &str) -> bool {
    matches!(
        field,
        "selector"
            | "nodeSelector"
            | "secretKeyRef"
            | "configMapKeyRef"
            | "fieldRef"
            | "resourceFieldRef"
    )
}

/// Whether a map is a structure that is always there, and so never itself owned by a field manager.
pub(super) fn is_embedded(field: &str) -> bool {
    matches!(
        field,
        "metadata"
            | "spec"
            | "status"
            | "template"
            | "jobTemplate"
            | "strategy"
            | "updateStrategy"
            | "resources"
            | "nodeInfo"
    )
}

/// Refuses an object that holds something else where its kind has a structure or a list of them; all that fills in or
/// merges fields relies on these. Fields of plain values are not looked at.
pub(super) fn check(resource: &Resource, object: &Value) -> Result<(), Status> {
    let (place, found) = match object {
        Value::Object(_) if !matches!(resource.group, "" | "apps" | "batch") => return Ok(()),
        Value::Object(_) => match misfit("", object) {
            Some((path, found)) => (format!("field {}{path}", resource.kind), found),
            None => return Ok(()),
        },
        other => ("value".to_owned(), other),
    };
    Err(Status::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {} into Go struct {place}",
        resource.kind,
        resource.version,
        resource.kind,
        json_type(found)
    )))
}

/// The first value that does not fit, and its path.
fn misfit<'a>(field: &str, value: &'a Value) -> Option<(String, &'a Value)> {
    match value {
        Value::Object(_) if is_free(field) || is_atomic_map(field) => None,
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            let is_list = matches!(list_type(field, name), ListType::Map(_));
            let fits = match inner {
                Value::Null => true,
                Value::Array(items) => {
                    is_list && items.iter().all(Value::is_object)
                        || !is_list && !is_map(field, name)
                }
                Value::Object(_) => !is_list,
                _ => !is_list && !is_map(field, name),
            };
            if !fits {
                return Some((format!(".{name}"), inner));
            }
            let (path, found) = misfit(name, inner)?;
            Some((format!(".{name}{path}"), found))
        }),
        Value::Array(items) => items.iter().find_map(|item| misfit(field, item)),
        _ => None,
    }
}

/// Whether a field holds a map, be it a structure or free. A condition has a `status` that is text.
fn is_map(parent: &str, field: &str) -> bool {
    match field {
        "status" => parent.is_empty(),
        "rollingUpdate" => true,
        _ => is_embedded(field) || is_atomic_map(field) || is_free(field),
    }
}

/// Whether the names in a map are the user's own, and tell nothing of what they name.
fn is_free(field: &str) -> bool {
    matches!(
        field,
        "annotations"
            | "binaryData"
            | "data"
            | "labels"
            | "matchLabels"
            | "stringData"
            | "volumeAttributes"
    )
}

/// As Go's JSON decoder calls it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
