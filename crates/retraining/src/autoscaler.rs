//! HorizontalPodAutoscalers that govern a Deployment: what is set by hand there, they set again.

use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use kube::ResourceExt;
use wa_common::cluster::{Cluster, ClusterError};

/// The autoscalers of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Autoscalers(Vec<HorizontalPodAutoscaler>);

impl Autoscalers {
    /// Reads them, in the version that every cluster serves.
    pub async fn read(cluster: &Cluster) -> Result<Self, ClusterError> {
        Ok(Self(cluster.list("").await?))
    }

    /// The autoscaler whose target is the Deployment of exactly that name.
    pub fn of_deployment(&self, deployment: &str) -> Option<String> {
        let governs = |one: &&HorizontalPodAutoscaler| {
            one.spec.as_ref().is_some_and(|spec| {
                let target = &spec.scale_target_ref;
                target.kind == "Deployment" && target.name == deployment
            })
        };
        self.0.iter().find(governs).map(ResourceExt::name_any)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_is_found_by_its_target_and_not_by_its_name() {
        let autoscaler = |name: &str, kind: &str, target: &str| {
            let object = json!({
                "metadata": { "name": name },
                "spec": { "maxReplicas": 5, "scaleTargetRef": { "kind": kind, "name": target } },
            });
            serde_json::from_value(object).unwrap()
        };
        let autoscalers = Autoscalers(vec![
            autoscaler(
                "wa-clu-training-wa-dwf",
                "Deployment",
                "wa-clu-training-wa-dwf",
            ),
            autoscaler("wa-clu-embedding", "StatefulSet", "wa-clu-embedding"),
            autoscaler("busy", "Deployment", "wa-tfmm"),
        ]);
        assert_eq!(autoscalers.of_deployment("wa-clu-training"), None);
        assert_eq!(autoscalers.of_deployment("wa-clu-embedding"), None);
        assert_eq!(
            autoscalers.of_deployment("wa-tfmm").as_deref(),
            Some("busy")
        );
    }
}
