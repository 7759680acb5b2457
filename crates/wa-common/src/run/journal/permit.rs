//! What a change needs: the proof that it may be made now.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::super::RUN_LABEL;
use super::super::change::Mark;
use crate::cluster::{Cluster, ClusterError};

/// The proof that a step is in the journal as started, and that a moment ago every lock was this run's. Whatever
/// changes something takes one.
#[derive(Debug)]
pub struct Permit {
    pub(super) mark: Mark,
}

/// Why there is no object as this run would have made it.
#[derive(Debug, Error)]
pub enum NotCreated {
    /// The API server did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The name is taken.
    #[error(
        "{what} is there already, and does not carry the label {RUN_LABEL}={run}, so it is not what this run created; look at it before you delete it"
    )]
    NotOurs {
        /// Kind and name.
        what: String,
        /// The run that would have created it.
        run: String,
    },
}

impl Permit {
    /// The run's id, which is the value of [`RUN_LABEL`].
    pub fn run_id(&self) -> &str {
        &self.mark.run
    }

    /// A name for an object of this run: unique, an RFC 1123 label. The same `suffix` gives the same name.
    pub fn name(&self, suffix: &str) -> String {
        self.mark.name(suffix)
    }

    /// Labels an object as this run's.
    pub fn label(&self, metadata: &mut ObjectMeta) {
        self.mark.put_on(metadata);
    }

    /// Creates an object, labelled as this run's. One that is there already, as the run created it before its process
    /// died, is returned as it is; one that does not carry the run's id is somebody else's.
    pub async fn create<K>(&self, cluster: &Cluster, mut object: K) -> Result<K, NotCreated>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        self.label(object.meta_mut());
        let name = object.name_any();
        let what = format!("{} {name}", K::kind(&()).to_lowercase());
        let api: Api<K> = Api::namespaced(cluster.client().clone(), cluster.namespace());
        let parameters = PostParams::default();
        // Sent again, it finds what it has created.
        let created = cluster
            .send_idempotent(&format!("create {what}"), || {
                api.create(&parameters, &object)
            })
            .await;
        let found = match created {
            Err(error) if error.code() == Some(409) => cluster.find(&name).await?.ok_or(error)?,
            created => created?,
        };
        if found.labels().get(RUN_LABEL) != Some(&self.mark.run) {
            return Err(NotCreated::NotOurs {
                what,
                run: self.mark.run.clone(),
            });
        }
        Ok(found)
    }
}
