//! The operator's Deployment: while it is down, patches come and go without effect, and deleting one hangs.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use wa_common::cluster::Cluster;

use crate::error::RetrainError;
use crate::rollout::Rollout;

/// Its name, the same since 4.0.
pub const OPERATOR: &str = "ibm-watson-assistant-operator";

/// The operator, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its namespace.
    pub namespace: String,
    rollout: Rollout,
}

impl Operator {
    /// In the namespace given, or wherever its Deployment is.
    pub async fn find(cluster: &Cluster, namespace: Option<&str>) -> Result<Self, RetrainError> {
        let Some(namespace) = namespace else {
            return Self::search(cluster).await;
        };
        let found: Option<Deployment> = cluster.in_namespace(namespace).find(OPERATOR).await?;
        let found = found.ok_or_else(|| RetrainError::NoOperator {
            place: format!("namespace {namespace:?}"),
        })?;
        Ok(Self::of(&found))
    }

    async fn search(cluster: &Cluster) -> Result<Self, RetrainError> {
        let found: Vec<Deployment> = match cluster.find_everywhere(OPERATOR).await {
            Err(error) if error.code() == Some(403) => {
                return Err(RetrainError::OperatorHidden {
                    namespace: cluster.namespace().to_owned(),
                });
            }
            found => found?,
        };
        // One operator often serves the namespace that it is in.
        let own = found
            .iter()
            .find(|one| one.namespace().as_deref() == Some(cluster.namespace()));
        match (&found[..], own) {
            ([only], _) | (_, Some(only)) => Ok(Self::of(only)),
            ([], _) => Err(RetrainError::NoOperator {
                place: "any namespace".to_owned(),
            }),
            (several, None) => Err(RetrainError::SeveralOperators {
                namespaces: several
                    .iter()
                    .filter_map(kube::ResourceExt::namespace)
                    .collect(),
            }),
        }
    }

    fn of(deployment: &Deployment) -> Self {
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            rollout: Rollout::of(deployment),
        }
    }

    /// An error where it does not run.
    pub fn require_up(&self) -> Result<(), RetrainError> {
        if self.rollout.wanted > 0 && self.rollout.ready > 0 {
            return Ok(());
        }
        Err(RetrainError::OperatorDown {
            namespace: self.namespace.clone(),
            state: if self.rollout.wanted == 0 {
                "is scaled to 0, as a restore leaves it that was not finished".to_owned()
            } else {
                format!("has none of its {} pods ready", self.rollout.wanted)
            },
        })
    }

    /// `2 of 2 pods ready`
    pub fn in_words(&self) -> String {
        format!(
            "{OPERATOR} in {}, {} of {} ready",
            self.namespace, self.rollout.ready, self.rollout.wanted
        )
    }
}
