//! Autoscalers and their Deployments.

use serde_json::{Value, json};

use super::{cluster, in_time};
use crate::meta::resources;

fn deployment(name: &str, replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "cpd" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": "x:1" }] },
            },
        },
    })
}

fn autoscaler(target: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "any", "namespace": "cpd" },
        "spec": {
            "minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
        },
    })
}

#[tokio::test]
async fn replicas_are_kept_between_the_bounds_and_left_alone_within_them_and_at_0() {
    let cluster = cluster();
    for (name, replicas) in [("governed", 9), ("governed-too", 9)] {
        cluster.create(&resources::DEPLOYMENTS, deployment(name, replicas));
    }
    cluster.create(&resources::AUTOSCALERS, autoscaler("governed"));
    let has = |replicas: u64| move |one: &Value| one["spec"]["replicas"] == replicas;
    for (set, becomes) in [(9, 4), (1, 2), (3, 3), (0, 0)] {
        let scaled = cluster
            .store
            .modify(&resources::DEPLOYMENTS, "cpd", "governed", |one| {
                one["spec"]["replicas"] = set.into();
            });
        scaled.expect("it is scaled");
        let desired = in_time(cluster.until_desired(becomes)).await;
        assert!(
            has(becomes)(&cluster.get(&resources::DEPLOYMENTS, "governed")),
            "{desired}"
        );
    }
    assert!(has(9)(
        &cluster.get(&resources::DEPLOYMENTS, "governed-too")
    ));
    let told = in_time(cluster.reported("any", "SuccessfulRescale")).await;
    assert!(told.contains("New size: "), "{told}");
}

#[tokio::test]
async fn an_autoscaler_whose_deployment_is_not_there_says_so() {
    let cluster = cluster();
    cluster.create(&resources::AUTOSCALERS, autoscaler("gone"));
    in_time(cluster.until(&resources::AUTOSCALERS, "any", |one| {
        one["status"]["conditions"][0]["reason"] == "FailedGetScale"
    }))
    .await;
}
