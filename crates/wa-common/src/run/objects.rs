//! Objects that a run creates and deletes: never created twice, never deleted when they are somebody else's.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Preconditions};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{RUN_LABEL, Recorded, Undoing};
use crate::cluster::{Cluster, ClusterError, Probe, TimedOut, Wait, WaitError};
use crate::report::{elapsed, printable};

/// Why an object is not deleted.
#[derive(Debug, Error)]
pub enum DeletionError {
    /// The API server did not do what was asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It has the name of what is to be deleted, and was made by somebody else.
    #[error(
        "{what} was not deleted: it does not carry the label {RUN_LABEL}={run}, so it is not what this run created; look at it before you delete it"
    )]
    NotOurs {
        /// Kind and name.
        what: String,
        /// The run that should have created it.
        run: String,
    },
    /// It is deleted, but not gone.
    #[error(
        "{what} is still there {} after it was deleted: it waits for {}",
        elapsed(*after),
        waits_for(finalizers)
    )]
    StillThere {
        /// Kind and name.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// Who must agree to its end.
        finalizers: Vec<String>,
    },
}

/// Who has not agreed to the end of an object that is deleted.
fn waits_for(finalizers: &[String]) -> String {
    if finalizers.is_empty() {
        return "its node to confirm its end".to_owned();
    }
    printable(&finalizers.join(", ")).into_owned()
}

impl Recorded {
    /// Creates the object that was recorded, labelled as the run's and owned by its Lease, in one go as
    /// [`Recorded::make`] does.
    pub async fn create<K>(&self, cluster: &Cluster, mut object: K) -> Result<K, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        self.mark.put_on(object.meta_mut());
        self.create_marked(cluster, object).await
    }

    /// As [`Recorded::create`], for an object that may outlive the run: it keeps the owners that it has.
    pub async fn create_with_own_owners<K>(
        &self,
        cluster: &Cluster,
        mut object: K,
    ) -> Result<K, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        self.mark.label(object.meta_mut());
        self.create_marked(cluster, object).await
    }

    async fn create_marked<K>(&self, cluster: &Cluster, object: K) -> Result<K, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        let api = Api::namespaced(cluster.client().clone(), cluster.namespace());
        let cluster = cluster.clone();
        self.make(async move { cluster.create_object(&api, &object).await })
            .await
    }

    /// As [`Recorded::create`], for a custom resource.
    pub async fn create_custom(
        &self,
        cluster: &Cluster,
        kind: &ApiResource,
        mut object: DynamicObject,
    ) -> Result<DynamicObject, ClusterError> {
        self.mark.put_on(object.meta_mut());
        let api = Api::namespaced_with(cluster.client().clone(), cluster.namespace(), kind);
        let cluster = cluster.clone();
        self.make(async move { cluster.create_object(&api, &object).await })
            .await
    }
}

impl Undoing<'_> {
    /// Deletes the object called `name` if the run created it, and waits until it is gone. Succeeds where there is none.
    pub async fn delete<K>(&self, name: &str, limit: Duration) -> Result<(), DeletionError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let cluster = self.cluster;
        let api: Api<K> = Api::namespaced(cluster.client().clone(), cluster.namespace());
        let what = format!("{} {name}", K::kind(&()).to_lowercase());
        let usual = DeleteParams::default();
        self.delete_object(&api, &what, name, usual, limit).await
    }

    /// As [`Undoing::delete`], and what belongs to the object goes first: of a Job, its pods, which else would stay.
    pub async fn delete_with_dependents<K>(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<(), DeletionError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let cluster = self.cluster;
        let api: Api<K> = Api::namespaced(cluster.client().clone(), cluster.namespace());
        let what = format!("{} {name}", K::kind(&()).to_lowercase());
        let foreground = DeleteParams::foreground();
        self.delete_object(&api, &what, name, foreground, limit)
            .await
    }

    /// As [`Undoing::delete`], for a custom resource. Where its kind is not known, there is none.
    pub async fn delete_custom(
        &self,
        kind: &ApiResource,
        name: &str,
        limit: Duration,
    ) -> Result<(), DeletionError> {
        let cluster = self.cluster;
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client().clone(), cluster.namespace(), kind);
        let what = format!("{} {name}", kind.kind.to_lowercase());
        let usual = DeleteParams::default();
        self.delete_object(&api, &what, name, usual, limit).await
    }

    async fn delete_object<K>(
        &self,
        api: &Api<K>,
        what: &str,
        name: &str,
        how: DeleteParams,
        limit: Duration,
    ) -> Result<(), DeletionError>
    where
        K: Clone + Debug + DeserializeOwned + Resource,
    {
        let mut finalizers = Vec::new();
        let looking = format!("get {what}");
        let look = || self.cluster.send_idempotent(&looking, || api.get_opt(name));
        let Some(object) = look().await? else {
            return Ok(());
        };
        if !self.made(&object) {
            return Err(DeletionError::NotOurs {
                what: what.to_owned(),
                run: self.run.to_owned(),
            });
        }
        let uid = object.uid();
        let parameters = how.preconditions(Preconditions {
            uid: uid.clone(),
            resource_version: None,
        });
        let deleted = self
            .cluster
            .send_idempotent(&format!("delete {what}"), || async {
                api.delete(name, &parameters).await.map(drop)
            })
            .await;
        match deleted {
            // 409: another object has taken the name, so this one is gone.
            Err(error) if !matches!(error.code(), Some(404 | 409)) => return Err(error.into()),
            _ => {}
        }
        let left = |found: Option<K>| match found.filter(|left| left.uid() == uid) {
            None => Ok(Probe::Done(())),
            Some(left) => {
                finalizers = left.finalizers().to_vec();
                let on = waits_for(&finalizers);
                Ok(Probe::Pending(format!("it waits for {on}")))
            }
        };
        let wait = Wait::new(format!("for the end of {what}"), limit, self);
        wait.until(look, left).await.map_err(|ended| match ended {
            WaitError::Failed(error) => DeletionError::Cluster(error),
            WaitError::TimedOut(TimedOut { after, .. }) => DeletionError::StillThere {
                what: what.to_owned(),
                after,
                finalizers,
            },
        })
    }

    /// Whether the run created it.
    pub fn made(&self, object: &impl Resource) -> bool {
        let label = object.labels().get(RUN_LABEL);
        label.is_some_and(|label| label == self.run)
    }
}
