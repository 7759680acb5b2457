//! Replacing an object by comparing and swapping.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, ClusterError};

/// Replaces an object; `None` where it is not the one that `object` was made from any more. May be repeated like a read:
/// the resourceVersion keeps it from being done twice.
pub(super) async fn replace<K>(cluster: &Cluster, object: &K) -> Result<Option<K>, ClusterError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let name = object.name_any();
    let what = format!("update {} {name}", K::kind(&()).to_lowercase());
    let api = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let parameters = PostParams::default();
    let replaced = cluster
        .send_idempotent(&what, || api.replace(&name, &parameters, object))
        .await;
    match replaced {
        Ok(object) => Ok(Some(object)),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(None),
        Err(error) => Err(error),
    }
}
