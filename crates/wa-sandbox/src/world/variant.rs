//! What differs among clusters of one release.

use std::time::Duration;

use super::{Instances, OtherPatch};

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
    /// Between two of its reconciles of everything, by which patches take effect.
    pub operator_period: Duration,
    /// Between its reading a custom resource and its writing the key of a patch there.
    pub operator_write_delay: Duration,
    /// Whether it sets the backup CronJob back to its own settings with every period.
    pub operator_reverts: bool,
    /// The temporary patches of other people that are active from the beginning.
    pub patches: Vec<OtherPatch>,
    /// The components whose Deployments a HorizontalPodAutoscaler governs.
    pub autoscaled: Vec<String>,
    /// The replicas of store-admin.
    pub store_admin_replicas: u32,
    /// How many times faster than real models are trained.
    pub retrain_speed: u32,
    /// How long pods of the Deployments take before their containers start.
    pub pod_start: Duration,
    /// How long pods of the Deployments take to go: they do not listen when they are told to.
    pub grace_seconds: u32,
    /// The size limit of `/controller` in the PostgreSQL pods, as Kubernetes writes quantities: a pod that
    /// has more in it is evicted.
    pub scratch_size: Option<String>,
    /// The size of `/dev/shm` in the PostgreSQL pods, which is in memory then.
    pub shm_size: Option<String>,
    /// Whether the operator knows no counts of the store: it raises what is at 0 to 1, and keeps what else it finds.
    pub operator_keeps_counts: bool,
    /// Whether the instance of a watsonx Orchestrate, `wo-wa`, is there as well.
    pub orchestrate: bool,
}

impl Variant {
    /// How fast the operator is.
    pub(super) fn operator_pace(&self) -> OperatorPace {
        OperatorPace {
            delay: self.operator_delay,
            period: self.operator_period,
            write_delay: self.operator_write_delay,
        }
    }
}

impl Default for Variant {
    fn default() -> Self {
        let pace = OperatorPace::default();
        Self {
            instances: Instances::default(),
            store_replicas: vec![2],
            operator_replicas: 1,
            operator_delay: pace.delay,
            operator_period: pace.period,
            operator_write_delay: pace.write_delay,
            operator_reverts: false,
            patches: Vec::new(),
            autoscaled: Vec::new(),
            store_admin_replicas: 1,
            retrain_speed: 60,
            pod_start: Duration::ZERO,
            grace_seconds: 2,
            scratch_size: None,
            shm_size: None,
            operator_keeps_counts: false,
            orchestrate: false,
        }
    }
}

/// How fast the operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorPace {
    /// From a change until it acts on it.
    pub delay: Duration,
    /// Between two reconciles of everything.
    pub period: Duration,
    /// Between its reading a custom resource and its writing the key of a patch there.
    pub write_delay: Duration,
}

impl Default for OperatorPace {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(200),
            period: Duration::from_secs(5),
            write_delay: Duration::from_millis(50),
        }
    }
}
