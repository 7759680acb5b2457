//! What differs among clusters of one release.

use std::time::Duration;

use super::Instances;

/// What of the Watson Assistant differs among clusters of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The service instances there are.
    pub instances: Instances,
    /// The replicas of each Deployment of the store, of which there are as many as counts.
    pub store_replicas: Vec<u32>,
    /// The replicas of the operator.
    pub operator_replicas: u32,
    /// From a change until the operator acts on it.
    pub operator_delay: Duration,
    /// How long pods of the Deployments take to go: they do not listen when they are told to.
    pub grace_seconds: u32,
    /// The size limit of `/controller` in the PostgreSQL pods, as Kubernetes writes quantities. Nothing enforces it.
    pub scratch_size: Option<String>,
    /// Whether the instance of a watsonx Orchestrate, `wo-wa`, is there as well.
    pub orchestrate: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            instances: Instances::default(),
            store_replicas: vec![2],
            operator_replicas: 1,
            operator_delay: Duration::from_millis(200),
            grace_seconds: 2,
            scratch_size: None,
            orchestrate: false,
        }
    }
}
