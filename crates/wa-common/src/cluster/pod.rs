//! Whether a pod can be used.

use k8s_openapi::api::core::v1::Pod;

/// Whether a pod runs, is Ready and stays: commands can be run in it.
pub fn pod_is_ready(pod: &Pod) -> bool {
    let Some(status) = &pod.status else {
        return false;
    };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a pod has ended for good, as one that was evicted, with what its containers and its own volumes held. Its object
/// may stay for long.
pub fn pod_has_ended(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_running_ready_pods_that_stay_are_used() {
        let is_ready = |phase: &str, ready: &str, deleted: bool| {
            let mut pod: Pod = serde_json::from_value(json!({
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap();
            pod.metadata.deletion_timestamp = deleted.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
            pod_is_ready(&pod)
        };
        assert!(is_ready("Running", "True", false));
        assert!(!is_ready("Running", "False", false));
        assert!(!is_ready("Succeeded", "True", false));
        assert!(!is_ready("Running", "True", true));
    }
}
