//! What the API server says to changes that it is asked not to make (`dryRun=All`): admission may refuse what the user
//! has the permission for.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::lease::LeaseRecord;
use super::super::{Holder, RunError, new_run_id, run_labels};
use super::content::LockPlace;
use super::lock::LockData;
use super::{JournaledRun, LockName, Procedure};
use crate::cluster::{Cluster, ClusterError};
use crate::report::causes_text;

/// A change that was tried, and what the API server said to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// What would be changed.
    pub change: String,
    /// Where.
    pub namespace: String,
    /// Why not; none where it would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl Tried {
    /// What came of a request.
    pub fn new<T>(
        change: impl Into<String>,
        cluster: &Cluster,
        answer: Result<T, ClusterError>,
    ) -> Self {
        Self {
            change: change.into(),
            namespace: cluster.namespace().to_owned(),
            refusal: answer.err().map(|error| causes_text(&error)),
        }
    }
}

/// Asks whether `object` could be made, or, where there is one of its name, whether that could be replaced.
pub async fn try_create<K>(cluster: &Cluster, object: &K) -> Tried
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let name = object.name_any();
    let kind = K::kind(&()).to_lowercase();
    let api: Api<K> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let trial = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let create = format!("create {kind} {name}");
    let created = cluster
        .send_idempotent(&create, || api.create(&trial, object))
        .await;
    let found = match &created {
        Err(error) if error.code() == Some(409) => cluster.find::<K>(&name).await,
        _ => return Tried::new(create, cluster, created),
    };
    let update = format!("update {kind} {name}");
    let found = match found {
        Ok(found) => found,
        Err(error) => return Tried::new(update, cluster, Err::<(), _>(error)),
    };
    let Some(found) = found else {
        return Tried::new(create, cluster, created);
    };
    let replaced = cluster
        .send_idempotent(&update, || api.replace(&name, &trial, &found))
        .await;
    Tried::new(update, cluster, replaced)
}

impl<P: Procedure> JournaledRun<P> {
    /// Asks whether a run on `instance` could make its journal, its lock and those others.
    pub async fn try_begin(
        cluster: &Cluster,
        instance: &str,
        locks: &[LockName],
    ) -> Result<Vec<Tried>, RunError> {
        let name = Self::journal_name(instance);
        let run = new_run_id(P::PLUGIN);
        let labels = || run_labels(P::PLUGIN, &run);
        let journal = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        let mut tried = vec![try_create(cluster, &journal).await];
        let own = LockName {
            cluster: cluster.clone(),
            name: name.clone(),
        };
        for lock in std::iter::once(&own).chain(locks) {
            let data = LockData {
                run: run.clone(),
                journal: LockPlace {
                    namespace: cluster.namespace().to_owned(),
                    name: name.clone(),
                },
            };
            let holder = Holder::this_process();
            let record = LeaseRecord::new(holder, String::new(), Timestamp::now(), data);
            let lease: Lease = record.object(&lock.name, labels())?;
            tried.push(try_create(&lock.cluster, &lease).await);
        }
        Ok(tried)
    }
}
