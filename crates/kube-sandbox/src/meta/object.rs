//! Reading and writing the few fields every object has.

use std::sync::Arc;

use serde_json::{Map, Value};

/// An object as the store holds it; shared, never changed in place.
pub type Object = Arc<Value>;

/// `metadata.name`, or the empty string.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, or the empty string.
pub fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// `metadata.uid`, or the empty string.
pub fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// `metadata.resourceVersion` as a number, 0 when there is none.
pub fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Whether a deletion is under way.
pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a finalizer still holds the object.
pub fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

/// The object's metadata, made a map if it is none.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    map_mut(&mut object["metadata"])
}

/// A value as a map, made an empty one if it is anything else.
pub fn map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// The current time as objects hold it: RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    timestamp(jiff::Timestamp::now())
}

/// A time as objects hold it.
pub fn timestamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
