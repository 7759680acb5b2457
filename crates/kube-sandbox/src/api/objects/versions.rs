//! Kinds that are served in two versions: the same stored objects in other clothes.
//!
//! Only autoscalers look different in the older one. What `autoscaling/v1` has no field for a real server keeps in
//! annotations there; that is left out, and so is a patch in that version of the share of CPU time.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::meta::{Resource, object, resources};

/// A stored object in the version that was asked for.
pub(super) fn in_version<'a>(resource: &Resource, object: &'a Value) -> Cow<'a, Value> {
    if resource.version == resource.stored_version {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["apiVersion"] = resource.api_version().into();
    if is_autoscaler(resource) {
        to_v1(&mut object);
    }
    Cow::Owned(object)
}

/// An object as it was sent, made one as it is stored.
pub(super) fn to_stored(resource: &Resource, object: &mut Value) {
    object["apiVersion"] = resource.stored_api_version().into();
    if resource.version != resource.stored_version && is_autoscaler(resource) {
        from_v1(object);
    }
}

fn is_autoscaler(resource: &Resource) -> bool {
    resource.plural == resources::AUTOSCALERS.plural
}

fn to_v1(autoscaler: &mut Value) {
    let spec = object::map_mut(&mut autoscaler["spec"]);
    spec.remove("behavior");
    let metrics = spec.remove("metrics").unwrap_or_default();
    let mut metrics = metrics.as_array().into_iter().flatten();
    let share = metrics
        .find(|metric| metric["resource"]["name"] == "cpu")
        .map(|metric| metric["resource"]["target"]["averageUtilization"].clone());
    if let Some(share) = share.filter(Value::is_number) {
        spec.insert("targetCPUUtilizationPercentage".into(), share);
    }
    let status = object::map_mut(&mut autoscaler["status"]);
    status.retain(|field, _| !matches!(field.as_str(), "conditions" | "currentMetrics"));
}

fn from_v1(autoscaler: &mut Value) {
    let spec = object::map_mut(&mut autoscaler["spec"]);
    if let Some(share) = spec.remove("targetCPUUtilizationPercentage") {
        let target = json!({ "type": "Utilization", "averageUtilization": share });
        let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
        spec.insert("metrics".into(), json!([metric]));
    }
}
