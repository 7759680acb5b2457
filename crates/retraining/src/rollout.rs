//! How far a Deployment has got what its specification says.

use k8s_openapi::api::apps::v1::Deployment;

/// The numbers of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// How many pods there are to be.
    pub wanted: u32,
    /// How many of them are made from the template as it is now.
    pub updated: u32,
    /// How many pods there are, those of former templates included.
    pub all: u32,
    /// How many are ready.
    pub ready: u32,
    /// Whether the numbers are of the specification as it is now.
    pub observed: bool,
}

impl Rollout {
    /// What a Deployment says.
    pub fn from_deployment(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let count = |number: Option<i32>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
        let spec = deployment.spec.as_ref();
        Self {
            // Kubernetes fills it in; its default is 1.
            wanted: count(spec.map_or(Some(1), |spec| spec.replicas.or(Some(1)))),
            updated: count(status.updated_replicas),
            all: count(status.replicas),
            ready: count(status.ready_replicas),
            observed: status.observed_generation >= deployment.metadata.generation,
        }
    }

    /// Whether all pods are there, ready, and of the present template.
    pub fn is_complete(self) -> bool {
        self.observed
            && self.updated == self.wanted
            && self.all == self.wanted
            && self.ready == self.wanted
    }

    /// `3 of 10 ready`
    pub fn in_words(self) -> String {
        if self.observed && self.all > self.updated {
            return format!(
                "{} of {} ready, {} to be replaced",
                self.ready,
                self.wanted,
                self.all - self.updated
            );
        }
        format!("{} of {} ready", self.ready, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(generation: i64, wanted: u32, updated: u32, all: u32, ready: u32) -> Rollout {
        let deployment = json!({
            "metadata": { "generation": 2 },
            "spec": { "replicas": wanted, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": generation, "updatedReplicas": updated, "replicas": all, "readyReplicas": ready,
            },
        });
        Rollout::from_deployment(&serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn a_rollout_is_complete_when_all_pods_are_new_and_ready_and_no_old_one_is_left() {
        assert!(rollout(2, 3, 3, 3, 3).is_complete());
        for open in [
            rollout(1, 3, 3, 3, 3),
            rollout(2, 3, 2, 3, 3),
            rollout(2, 3, 3, 4, 3),
            rollout(2, 3, 3, 3, 2),
        ] {
            assert!(!open.is_complete(), "{open:?}");
        }
        assert_eq!(
            rollout(2, 3, 1, 4, 2).in_words(),
            "2 of 3 ready, 3 to be replaced"
        );
    }
}
