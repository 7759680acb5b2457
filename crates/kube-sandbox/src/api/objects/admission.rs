//! What webhooks and policies of a cluster do with pods that are created over the API.

use serde_json::Value;

use crate::faults::{Effect, RequestFaults};
use crate::meta::{Resource, Status, object, resources};

const INJECT: &str = "sidecar.istio.io/inject";

/// Changes a pod, or refuses it.
pub(super) fn admit(
    resource: &Resource,
    faults: &RequestFaults,
    pod: &mut Value,
) -> Result<(), Status> {
    if resource.plural != resources::PODS.plural {
        return Ok(());
    }
    for effect in &faults.0 {
        match effect {
            Effect::InjectSidecar { container } => inject(container, pod),
            Effect::RequireLabel { label } if pod["metadata"]["labels"][label].is_null() => {
                let why = format!(
                    "ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: the label {label} is missing"
                );
                return Err(Status::forbidden("", "pods", object::name(pod), &why));
            }
            _ => {}
        }
    }
    Ok(())
}

fn inject(container: &Value, pod: &mut Value) {
    if pod["metadata"]["annotations"][INJECT] == "false" {
        return;
    }
    if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
        containers.insert(0, container.clone());
    }
}
