//! The product's kinds as the API server serves them.
//!
//! Other products have a kind called TemporaryPatch too, so kinds are looked for in one group, and their plural names are the
//! server's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::api::{ApiResource, GroupVersionKind};
use wa_common::cluster::Cluster;

use crate::error::RetrainError;

/// Group and version of all of the product's kinds, the same since 4.0.
pub const API_VERSION: &str = "assistant.watson.ibm.com/v1";
/// The group alone.
pub const GROUP: &str = "assistant.watson.ibm.com";
/// A change to what the operator renders.
pub const TEMPORARY_PATCH: &str = "TemporaryPatch";

/// The product's kinds.
#[derive(Debug, Clone)]
pub struct Kinds(Vec<APIResource>);

impl Kinds {
    /// Asks the API server.
    pub async fn discover(cluster: &Cluster) -> Result<Self, RetrainError> {
        let kinds = Self(cluster.served_kinds(API_VERSION).await?.unwrap_or_default());
        kinds.resource(TEMPORARY_PATCH)?;
        Ok(kinds)
    }

    /// How objects of a kind are reached.
    pub fn resource(&self, kind: &'static str) -> Result<ApiResource, RetrainError> {
        let is_kind = |one: &&APIResource| one.kind == kind && !one.name.contains('/');
        let found = self.0.iter().find(is_kind).ok_or(RetrainError::NoKind {
            kind,
            api_version: API_VERSION,
        })?;
        let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
        Ok(ApiResource::from_gvk_with_plural(&kind, &found.name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_reached_by_the_plural_that_the_server_has_and_never_by_a_subresource() {
        let served = json!([
            { "name": "temporarypatches/status", "kind": "TemporaryPatch" },
            { "name": "temporarypatchez", "kind": "TemporaryPatch" },
        ]);
        let served = served.as_array().unwrap().iter().map(|one| {
            let mut one = one.clone();
            one["namespaced"] = true.into();
            one["singularName"] = "".into();
            one["verbs"] = json!([]);
            serde_json::from_value(one).unwrap()
        });
        let kinds = Kinds(served.collect());
        let resource = kinds.resource(TEMPORARY_PATCH).unwrap();
        assert_eq!(resource.plural, "temporarypatchez");
        assert_eq!(resource.api_version, API_VERSION);
        let missing = kinds.resource("WatsonAssistantClu").unwrap_err();
        assert!(missing.to_string().contains("no kind WatsonAssistantClu"));
    }
}
