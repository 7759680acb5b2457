//! Snapshots, from the request to the claim that is filled from them.

use std::fs;

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Cluster, cluster, in_time};
use crate::disks::{Delay, Operation};
use crate::meta::{Object, Resource, object, resources};
use crate::store::DeleteOptions;

const DRIVER: &str = "openshift-storage.rbd.csi.ceph.com";

/// A cluster with a claim `dumps` of 10 GiB, bound to a volume with one file, and a snapshot class `snapclass`.
async fn cluster_with_dumps() -> Cluster {
    let cluster = cluster();
    for (name, driver) in [("rbd", DRIVER), ("other", "other.csi")] {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name }, "provisioner": driver,
        });
        cluster.create(&resources::STORAGE_CLASSES, class);
    }
    cluster.create(&resources::SNAPSHOT_CLASSES, class("snapclass", DRIVER));
    cluster.create(&resources::CLAIMS, claim("dumps", "10Gi"));
    let directory = cluster.disks.volume(&bound(&cluster, "dumps").await);
    fs::create_dir(&directory).expect("a volume");
    fs::write(directory.join("store.dump_1"), "before").expect("a file");
    cluster
}

fn class(name: &str, driver: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": { "name": name },
        "driver": driver, "deletionPolicy": "Delete",
    })
}

fn claim(name: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name, "namespace": "cpd" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "rbd", "resources": { "requests": { "storage": size } },
        },
    })
}

fn restored(name: &str, size: &str) -> Value {
    let mut claim = claim(name, size);
    claim["spec"]["dataSource"] =
        json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap" });
    claim
}

fn snapshot(class: Option<&str>) -> Value {
    let mut snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": "snap", "namespace": "cpd" },
        "spec": { "source": { "persistentVolumeClaimName": "dumps" } },
    });
    if let Some(class) = class {
        snapshot["spec"]["volumeSnapshotClassName"] = class.into();
    }
    snapshot
}

async fn ready(cluster: &Cluster) -> Object {
    let ready = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        one["status"]["readyToUse"] == true
    });
    in_time(ready).await
}

async fn bound(cluster: &Cluster, claim: &str) -> String {
    let bound = cluster.until(&resources::CLAIMS, claim, |one| {
        one["status"]["phase"] == "Bound"
    });
    let bound = in_time(bound).await;
    let volume = bound["spec"]["volumeName"].as_str();
    volume.expect("a volume").to_owned()
}

fn delete(cluster: &Cluster, resource: &Resource, name: &str) {
    cluster
        .store
        .delete(resource, "cpd", name, &DeleteOptions::default())
        .expect("deleted");
}

#[tokio::test]
async fn a_claim_from_a_snapshot_has_what_the_volume_had_at_that_moment() {
    let cluster = cluster_with_dumps().await;
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
    let snapshot = ready(&cluster).await;
    assert_eq!(snapshot["status"]["restoreSize"], "10Gi");
    assert!(snapshot["status"]["creationTime"].is_string());
    let name = format!("snapcontent-{}", object::uid(&snapshot));
    assert_eq!(snapshot["status"]["boundVolumeSnapshotContentName"], name);
    let content = cluster.get(&resources::SNAPSHOT_CONTENTS, &name);
    assert_eq!(content["status"]["restoreSize"], 10_u64 << 30);
    assert_eq!(
        in_time(cluster.reported("snap", "SnapshotReady")).await,
        "Snapshot cpd/snap is ready to use."
    );

    let source = bound(&cluster, "dumps").await;
    fs::write(cluster.disks.volume(&source).join("store.dump_1"), "after").expect("a file");
    cluster.create(&resources::CLAIMS, restored("restored", "10Gi"));
    let volume = cluster.disks.volume(&bound(&cluster, "restored").await);
    let restored = fs::read(volume.join("store.dump_1")).expect("a file");
    assert_eq!(restored, b"before");

    delete(&cluster, &resources::SNAPSHOTS, "snap");
    in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
    in_time(cluster.gone(&resources::SNAPSHOT_CONTENTS, "", &name)).await;
    delete(&cluster, &resources::CLAIMS, "restored");
    let gone = volume.file_name().and_then(|name| name.to_str());
    in_time(cluster.gone(&resources::VOLUMES, "", gone.expect("a name"))).await;
    assert!(!volume.exists());
}

#[tokio::test]
async fn a_claim_smaller_than_its_snapshot_stays_pending_and_is_reported_the_sizes() {
    let cluster = cluster_with_dumps().await;
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
    ready(&cluster).await;
    cluster.create(&resources::CLAIMS, restored("restored", "1Gi"));
    assert_eq!(
        in_time(cluster.reported("restored", "ProvisioningFailed")).await,
        "failed to provision volume with StorageClass \"rbd\": error getting handle for DataSource Type VolumeSnapshot by \
         Name snap: requested volume size 1073741824 is less than the size 10737418240 for the source snapshot snap"
    );
    let claim = cluster.get(&resources::CLAIMS, "restored");
    assert_eq!(claim["status"]["phase"], "Pending");
    assert_eq!(claim["spec"]["dataSourceRef"]["name"], "snap");
}

#[tokio::test]
async fn a_snapshot_that_never_gets_ready_fills_no_claim_and_outlives_the_one_that_waits() {
    let cluster = cluster_with_dumps().await;
    cluster.disks.set_delay(Operation::Snapshot, Delay::Never);
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
    cluster.create(&resources::CLAIMS, restored("restored", "10Gi"));
    let created = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        one["status"]["creationTime"].is_string()
    });
    let created = in_time(created).await;
    assert_eq!(created["status"]["readyToUse"], false);
    assert!(created["status"]["restoreSize"].is_null());
    let not_ready = "failed to provision volume with StorageClass \"rbd\": error getting handle for DataSource Type \
               VolumeSnapshot by Name snap: snapshot snap is not Ready";
    // The first attempts may have come before the snapshot was bound.
    let message = async {
        let mut events = cluster.store.watch(&resources::EVENTS, None, None).boxed();
        while let Some(event) = events.next().await {
            let event = event.expect("the watch goes on").object;
            if event["message"] == not_ready {
                return;
            }
        }
    };
    in_time(message).await;

    delete(&cluster, &resources::SNAPSHOTS, "snap");
    assert_eq!(
        in_time(cluster.reported("snap", "SnapshotDeletePending")).await,
        "Snapshot is being used to restore a PVC"
    );
    delete(&cluster, &resources::CLAIMS, "restored");
    in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
}

/// Waits until the driver has been asked for the snapshot, and returns the content's name.
async fn being_taken(cluster: &Cluster) -> String {
    let bound = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        one["status"]["boundVolumeSnapshotContentName"].is_string()
    });
    let bound = in_time(bound).await;
    let name = bound["status"]["boundVolumeSnapshotContentName"].as_str();
    let name = name.expect("a name").to_owned();
    let asked = cluster.until(&resources::SNAPSHOT_CONTENTS, &name, |one| {
        one["metadata"]["annotations"]
            .get("snapshot.storage.kubernetes.io/volumesnapshot-being-created")
            .is_some()
    });
    in_time(asked).await;
    name
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_while_its_driver_takes_it_stays_until_the_resync() {
    let cluster = cluster_with_dumps().await;
    let disks = &cluster.disks;
    disks.set_delay(Operation::TakeSnapshot, Delay::Never);
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
    let content = being_taken(&cluster).await;
    delete(&cluster, &resources::SNAPSHOTS, "snap");
    disks.set_delay(Operation::TakeSnapshot, Delay::default());
    let taken = cluster.until(&resources::SNAPSHOT_CONTENTS, &content, |one| {
        one["status"]["readyToUse"] == true && object::is_terminating(one)
    });
    in_time(taken).await;
    let left = cluster.get(&resources::SNAPSHOTS, "snap");
    assert_eq!(
        left["metadata"]["finalizers"],
        json!(["snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"])
    );
    assert_ne!(left["status"]["readyToUse"], true);

    disks.set_delay(Operation::Resync, Delay::default());
    in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
    in_time(cluster.gone(&resources::SNAPSHOT_CONTENTS, "", &content)).await;
}

#[tokio::test]
async fn a_driver_that_may_still_be_at_work_recovers_and_one_that_refused_is_done() {
    for (answer, stays) in [
        ("rpc error: code = DeadlineExceeded desc = too slow", true),
        ("rpc error: code = InvalidArgument desc = no pool", false),
    ] {
        let cluster = cluster_with_dumps().await;
        let disks = &cluster.disks;
        disks.refuse(Operation::TakeSnapshot, Some(answer));
        cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
        let failed = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
            one["status"]["error"]["message"].is_string()
        });
        in_time(failed).await;
        if stays {
            disks.refuse(Operation::TakeSnapshot, None);
            let recovered = ready(&cluster).await;
            assert_eq!(recovered["status"]["error"], Value::Null);
        }
        delete(&cluster, &resources::SNAPSHOTS, "snap");
        in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
    }
}

#[tokio::test]
async fn a_snapshot_whose_claim_went_while_it_was_filled_stays_for_good() {
    let cluster = cluster_with_dumps().await;
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("snapclass")));
    ready(&cluster).await;
    cluster.disks.set_delay(Operation::Provision, Delay::Never);
    cluster.create(&resources::CLAIMS, restored("restored", "10Gi"));
    let source = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        one["metadata"]["finalizers"]
            .to_string()
            .contains("provisioner.storage")
    });
    in_time(source).await;
    delete(&cluster, &resources::CLAIMS, "restored");
    in_time(cluster.gone(&resources::CLAIMS, "cpd", "restored")).await;
    delete(&cluster, &resources::SNAPSHOTS, "snap");
    let left = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        object::is_terminating(one)
            && *one.pointer("/metadata/finalizers").unwrap_or(&Value::Null)
                == json!(["provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection"])
    });
    in_time(left).await;
}

#[tokio::test]
async fn a_snapshot_of_a_class_that_does_not_fit_says_so_in_its_status() {
    for (name, reason, expected) in [
        (
            Some("missing"),
            "SnapshotContentCreationFailed",
            "Failed to create snapshot content with error failed to get input parameters to create snapshot snap: \
             \"volumesnapshotclass.snapshot.storage.k8s.io \\\"missing\\\" not found\"",
        ),
        (
            None,
            "SetDefaultSnapshotClassFailed",
            "Failed to set default snapshot class with error cannot find default snapshot class",
        ),
    ] {
        let cluster = cluster_with_dumps().await;
        cluster.create(&resources::SNAPSHOTS, snapshot(name));
        assert_eq!(in_time(cluster.reported("snap", reason)).await, expected);
        let failed = cluster.get(&resources::SNAPSHOTS, "snap");
        assert_eq!(failed["status"]["error"]["message"], expected);
        assert_eq!(failed["status"]["readyToUse"], false);
        delete(&cluster, &resources::SNAPSHOTS, "snap");
        in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
    }
}

#[tokio::test]
async fn the_class_of_another_driver_gets_that_drivers_refusal() {
    let cluster = cluster_with_dumps().await;
    cluster.create(&resources::SNAPSHOT_CLASSES, class("foreign", "other.csi"));
    cluster.create(&resources::SNAPSHOTS, snapshot(Some("foreign")));
    let failed = cluster.until(&resources::SNAPSHOTS, "snap", |one| {
        one["status"]["error"]["message"].is_string()
    });
    let failed = in_time(failed).await;
    let message = failed["status"]["error"]["message"].as_str();
    assert!(
        message.is_some_and(|message| message.contains("code = NotFound")),
        "{message:?}"
    );
    delete(&cluster, &resources::SNAPSHOTS, "snap");
    in_time(cluster.gone(&resources::SNAPSHOTS, "cpd", "snap")).await;
}

#[tokio::test]
async fn a_default_class_of_the_volumes_driver_is_taken_when_none_is_named() {
    let cluster = cluster_with_dumps().await;
    let mut default = class("default", DRIVER);
    default["metadata"]["annotations"] =
        json!({ "snapshot.storage.kubernetes.io/is-default-class": "true" });
    cluster.create(&resources::SNAPSHOT_CLASSES, default);
    cluster.create(&resources::SNAPSHOTS, snapshot(None));
    let snapshot = ready(&cluster).await;
    assert_eq!(snapshot["spec"]["volumeSnapshotClassName"], "default");
}
