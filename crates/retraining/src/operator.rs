//! The operator's Deployment: while it is down, patches come and go without effect, and deleting one hangs.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use wa_common::assistant::{OPERATOR, find_operator};
use wa_common::cluster::Cluster;

use crate::error::RetrainError;
use crate::rollout::Rollout;

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
        Ok(Self::from_deployment(
            &find_operator(cluster, namespace).await?,
        ))
    }

    fn from_deployment(deployment: &Deployment) -> Self {
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            rollout: Rollout::from_deployment(deployment),
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
