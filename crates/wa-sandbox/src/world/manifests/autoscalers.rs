//! HorizontalPodAutoscalers, where Deployments are governed by some.

use serde_json::{Value, json};

use super::labels;
use crate::world::{Names, Variant};

/// The end of the name of a Deployment that is called as the training's is, and goes on. It is there where there are
/// autoscalers, and has one.
pub(super) const LONGER_NAME: &str = "clu-training-wa-dwf";

/// One for each Deployment that was asked for, and the one of the longer name.
pub(in crate::world) fn of(names: &Names, variant: &Variant) -> Vec<Value> {
    if variant.autoscaled.is_empty() {
        return Vec::new();
    }
    let longer = LONGER_NAME.to_owned();
    let governed = variant.autoscaled.iter().chain([&longer]);
    governed
        .map(|component| autoscaler(names, component))
        .collect()
}

fn autoscaler(names: &Names, component: &str) -> Value {
    let name = format!("{}-{component}", names.instance);
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": name });
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": names.namespace, "labels": labels(names, component) },
        "spec": { "minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target },
    })
}
