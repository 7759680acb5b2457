//! Deployments and ReplicaSets.

use serde_json::json;

use super::super::conditions;
use super::{cluster, deployment, in_time};
use crate::meta::{object, resources};

#[tokio::test]
async fn a_deployment_is_available_once_its_pods_are_ready() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(2));
    let pods = in_time(cluster.pods("store", 2, |_| true)).await;
    let owner = &pods[0]["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "ReplicaSet");
    assert!(pods[0]["metadata"]["labels"]["pod-template-hash"].is_string());
    let waiting = cluster.get(&resources::DEPLOYMENTS, "wa-store");
    assert!(!conditions::is_true(&waiting, "Available"), "{waiting}");

    for pod in &pods {
        cluster.set_phase(pod, "Running");
    }
    let ready = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 2
    }))
    .await;
    assert_eq!(ready["status"]["observedGeneration"], 1);
    assert!(conditions::is_true(&ready, "Available"));
    assert_eq!(
        ready["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let progress = conditions::find(&ready, "Progressing").expect("a condition");
    assert_eq!(progress["reason"], "NewReplicaSetAvailable");
}

#[tokio::test]
async fn a_deployment_scaled_to_zero_counts_the_pods_that_still_end() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pods = in_time(cluster.pods("store", 1, |_| true)).await;
    cluster.set_phase(&pods[0], "Running");
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 1
    }))
    .await;

    cluster
        .store
        .modify(&resources::DEPLOYMENTS, "cpd", "wa-store", |one| {
            one["spec"]["replicas"] = json!(0);
        })
        .expect("scaled");
    let scaled = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["observedGeneration"] == 2 && one["status"]["terminatingReplicas"] == 1
    }))
    .await;
    assert!(scaled["status"].get("replicas").is_none(), "{scaled}");
    cluster.finish(&pods[0]);
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["terminatingReplicas"] == 0
    }))
    .await;
}

#[tokio::test]
async fn a_changed_template_keeps_the_old_pod_until_the_new_one_is_ready() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let old = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.set_phase(&old, "Running");
    in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["readyReplicas"] == 1
    }))
    .await;

    cluster
        .store
        .modify(&resources::DEPLOYMENTS, "cpd", "wa-store", |one| {
            one["spec"]["template"]["spec"]["containers"][0]["image"] = "new".into();
        })
        .expect("changed");
    let both = in_time(cluster.pods("store", 2, |_| true)).await;
    assert!(both.iter().all(|pod| !object::is_terminating(pod)));
    let new = both
        .iter()
        .find(|pod| object::name(pod) != object::name(&old))
        .expect("a new pod");
    cluster.set_phase(new, "Running");
    in_time(cluster.until(&resources::PODS, object::name(&old), object::is_terminating)).await;
    cluster.finish(&old);
    let done = in_time(cluster.until(&resources::DEPLOYMENTS, "wa-store", |one| {
        one["status"]["replicas"] == 1 && one["status"]["updatedReplicas"] == 1
    }))
    .await;
    assert_eq!(
        done["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pod = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.finish(&pod);
    let next = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    assert_ne!(object::name(&next), object::name(&pod));
}
