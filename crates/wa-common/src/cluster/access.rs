//! Asking the API server what the user may do, before doing it.

use std::fmt;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, ClusterError};

/// One verb on one kind of object, in the namespace of a [`Cluster`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// `get`, `list`, `create`, …
    pub verb: &'static str,
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The plural resource name.
    pub resource: &'static str,
    /// The subresource, such as `exec`.
    pub subresource: Option<&'static str>,
    /// A single object; all of them where absent.
    pub name: Option<String>,
}

impl Permission {
    /// `verb` on a resource.
    pub const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
            subresource: None,
            name: None,
        }
    }

    /// The same, for a subresource.
    #[must_use]
    pub fn on_subresource(self, subresource: &'static str) -> Self {
        Self {
            subresource: Some(subresource),
            ..self
        }
    }

    /// The same, for one object.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    fn attributes(&self, namespace: &str) -> ResourceAttributes {
        ResourceAttributes {
            namespace: Some(namespace.to_owned()),
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.to_owned()),
            resource: Some(self.resource.to_owned()),
            subresource: self.subresource.map(str::to_owned),
            name: self.name.clone(),
            ..ResourceAttributes::default()
        }
    }
}

impl fmt::Display for Permission {
    /// As `kubectl auth can-i` takes it: `create pods/exec`, `get secrets/wa-store-vcap`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(subresource) = self.subresource {
            write!(f, "/{subresource}")?;
        }
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Whether the user has `permission` in this namespace (a SelfSubjectAccessReview).
    pub async fn may(&self, permission: &Permission) -> Result<bool, ClusterError> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client().clone());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(permission.attributes(self.namespace())),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        // A review is created but nothing is stored: it may be repeated like a read.
        let answer = self
            .send_idempotent(&format!("review access: {permission}"), || async {
                api.create(&PostParams::default(), &review).await
            })
            .await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
