//! Claims and volumes.

use serde_json::{Value, json};

use super::{cluster, in_time};
use crate::api::resources;
use crate::store::{DeleteOptions, object};

fn claim(class: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "cpd" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } } },
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

fn storage_class(mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": "rbd", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": "rbd.csi.ceph.com", "reclaimPolicy": "Delete", "volumeBindingMode": mode,
    })
}

#[tokio::test]
async fn a_claim_gets_a_volume_of_the_default_class() {
    let cluster = cluster();
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    cluster.create(&resources::CLAIMS, claim(None));
    let bound = in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
    assert_eq!(bound["spec"]["storageClassName"], "rbd");
    assert_eq!(bound["status"]["capacity"]["storage"], "10Gi");
    let volume = cluster.get(
        &resources::VOLUMES,
        bound["spec"]["volumeName"].as_str().expect("a volume"),
    );
    assert_eq!(volume["spec"]["claimRef"]["name"], "data");
    assert_eq!(volume["status"]["phase"], "Bound");
}

#[tokio::test]
async fn a_class_that_waits_for_the_first_consumer_binds_with_the_first_pod() {
    let cluster = cluster();
    cluster.create(
        &resources::STORAGE_CLASSES,
        storage_class("WaitForFirstConsumer"),
    );
    cluster.create(&resources::CLAIMS, claim(Some("rbd")));
    in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Pending"
    }))
    .await;
    assert!(
        cluster
            .store
            .list(&resources::VOLUMES, None)
            .items
            .is_empty()
    );
    cluster.create(&resources::PODS, pod_with_claim());
    in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
}

#[tokio::test]
async fn a_claim_in_use_goes_with_its_pod_and_its_volume_follows() {
    let cluster = cluster();
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    let unused = {
        let mut claim = claim(None);
        claim["metadata"]["name"] = "unused".into();
        claim
    };
    for claim in [claim(None), unused] {
        let claim = cluster.create(&resources::CLAIMS, claim);
        in_time(
            cluster.until(&resources::CLAIMS, object::name(&claim), |one| {
                one["status"]["phase"] == "Bound"
            }),
        )
        .await;
    }
    let bound = cluster.get(&resources::CLAIMS, "data");
    let pod = cluster.create(&resources::PODS, pod_with_claim());
    for name in ["data", "unused"] {
        cluster
            .store
            .delete(&resources::CLAIMS, "cpd", name, &DeleteOptions::default())
            .expect("deleted");
    }
    // The controller has looked at both once the one that nobody uses is gone.
    in_time(cluster.gone(&resources::CLAIMS, "cpd", "unused")).await;
    assert!(object::is_terminating(
        &cluster.get(&resources::CLAIMS, "data")
    ));
    cluster.finish(&pod);
    in_time(cluster.gone(&resources::CLAIMS, "cpd", "data")).await;
    let volume = bound["spec"]["volumeName"].as_str().expect("a name");
    in_time(cluster.gone(&resources::VOLUMES, "", volume)).await;
}

fn pod_with_claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "reader", "namespace": "cpd" },
        "spec": {
            "containers": [{ "name": "reader", "image": "reader:1" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    })
}
