//! What the components that train and run models ask for.

use serde_json::{Value, json};

/// The resources of a component's container: small, since this machine is one.
pub(super) fn resources(component: &str) -> Value {
    match component {
        "clu-training" => json!({ "requests": { "cpu": "250m", "memory": "256Mi" } }),
        "tfmm" | "dragonfly-clu-mm" | "clu-embedding" | "clu-triton-serving" => {
            json!({ "requests": { "cpu": "50m", "memory": "64Mi" } })
        }
        _ => json!({}),
    }
}
