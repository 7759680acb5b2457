//! Snapshots, late binding and two nodes in a whole cluster, seen by a real kubectl.

use std::fs;
use std::time::Duration;

use kube_sandbox::disks::{Delay, Operation};
use serde_json::{Value, json};
use wa_sandbox::world::Storage;

use crate::support::World;

impl World {
    #[track_caller]
    fn apply(&self, object: &Value) {
        let path = self.directory.path().join("manifest.json");
        fs::write(&path, object.to_string()).unwrap();
        self.ask(&["apply", "-f", path.to_str().unwrap()]);
    }

    #[track_caller]
    fn wait(&self, what: &str, condition: &str) {
        let condition = format!("--for=jsonpath={condition}");
        let output = self.kubectl(&["wait", what, &condition, "--timeout=30s"]);
        assert!(
            output.status.success(),
            "{what} never was as wanted: {}",
            self.ask(&["describe", what])
        );
    }

    /// A pod that reads a claim with the CronJob's image.
    fn reader(&self, name: &str, claim: &str, script: &str) -> Value {
        let image = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
        let image = self.ask(&["get", "cronjob", "wa-store-cronjob", "-o", image]);
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "cpd" },
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "volumes": [{ "name": "dumps", "persistentVolumeClaim": { "claimName": claim } }],
                "containers": [{
                    "name": "reader", "image": image, "command": ["sh", "-c", script],
                    "volumeMounts": [{ "name": "dumps", "mountPath": "/dumps" }],
                }],
            },
        })
    }

    fn snapshot(&self, class: &str) -> Value {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": { "name": "snap", "namespace": "cpd" },
            "spec": {
                "volumeSnapshotClassName": class,
                "source": { "persistentVolumeClaimName": self.sandbox.names().backup_claim },
            },
        })
    }
}

fn restored(class: &str, size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "restored", "namespace": "cpd" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": { "requests": { "storage": size } },
            "dataSource": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap" },
        },
    })
}

/// The words of the line that begins with `name`, without those that tell a time.
fn row(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{table}"));
    let words = line.split_whitespace().map(str::to_owned);
    words
        .filter(|word| !(word.ends_with('s') && word[..word.len() - 1].parse::<u32>().is_ok()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_the_backup_volume_is_restored_read_and_removed() {
    let world = World::start(|config| config.storage = Storage::Ceph).await;
    let source = world.sandbox.names().backup_claim.clone();
    let disks = world.sandbox.disks();
    disks.set_delay(Operation::Snapshot, Delay::Of(Duration::from_millis(500)));
    world.apply(&world.snapshot("ocs-storagecluster-rbdplugin-snapclass"));
    world.wait("volumesnapshot/snap", "{.status.readyToUse}=true");

    let uid = world.ask(&["get", "vs", "snap", "-o", "jsonpath={.metadata.uid}"]);
    let table = world.ask(&["get", "vs"]);
    let headers = [
        "NAME",
        "READYTOUSE",
        "SOURCEPVC",
        "SOURCESNAPSHOTCONTENT",
        "RESTORESIZE",
        "SNAPSHOTCLASS",
        "SNAPSHOTCONTENT",
        "CREATIONTIME",
        "AGE",
    ];
    assert_eq!(row(&table, "NAME"), headers);
    let content = format!("snapcontent-{uid}");
    let class = "ocs-storagecluster-rbdplugin-snapclass";
    assert_eq!(
        row(&table, "snap"),
        ["snap", "true", &source, "10Gi", class, &content]
    );
    assert_eq!(
        row(&world.ask(&["get", "vsc"]), "snapcontent"),
        [
            &content,
            "true",
            "10737418240",
            "Delete",
            "openshift-storage.rbd.csi.ceph.com",
            class,
            "snap",
            "cpd"
        ]
    );
    assert_eq!(
        row(&world.ask(&["get", "vsclass"]), class),
        [class, "openshift-storage.rbd.csi.ceph.com", "Delete"]
    );
    let described = world.ask(&["describe", "vs", "snap"]);
    assert!(
        described.contains("Snapshot cpd/snap is ready to use."),
        "{described}"
    );

    world.apply(&restored("ocs-storagecluster-ceph-rbd", "10Gi"));
    world.wait("pvc/restored", "{.status.phase}=Bound");
    let described = world.ask(&["describe", "pvc", "restored"]);
    assert!(
        described.contains("Successfully provisioned volume pvc-"),
        "{described}"
    );
    assert!(described.contains("VolumeSnapshot"), "{described}");
    let list = "cd /dumps && cksum * && stat -c '%n %Y %a' *";
    for (name, claim) in [("one", source.as_str()), ("two", "restored")] {
        world.apply(&world.reader(name, claim, list));
        world.wait(&format!("pod/{name}"), "{.status.phase}=Succeeded");
    }
    let files = world.ask(&["logs", "two"]);
    assert!(files.contains("store.dump_"), "{files}");
    assert_eq!(files, world.ask(&["logs", "one"]));

    world.ask(&["delete", "pod", "one", "two"]);
    world.ask(&["delete", "pvc", "restored"]);
    world.ask(&["delete", "vs", "snap"]);
    assert_eq!(world.ask(&["get", "vs,vsc", "-o", "name"]), "");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_volumes_bind_with_their_first_pod_and_keep_it_on_their_node() {
    let world = World::start(|config| config.storage = Storage::Local).await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "late", "namespace": "cpd" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    world.apply(&claim);
    world.wait("pvc/late", "{.spec.storageClassName}=lvms-vg1");
    let described = world.ask(&["describe", "pvc", "late"]);
    assert!(
        described.contains("waiting for first consumer to be created before binding"),
        "{described}"
    );
    let mut writer = world.reader("writer", "late", "echo here >/dumps/file");
    writer["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": "node2" });
    world.apply(&writer);
    world.wait("pod/writer", "{.status.phase}=Succeeded");
    world.apply(&world.reader("reader", "late", "cat /dumps/file"));
    world.wait("pod/reader", "{.status.phase}=Succeeded");
    let node = "jsonpath={.spec.nodeName}";
    assert_eq!(world.ask(&["get", "pod", "reader", "-o", node]), "node2");

    world.ask(&["cordon", "node2"]);
    let nodes = world.ask(&["get", "nodes"]);
    assert_eq!(row(&nodes, "node2")[1], "Ready,SchedulingDisabled");
    world.apply(&world.reader("stuck", "late", "true"));
    world.wait("pod/stuck", "{.status.conditions[0].reason}=Unschedulable");
    let described = world.ask(&["describe", "pod", "stuck"]);
    assert!(
        described.contains(
            "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) were unschedulable."
        ),
        "{described}"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_snapshot_controller_its_kinds_are_not_served() {
    let world = World::start(|config| config.storage = Storage::CephWithoutSnapshots).await;
    let refused = world.kubectl(&["get", "vs"]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(
        complaint.contains("the server doesn't have a resource type"),
        "{complaint}"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_for_one_pod_are_backed_up_to_by_one_job_at_a_time() {
    let world = World::start(|config| config.storage = Storage::CephOncePod).await;
    let claim = world.sandbox.names().backup_claim.clone();
    let table = world.ask(&["get", "pvc", &claim]);
    assert!(row(&table, &claim).contains(&"RWOP".to_owned()), "{table}");
    world.apply(&world.reader("holder", &claim, "exec sleep 1000"));
    world.wait("pod/holder", "{.status.phase}=Running");
    world.ask(&["create", "job", "--from=cronjob/wa-store-cronjob", "manual"]);
    let refused = "--for=jsonpath={.status.conditions[0].reason}=Unschedulable";
    let pods = ["wait", "pod", "-l", "job-name=manual"];
    world.ask(&[&pods[..], &[refused, "--timeout=30s"]].concat());
    world.ask(&["delete", "pod", "holder"]);
    world.ask(&[
        "wait",
        "job/manual",
        "--for=condition=complete",
        "--timeout=60s",
    ]);
    world.sandbox.stop().await;
}
