//! StatefulSets.

use serde_json::{Value, json};

use super::{Cluster, cluster, in_time};
use crate::meta::{Object, object, resources};

fn stateful_set(replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "redis", "namespace": "cpd" },
        "spec": {
            "replicas": replicas, "serviceName": "redis-headless",
            "selector": { "matchLabels": { "component": "redis" } },
            "template": {
                "metadata": { "labels": { "component": "redis" } },
                "spec": { "containers": [{ "name": "redis", "image": "redis:1" }] },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    })
}

/// Waits for the next pod that is not yet ready, which must have that name, and makes it ready.
async fn start(cluster: &Cluster, number: usize, name: &str) -> Object {
    let pods = in_time(cluster.pods("redis", number, |_| true)).await;
    let pod = pods.iter().find(|pod| object::name(pod) == name);
    let pod = pod.unwrap_or_else(|| panic!("no {name} in {pods:?}"));
    cluster.set_phase(pod, "Running");
    pod.clone()
}

/// A set of which two pods are ready.
async fn of_two() -> Cluster {
    let cluster = cluster();
    cluster.create(&resources::STATEFUL_SETS, stateful_set(2));
    start(&cluster, 1, "redis-0").await;
    start(&cluster, 2, "redis-1").await;
    in_time(cluster.until(&resources::STATEFUL_SETS, "redis", |set| {
        set["status"]["readyReplicas"] == 2
    }))
    .await;
    cluster
}

fn change(cluster: &Cluster, change: impl FnOnce(&mut Value)) {
    let changed = cluster
        .store
        .modify(&resources::STATEFUL_SETS, "cpd", "redis", change);
    changed.expect("changed");
}

async fn deleted(cluster: &Cluster, name: &str) -> Object {
    in_time(cluster.until(&resources::PODS, name, object::is_terminating)).await
}

#[tokio::test]
async fn pods_start_in_order_with_names_and_claims_of_their_own() {
    let cluster = cluster();
    cluster.create(&resources::STATEFUL_SETS, stateful_set(2));
    let first = start(&cluster, 1, "redis-0").await;
    assert_eq!(first["spec"]["hostname"], "redis-0");
    assert_eq!(first["spec"]["subdomain"], "redis-headless");
    let volumes = first["spec"]["volumes"].as_array().expect("volumes");
    let claim = &volumes[0]["persistentVolumeClaim"]["claimName"];
    assert_eq!(
        (&volumes[0]["name"], claim),
        (&json!("data"), &json!("data-redis-0"))
    );
    start(&cluster, 2, "redis-1").await;
    let claim = cluster.get(&resources::CLAIMS, "data-redis-1");
    assert!(
        claim["metadata"].get("ownerReferences").is_none(),
        "{claim}"
    );

    let ready = in_time(cluster.until(&resources::STATEFUL_SETS, "redis", |set| {
        set["status"]["readyReplicas"] == 2
    }))
    .await;
    let status = &ready["status"];
    assert_eq!(status["updatedReplicas"], 2);
    assert_eq!(status["currentReplicas"], 2);
    assert_eq!(status["currentRevision"], status["updateRevision"]);
}

#[tokio::test]
async fn a_changed_template_replaces_the_highest_pod_first_and_waits_for_each() {
    let cluster = of_two().await;
    change(&cluster, |set| {
        set["spec"]["template"]["metadata"]["annotations"] =
            json!({ "kubectl.kubernetes.io/restartedAt": "2026-11-27T06:00:00Z" });
    });
    let last = deleted(&cluster, "redis-1").await;
    let moving = in_time(cluster.until(&resources::STATEFUL_SETS, "redis", |set| {
        set["status"]["observedGeneration"] == 2
    }))
    .await;
    assert_ne!(
        moving["status"]["currentRevision"],
        moving["status"]["updateRevision"]
    );
    assert!(!object::is_terminating(
        &cluster.get(&resources::PODS, "redis-0")
    ));

    cluster.finish(&last);
    start(&cluster, 2, "redis-1").await;
    let first = deleted(&cluster, "redis-0").await;
    cluster.finish(&first);
    start(&cluster, 2, "redis-0").await;
    in_time(cluster.until(&resources::STATEFUL_SETS, "redis", |set| {
        let status = &set["status"];
        status["updatedReplicas"] == 2 && status["currentRevision"] == status["updateRevision"]
    }))
    .await;
}

#[tokio::test]
async fn scaled_down_the_highest_pod_goes_first_and_its_claim_stays() {
    let cluster = of_two().await;
    change(&cluster, |set| set["spec"]["replicas"] = json!(0));
    let last = deleted(&cluster, "redis-1").await;
    assert_eq!(
        in_time(cluster.reported("redis", "SuccessfulDelete")).await,
        "delete Pod redis-1 in StatefulSet redis successful"
    );
    assert!(!object::is_terminating(
        &cluster.get(&resources::PODS, "redis-0")
    ));
    cluster.finish(&last);
    let first = deleted(&cluster, "redis-0").await;
    cluster.finish(&first);
    in_time(cluster.until(&resources::STATEFUL_SETS, "redis", |set| {
        set["status"]["observedGeneration"] == 2 && set["status"]["replicas"] == 0
    }))
    .await;
    cluster.get(&resources::CLAIMS, "data-redis-1");
}

#[tokio::test]
async fn a_pod_that_is_deleted_comes_back_under_its_name() {
    let cluster = of_two().await;
    let before = cluster.get(&resources::PODS, "redis-0");
    cluster.finish(&before);
    let after = in_time(cluster.until(&resources::PODS, "redis-0", |pod| {
        pod["status"]["phase"] == "Pending"
    }))
    .await;
    assert_ne!(object::uid(&after), object::uid(&before));
}
