//! What happens to objects whose owner goes, and what namespaces own.

use serde_json::json;

use super::{cluster, deployment, in_time, job};
use crate::meta::{object, resources};
use crate::store::{DeleteOptions, Propagation};

#[tokio::test]
async fn what_an_object_owns_goes_after_it() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    in_time(cluster.pods("store", 1, |_| true)).await;
    cluster
        .store
        .delete(
            &resources::DEPLOYMENTS,
            "cpd",
            "wa-store",
            &DeleteOptions::default(),
        )
        .expect("deleted");
    in_time(cluster.pods("store", 0, |_| true)).await;
    assert!(
        cluster
            .store
            .list(&resources::REPLICA_SETS, None)
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_foreground_deletion_takes_the_dependents_first() {
    let cluster = cluster();
    cluster.create(&resources::DEPLOYMENTS, deployment(1));
    let pod = in_time(cluster.pods("store", 1, |_| true)).await.remove(0);
    cluster.set_phase(&pod, "Running");
    let options = DeleteOptions {
        propagation: Some(Propagation::Foreground),
        ..DeleteOptions::default()
    };
    cluster
        .store
        .delete(&resources::DEPLOYMENTS, "cpd", "wa-store", &options)
        .expect("deleted");
    in_time(cluster.until(&resources::PODS, object::name(&pod), object::is_terminating)).await;
    assert!(object::is_terminating(
        &cluster.get(&resources::DEPLOYMENTS, "wa-store")
    ));
    cluster.finish(&pod);
    in_time(cluster.gone(&resources::DEPLOYMENTS, "cpd", "wa-store")).await;
}

#[tokio::test]
async fn orphans_stay_without_an_owner() {
    let cluster = cluster();
    cluster.create(&resources::JOBS, job("backup", &json!({})));
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    let options = DeleteOptions {
        propagation: Some(Propagation::Orphan),
        ..DeleteOptions::default()
    };
    cluster
        .store
        .delete(&resources::JOBS, "cpd", "backup", &options)
        .expect("deleted");
    in_time(cluster.until(&resources::PODS, object::name(&pod), |pod| {
        pod["metadata"].get("ownerReferences").is_none()
    }))
    .await;
    assert!(!object::is_terminating(
        &cluster.get(&resources::PODS, object::name(&pod))
    ));
}

#[tokio::test]
async fn every_namespace_gets_its_service_account() {
    let cluster = cluster();
    in_time(cluster.until(&resources::SERVICE_ACCOUNTS, "default", |_| true)).await;
    let account = cluster.get(&resources::SERVICE_ACCOUNTS, "default");
    assert_eq!(object::namespace(&account), "cpd");
}
