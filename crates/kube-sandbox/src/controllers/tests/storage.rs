//! Claims and volumes.

use serde_json::{Value, json};

use super::{cluster, in_time};
use crate::disks::{Delay, Operation};
use crate::meta::{object, resources};
use crate::store::DeleteOptions;

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
    assert_eq!(
        in_time(cluster.reported("data", "WaitForFirstConsumer")).await,
        "waiting for first consumer to be created before binding"
    );
    cluster.create(&resources::PODS, pod_with_claim());
    assert_eq!(
        in_time(cluster.reported("data", "WaitForPodScheduled")).await,
        "waiting for pod reader to be scheduled"
    );
    cluster.place("data", "node2");
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

#[tokio::test]
async fn a_volume_of_one_nodes_disks_can_be_reached_only_from_there() {
    let cluster = cluster();
    let mut class = storage_class("WaitForFirstConsumer");
    class["provisioner"] = "topolvm.io".into();
    cluster.create(&resources::STORAGE_CLASSES, class);
    cluster.create(&resources::CLAIMS, claim(None));
    in_time(cluster.reported("data", "WaitForFirstConsumer")).await;
    cluster.place("data", "node2");
    let bound = in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
    let volume = cluster.get(
        &resources::VOLUMES,
        bound["spec"]["volumeName"].as_str().expect("a volume"),
    );
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    assert_eq!(terms[0]["matchExpressions"][0]["values"], json!(["node2"]));
}

#[tokio::test]
async fn a_claim_that_cannot_be_bound_is_reported_why() {
    let cluster = cluster();
    cluster.create(&resources::CLAIMS, claim(Some("missing")));
    assert_eq!(
        in_time(cluster.reported("data", "ProvisioningFailed")).await,
        r#"storageclass.storage.k8s.io "missing" not found"#
    );
    let mut without = claim(Some(""));
    without["metadata"]["name"] = "without".into();
    cluster.create(&resources::CLAIMS, without);
    assert_eq!(
        in_time(cluster.reported("without", "FailedBinding")).await,
        "no persistent volumes available for this claim and no storage class is set"
    );
}

#[tokio::test]
async fn a_volume_that_is_never_made_leaves_its_claim_pending() {
    let cluster = cluster();
    cluster.disks.set_delay(Operation::Provision, Delay::Never);
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    cluster.create(&resources::CLAIMS, claim(None));
    assert_eq!(
        in_time(cluster.reported("data", "ExternalProvisioning")).await,
        "Waiting for a volume to be created either by the external provisioner 'rbd.csi.ceph.com' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    let pending = cluster.get(&resources::CLAIMS, "data");
    assert_eq!(pending["status"]["phase"], "Pending");
    cluster
        .disks
        .set_delay(Operation::Provision, Delay::default());
    in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
}

#[tokio::test]
async fn a_volume_of_one_claim_is_not_given_to_another_that_names_it() {
    let cluster = cluster();
    cluster.create(&resources::STORAGE_CLASSES, storage_class("Immediate"));
    cluster.create(&resources::CLAIMS, claim(None));
    let bound = in_time(cluster.until(&resources::CLAIMS, "data", |one| {
        one["status"]["phase"] == "Bound"
    }))
    .await;
    let mut thief = claim(None);
    thief["metadata"]["name"] = "thief".into();
    thief["spec"]["volumeName"] = bound["spec"]["volumeName"].clone();
    cluster.create(&resources::CLAIMS, thief);
    let message = in_time(cluster.reported("thief", "FailedBinding")).await;
    assert!(
        message.ends_with("already bound to a different claim."),
        "{message}"
    );
    let thief = cluster.get(&resources::CLAIMS, "thief");
    assert_eq!(thief["status"]["phase"], "Pending");
}

#[tokio::test]
async fn a_volume_without_a_claim_waits_for_one_whatever_its_reclaim_policy() {
    let cluster = cluster();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "spare" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "10Gi" },
            "persistentVolumeReclaimPolicy": "Delete",
        },
        "status": { "phase": "Pending" },
    });
    cluster.create(&resources::VOLUMES, volume);
    let spare = cluster.until(&resources::VOLUMES, "spare", |one| {
        one["status"]["phase"] == "Available"
    });
    let spare = in_time(spare).await;
    assert!(!object::is_terminating(&spare));
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
