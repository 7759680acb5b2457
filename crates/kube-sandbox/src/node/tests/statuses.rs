//! Statuses of pods, compared with recorded ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Cluster, once, shell};

#[tokio::test]
async fn statuses_have_the_fields_and_conditions_of_recorded_ones() {
    let cluster = Cluster::new();
    let mounted = |mut container: Value| {
        container["volumeMounts"] = json!([
            {"name": "work", "mountPath": "/work"}, {"name": "work", "mountPath": "/again", "readOnly": true},
        ]);
        let mut spec = once(&container);
        spec["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
        spec
    };
    cluster.create("runs", &mounted(shell("exec sleep 1000")));
    cluster.create("ends", &mounted(shell("true")));
    let unknown = json!({"name": "c", "image": "registry.invalid/none:1"});
    cluster.create("waits", &mounted(unknown));
    let is_pulling = |pod: &Value| {
        !pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].is_null()
    };

    let running = recording(include_str!(
        "../../../tests/fixtures/k8s-wire/pod-running.json"
    ));
    let ended = recording(include_str!(
        "../../../tests/fixtures/k8s-wire/job-pods.json"
    ));
    let pulling = recording(include_str!(
        "../../../tests/fixtures/k8s-wire/pod-image-pull-fails.json"
    ));
    for (pod, recorded) in [
        (cluster.wait_for_phase("runs", "Running").await, running),
        (cluster.wait_for_phase("ends", "Succeeded").await, ended),
        (cluster.wait("waits", "pulling", is_pulling).await, pulling),
    ] {
        let recorded = recorded["status"].clone();
        let missing: Vec<_> = shape(&recorded)
            .difference(&shape(&pod["status"]))
            .cloned()
            .collect();
        let invented: Vec<_> = shape(&pod["status"])
            .difference(&shape(&recorded))
            .cloned()
            .collect();
        // What cgroups allow the pod; there are none here.
        let missing: Vec<_> = missing
            .iter()
            .filter(|path| !path.starts_with(".resources"))
            .collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "missing {missing:?}, invented {invented:?}"
        );
        assert_eq!(verdicts(&pod["status"]), verdicts(&recorded));
    }
}

/// The first object of a recorded answer.
fn recording(text: &str) -> Value {
    let recording: Value = serde_json::from_str(text).unwrap();
    let body = &recording["response"]["body"];
    body["items"].get(0).unwrap_or(body).clone()
}

/// The path of every field.
fn shape(value: &Value) -> BTreeSet<String> {
    let below = |prefix: &str, value: &Value| -> Vec<String> {
        shape(value)
            .iter()
            .map(|path| format!("{prefix}{path}"))
            .collect()
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                let own = format!(".{name}");
                below(&own, value)
                    .into_iter()
                    .chain([own.clone()])
                    .collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| below("[]", item)).collect(),
        _ => BTreeSet::new(),
    }
}

/// The conditions in order, without times and messages.
fn verdicts(status: &Value) -> Vec<[&Value; 3]> {
    let conditions = status["conditions"].as_array().unwrap();
    conditions
        .iter()
        .map(|one| [&one["type"], &one["status"], &one["reason"]])
        .collect()
}
