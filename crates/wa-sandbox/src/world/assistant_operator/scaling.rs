//! The replicas of Deployments that no patch sets, and how many are ready.

use kube_sandbox::meta::{Status, object, resources};
use kube_sandbox::store::Store;
use serde_json::{Value, json};

use super::status;

/// Brings a Deployment to the replicas that its part says, or raises it from 0.
pub(super) fn scale(store: &Store, part: &Value, name: &str, patched: bool) -> Result<(), Status> {
    let namespace = object::namespace(part);
    let deployment = store.get(&resources::DEPLOYMENTS, namespace, name)?;
    let found = &deployment["spec"]["replicas"];
    let wanted = match &part["spec"]["deployments"][name]["replicas"] {
        count @ Value::Number(_) if !patched => count.clone(),
        _ if *found == 0 => json!(1),
        _ => return Ok(()),
    };
    if *found == wanted {
        return Ok(());
    }
    let written = store.modify(&resources::DEPLOYMENTS, namespace, name, |deployment| {
        deployment["spec"]["replicas"] = wanted;
    });
    written.map(drop)
}

/// States how many of the instance's Deployments are ready.
pub(super) fn report(store: &Store, whole: &Value) -> Result<(), Status> {
    let (namespace, instance) = (object::namespace(whole), object::name(whole));
    let mut deployments = store.list(&resources::DEPLOYMENTS, Some(namespace)).items;
    deployments.retain(|one| one["metadata"]["labels"]["app.kubernetes.io/instance"] == instance);
    let ready = deployments.iter().filter(|one| is_ready(one)).count();
    status::report(store, (namespace, instance), ready, deployments.len())
}

fn is_ready(deployment: &Value) -> bool {
    let wanted = &deployment["spec"]["replicas"];
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && (*wanted == 0 || status["readyReplicas"] == *wanted)
}
