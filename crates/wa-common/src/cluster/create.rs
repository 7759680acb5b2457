//! Creating objects, each once.

use std::fmt::Debug;

use kube::api::PostParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cluster, ClusterError};

impl Cluster {
    /// Creates an object whose name nobody else gives. The request is not repeated; where its outcome is not known, the
    /// object itself tells.
    pub(crate) async fn create_object<K>(&self, api: &Api<K>, object: &K) -> Result<K, ClusterError>
    where
        K: Clone + Debug + DeserializeOwned + Serialize + Resource,
    {
        let name = object.name_any();
        let what = format!("create {name}");
        let created = self
            .once(&what, api.create(&PostParams::default(), object))
            .await;
        match created {
            Err(error) if outcome_unknown(&error) => {
                let found = self
                    .send_idempotent(&format!("get {name}"), || api.get_opt(&name))
                    .await;
                found.ok().flatten().ok_or(error)
            }
            created => created,
        }
    }
}

/// Whether the API server may have done what it did not confirm.
fn outcome_unknown(error: &ClusterError) -> bool {
    match error.code() {
        Some(code) => code >= 500,
        None => matches!(
            error,
            ClusterError::TimedOut { .. }
                | ClusterError::Unreachable { .. }
                | ClusterError::Answer { .. }
        ),
    }
}
