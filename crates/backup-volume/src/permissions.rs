//! What the user must be allowed to do, and whether that is so.

use futures::future::try_join_all;
use wa_common::cluster::{Cluster, ClusterError, Permission};
use wa_common::run::Run;

use crate::change::VolumeChange;

/// What of `needed` the user may not do, as reasons.
pub async fn missing_permissions(
    cluster: &Cluster,
    needed: &[Permission],
) -> Result<Vec<String>, ClusterError> {
    let held = try_join_all(needed.iter().map(|permission| cluster.may(permission))).await?;
    let missing: Vec<String> = needed
        .iter()
        .zip(held)
        .filter(|(_, held)| !held)
        .map(|(permission, _)| permission.to_string())
        .collect();
    Ok(if missing.is_empty() {
        Vec::new()
    } else {
        vec![format!(
            "you may not {} in namespace {:?}",
            missing.join(", "),
            cluster.namespace()
        )]
    })
}

/// To run commands: an exec over WebSocket is a GET, and since Kubernetes 1.35 must be allowed as `create` too.
pub fn to_exec() -> Vec<Permission> {
    ["get", "create"]
        .map(|verb| Permission::new(verb, "", "pods").on_subresource("exec"))
        .into()
}

/// To keep the record of what is changed.
pub fn to_record() -> Vec<Permission> {
    Run::<VolumeChange>::permissions()
}

/// To make a helper pod, wait for it and delete it.
pub fn to_make_pods() -> Vec<Permission> {
    let verbs = ["create", "get", "delete"];
    verbs.map(|verb| Permission::new(verb, "", "pods")).into()
}
