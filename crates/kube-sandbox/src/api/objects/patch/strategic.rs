//! Strategic merge patch: a merge patch that knows which lists are maps.

use serde_json::{Map, Value};

use crate::api::objects::schema::{ListType, list_type};
use crate::meta::Status;

const DIRECTIVE: &str = "$patch";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";
const RETAIN_KEYS: &str = "$retainKeys";

/// Changes `target` as a strategic merge patch says.
pub fn merge(target: &mut Value, patch: &Value) -> Result<(), Status> {
    let patch = patch
        .as_object()
        .ok_or_else(|| Status::bad_request("the patch is not a JSON object"))?;
    merge_map(target, patch, "")
}

fn merge_map(target: &mut Value, patch: &Map<String, Value>, field: &str) -> Result<(), Status> {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else {
        return Ok(());
    };
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            map.clear();
            map.extend(
                patch
                    .iter()
                    .filter(|(name, _)| *name != DIRECTIVE)
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            return Ok(());
        }
        Some("delete") => {
            map.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            return Err(Status::bad_request(format!(
                "Unknown patch type found: {other}"
            )));
        }
    }
    if let Some(keys) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        map.retain(|name, _| keys.iter().any(|key| key == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_PREFIX) {
            if let (Some(list), Some(gone)) = (
                map.get_mut(list).and_then(Value::as_array_mut),
                value.as_array(),
            ) {
                list.retain(|item| !gone.contains(item));
            }
        } else if !name.starts_with('$') {
            merge_field(map, name, value, field)?;
        }
    }
    for (name, order) in patch {
        if let (Some(list), Some(order)) = (name.strip_prefix(ORDER_PREFIX), order.as_array())
            && let Some(items) = map.get_mut(list).and_then(Value::as_array_mut)
        {
            set_order(items, order, list_type(field, list));
        }
    }
    Ok(())
}

fn merge_field(
    map: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    parent: &str,
) -> Result<(), Status> {
    match value {
        Value::Null => {
            map.remove(name);
        }
        Value::Object(patch) => merge_map(map.entry(name).or_insert(Value::Null), patch, name)?,
        Value::Array(items) => {
            let target = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            match (list_type(parent, name), target.as_array_mut()) {
                (ListType::Map(keys), Some(list)) => merge_items(list, items, keys[0], name)?,
                (ListType::Set, Some(list)) => {
                    for item in items {
                        if !list.contains(item) {
                            list.push(item.clone());
                        }
                    }
                }
                _ => *target = value.clone(),
            }
        }
        other => {
            map.insert(name.to_owned(), other.clone());
        }
    }
    Ok(())
}

fn merge_items(
    list: &mut Vec<Value>,
    patch: &[Value],
    key: &str,
    field: &str,
) -> Result<(), Status> {
    let replaces = |item: &&Value| item[DIRECTIVE] == "replace" && item.get(key).is_none();
    if patch.iter().any(|item| replaces(&item)) {
        *list = patch
            .iter()
            .filter(|item| !replaces(item))
            .cloned()
            .collect();
        return Ok(());
    }
    for item in patch {
        let Some(wanted) = item.get(key) else {
            return Err(Status::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let known = list.iter().position(|one| one.get(key) == Some(wanted));
        match (item[DIRECTIVE] == "delete", known, item.as_object()) {
            (true, Some(index), _) => {
                list.remove(index);
            }
            (true, None, _) => {}
            (false, Some(index), Some(patch)) => merge_map(&mut list[index], patch, field)?,
            (false, _, _) => list.push(item.clone()),
        }
    }
    Ok(())
}

/// Items the order names come in that order; the others keep their places after them.
fn set_order(items: &mut [Value], order: &[Value], list: ListType) {
    let rank = |item: &Value| {
        let place = order.iter().position(|wanted| match list {
            ListType::Map(keys) => wanted.get(keys[0]) == item.get(keys[0]),
            _ => wanted == item,
        });
        place.unwrap_or(order.len())
    };
    items.sort_by_key(rank);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(target: Value, patch: &Value) -> Value {
        let mut target = target;
        merge(&mut target, patch).unwrap();
        target
    }

    #[test]
    fn lists_of_named_things_merge_by_name() {
        let pod =
            json!({ "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] });
        let patch = json!({
            "containers": [{ "name": "b", "image": "2" }, { "name": "c" }, { "name": "a", "$patch": "delete" }],
            "$setElementOrder/containers": [{ "name": "c" }, { "name": "b" }],
        });
        assert_eq!(
            merged(pod, &patch),
            json!({ "containers": [{ "name": "c" }, { "name": "b", "image": "2" }] })
        );
    }

    #[test]
    fn other_lists_are_replaced() {
        let container = json!({ "command": ["a", "b"], "tolerations": [{ "key": "x" }] });
        let patch = json!({ "command": ["c"], "tolerations": null });
        assert_eq!(merged(container, &patch), json!({ "command": ["c"] }));
    }

    #[test]
    fn directives_are_obeyed() {
        let object = json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": {} }, "data": { "a": 1 } });
        let patch = json!({ "strategy": { "$retainKeys": ["type"], "type": "Recreate" }, "data": { "$patch": "replace", "b": 2 } });
        assert_eq!(
            merged(object, &patch),
            json!({ "strategy": { "type": "Recreate" }, "data": { "b": 2 } })
        );
        let metadata = json!({ "metadata": { "finalizers": ["a", "b"] } });
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"] } });
        assert_eq!(
            merged(metadata, &patch)["metadata"]["finalizers"],
            json!(["b", "c"])
        );
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        let patch = json!({ "containers": [{ "image": "2" }] });
        assert_eq!(
            merge(&mut json!({ "containers": [] }), &patch)
                .unwrap_err()
                .code,
            400
        );
    }
}
