//! What controllers ask of the pods they own.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{conditions, owner_reference};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

/// Creates a pod from the template of its owner.
pub(super) fn create(store: &Store, resource: &Resource, owner: &Value) -> Result<Object, Status> {
    store.create(&resources::PODS, from_template(resource, owner))
}

/// A pod from the template of its owner, to be named after it.
pub(super) fn from_template(resource: &Resource, owner: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": template["metadata"].clone(), "spec": template["spec"].clone(),
        "status": { "phase": "Pending" },
    });
    let metadata = object::metadata_mut(&mut pod);
    metadata.remove("creationTimestamp");
    metadata.insert(
        "generateName".into(),
        format!("{}-", object::name(owner)).into(),
    );
    metadata.insert("namespace".into(), object::namespace(owner).into());
    metadata.insert(
        "ownerReferences".into(),
        json!([owner_reference(resource, owner)]),
    );
    pod
}

/// Names a template in labels; ten hexadecimal digits, where Kubernetes uses an alphabet of its own.
pub(super) fn template_hash(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:010x}", hasher.finish() & 0xff_ffff_ffff)
}

/// Neither ended nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    !has_ended(pod) && !object::is_terminating(pod)
}

pub(super) fn has_ended(pod: &Value) -> bool {
    matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    )
}

pub(super) fn is_ready(pod: &Value) -> bool {
    conditions::is_true(pod, "Ready")
}
