//! The ways to the volume's files, over every kind of storage: which are possible, why not, and that each brings the
//! same bytes and leaves nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;

use end_to_end::{Outcome, World};
use serde_json::{Value, json};
use wa_sandbox::world::{Profile, Storage};

fn info(world: &World, arguments: &[&str]) -> Value {
    let scratch = world.scratch();
    let arguments = [&["info", "-o", "json"], arguments].concat();
    let outcome = world.pvc(scratch.path(), &arguments).expect_code(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// What `info` says of a way.
fn way<'a>(info: &'a Value, method: &str) -> &'a Value {
    let methods = info["methods"].as_array().unwrap();
    methods.iter().find(|way| way["method"] == method).unwrap()
}

/// Fails the test unless that way is impossible, for this reason.
#[track_caller]
fn impossible(info: &Value, method: &str, reason: &str) {
    let way = way(info, method);
    assert_eq!(way["possible"], false, "{way}");
    let reasons = way["reasons"].to_string();
    assert!(reasons.contains(reason), "{reasons}");
}

/// Pulls the newest dump, which must arrive as it is on the volume, and leaves nothing.
#[track_caller]
fn pull(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    let all = [&["pull", "--latest", "--to", "sets"], arguments].concat();
    let outcome = world.pvc(scratch.path(), &all).expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));
    let there = fs::read(world.volume_directory().join(&world.dumps()[0])).unwrap();
    assert!(fs::read(set.join("store.dump")).unwrap() == there);
    world.expect_nothing_left();
    outcome
}

/// Lists the volume's files, and returns the way that was gone.
#[track_caller]
fn list(world: &World, arguments: &[&str]) -> (String, Outcome) {
    let scratch = world.scratch();
    let arguments = [&["list", "-o", "json"], arguments].concat();
    let outcome = world.pvc(scratch.path(), &arguments).expect_code(0);
    let listing: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let dumps = listing["files"].as_array().unwrap().iter();
    let dumps = dumps.filter(|file| file["kind"] == "dump").count();
    assert_eq!(dumps, world.dumps().len());
    (listing["via"].as_str().unwrap().to_owned(), outcome)
}

#[test]
fn info_tells_of_the_volume_and_of_the_next_backup() {
    let world = World::shared();
    let info = info(&world, &[]);
    assert_eq!(info["instance"], "wa");
    assert_eq!(info["namespace"], "cpd");
    assert_eq!(info["release"], "5.2.1");
    assert_eq!(
        info["claim"],
        json!({ "name": "wa-store-db-backup-pvc", "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": "10Gi" })
    );
    assert_eq!(info["volume"], world.volume_name());
    assert_eq!(info["storageClass"], "ocs-storagecluster-ceph-rbd");
    assert_eq!(info["space"], Value::Null);
    assert_eq!(info["mountedBy"], json!([]));
    let backups = &info["backups"];
    assert_eq!(backups["cronJob"], "wa-store-cronjob");
    assert_eq!(backups["schedule"], world.schedule());
    assert_eq!(backups["suspended"], false);
    assert_eq!(backups["activeJobs"], json!([]));
    let schedule = world.schedule();
    let hour = schedule.split(' ').nth(1).unwrap();
    let next = backups["next"].as_str().unwrap();
    assert!(next.ends_with(&format!("T{hour}:00:00Z")), "{next}");
    assert!(
        way(&info, "debug")["plan"]
            .as_str()
            .unwrap()
            .contains("CronJob")
    );
    assert!(
        way(&info, "snapshot")["plan"]
            .as_str()
            .unwrap()
            .contains("rbdplugin-snapclass")
    );
}

#[test]
fn info_measures_the_space_when_asked_and_leaves_nothing() {
    let world = World::shared();
    let info = info(&world, &["--measure"]);
    assert!(info["space"]["availableBytes"].as_u64().unwrap() > 0);
    world.expect_nothing_left();
}

#[test]
fn each_storage_has_its_ways() {
    for (storage, snapshot, portworx) in [
        (Storage::Ceph, None, Some("not Portworx's")),
        (
            Storage::CephWithoutSnapshots,
            Some("the cluster has no VolumeSnapshots"),
            Some("not Portworx's"),
        ),
        (Storage::CephOncePod, None, Some("not Portworx's")),
        (Storage::Local, None, Some("topolvm.io")),
        (Storage::Portworx, Some("not a CSI driver's"), None),
    ] {
        let world = World::shared_on(storage);
        let info = info(&world, &[]);
        assert_eq!(info["chosen"], "debug", "{storage}");
        impossible(&info, "pod", "no running pod has the claim mounted");
        for (method, reason) in [("snapshot", snapshot), ("portworx", portworx)] {
            match reason {
                Some(reason) => impossible(&info, method, reason),
                None => assert_eq!(way(&info, method)["possible"], true, "{storage}: {info}"),
            }
        }
    }
}

#[test]
fn each_way_brings_the_same_bytes() {
    for (storage, ways) in [
        (Storage::Ceph, &["debug", "snapshot"][..]),
        (Storage::CephOncePod, &["debug", "snapshot"]),
        (Storage::Local, &["debug", "snapshot"]),
        (Storage::Portworx, &["debug", "portworx"]),
    ] {
        let world = World::shared_on(storage);
        for way in ways {
            // The window of Portworx is not what is tested here.
            pull(&world, &["--via", way, "--window", "0s"])
                .expect_error(&[&format!("via {way}"), "undone"]);
        }
    }
}

#[test]
fn a_running_pod_is_used_and_nothing_is_made() {
    let world = World::shared();
    world.start_pod_on_volume("reader");
    let info = info(&world, &[]);
    assert_eq!(info["chosen"], "pod");
    assert!(info["space"]["usedBytes"].as_u64().unwrap() > 0);
    let mount = &info["mountedBy"][0];
    assert_eq!(mount["pod"], "reader");
    assert_eq!(mount["path"], "/data");
    let before = world.sandbox().requests().len();
    let (via, outcome) = list(&world, &[]);
    assert_eq!(via, "pod");
    outcome.expect_error(&["running pod reader has it at /data"]);
    pull(&world, &["--via", "pod"]);
    let made = world.sandbox().requests()[before..]
        .iter()
        .filter(|request| request.method == "POST" && !request.uri.contains("accessreviews"))
        .count();
    assert_eq!(made, 0);
    world.delete_pod("reader");
}

#[test]
fn a_helper_pod_shares_the_node_with_the_pod_that_has_the_volume() {
    let world = World::shared();
    world.start_pod_on_volume("reader");
    let node = info(&world, &[])["mountedBy"][0]["node"].clone();
    let expected = format!("on {}, where the volume is in use", node.as_str().unwrap());
    let (via, outcome) = list(&world, &["--via", "debug"]);
    assert_eq!(via, "debug");
    outcome.expect_error(&[&expected]);
    pull(&world, &["--via", "debug"]);
    // A snapshot does not care.
    pull(&world, &["--via", "snapshot"]);
    world.delete_pod("reader");
}

#[test]
fn a_volume_for_one_pod_is_read_through_that_pod_or_a_snapshot() {
    let world = World::shared_on(Storage::CephOncePod);
    world.start_pod_on_volume("reader");
    let info = info(&world, &[]);
    assert_eq!(info["chosen"], "pod");
    impossible(&info, "debug", "ReadWriteOncePod");
    impossible(&info, "debug", "reader");
    let scratch = world.scratch();
    world
        .pvc(scratch.path(), &["list", "--via", "debug"])
        .expect_code(1)
        .expect_error(&[
            "ReadWriteOncePod",
            "pod reader has it",
            "nothing was changed",
        ]);
    pull(&world, &["--via", "snapshot"]);
    world.delete_pod("reader");
    world.expect_nothing_left();
}

#[test]
fn the_pod_of_a_backup_is_used_only_when_asked_for() {
    let world = World::shared();
    world.start_job_on_volume("slow-backup");
    let info = info(&world, &[]);
    assert_eq!(info["chosen"], "debug");
    assert_eq!(info["backups"]["activeJobs"], json!(["slow-backup"]));
    assert_eq!(list(&world, &["--via", "pod"]).0, "pod");
    world.kubectl(&["delete", "job", "slow-backup", "--wait", "--timeout=60s"]);
    world.expect_nothing_left();
}

#[test]
fn a_claim_from_a_snapshot_is_as_large_as_the_snapshot_needs() {
    let world = World::shared_on(Storage::Local);
    let volume = world.volume_name();
    let grown = r#"{"spec":{"capacity":{"storage":"13Gi"}}}"#;
    world.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", grown]);
    pull(&world, &["--via", "snapshot"]);
}

#[test]
fn classes_and_image_are_the_users_choice() {
    let world = World::shared();
    let image = world.kubectl(&[
        "get",
        "deployment",
        "-l",
        "component=store",
        "-o",
        "jsonpath={.items[0].spec.template.spec.containers[0].image}",
    ]);
    world.create(&json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": { "name": "by-hand" },
        "driver": "openshift-storage.rbd.csi.ceph.com", "deletionPolicy": "Delete",
    }));
    let chosen = [
        "--via",
        "snapshot",
        "--snapshot-class",
        "by-hand",
        "--storage-class",
        "ocs-storagecluster-ceph-rbd",
        "--image",
        &image,
    ];
    pull(&world, &chosen).expect_error(&["with class by-hand"]);
    pull(&world, &["--via", "debug", "--image", &image]);
    // The driver's default class wins over its others.
    let default = "snapshot.storage.kubernetes.io/is-default-class=true";
    world.kubectl(&["annotate", "volumesnapshotclass", "by-hand", default]);
    let plan = way(&info(&world, &[]), "snapshot")["plan"].clone();
    assert!(plan.as_str().unwrap().contains("by-hand"), "{plan}");
    world.kubectl(&["delete", "volumesnapshotclass", "by-hand"]);
}

#[test]
fn another_claim_is_reached_like_the_instances_own() {
    // Also bound only when the helper pod comes: nothing is on it yet.
    for storage in [Storage::Ceph, Storage::Local] {
        let world = World::shared_on(storage);
        let scratch = world.scratch();
        world.create(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "by-hand" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        }));
        let list = ["list", "--pvc", "by-hand", "-o", "json"];
        let listed = world.pvc(scratch.path(), &list);
        let info = info(&world, &["--pvc", "by-hand"]);
        world.kubectl(&["delete", "pvc", "by-hand", "--wait"]);
        assert_eq!(info["claim"]["name"], "by-hand");
        assert_eq!(info["claim"]["phase"], "Bound");
        let listed = listed.expect_code(0).json();
        assert_eq!(
            listed,
            json!({ "claim": "by-hand", "via": "debug", "files": [] })
        );
        world.expect_nothing_left();
    }
}

#[test]
fn releases_of_old_have_another_claim_and_no_key() {
    let world = World::start(Profile::V4_0);
    assert_eq!(info(&world, &[])["claim"]["name"], "wa-store-pvc");
    let scratch = world.scratch();
    let outcome = pull(&world, &["-o", "json"]);
    let sets: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let files = sets["sets"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{files:?}");

    // Without a CronJob, a Job's pod that has ended still tells what a helper pod must be like.
    let cron_job = world.sandbox().names().cron_job();
    world.kubectl(&["delete", "cronjob", &cron_job, "--cascade=orphan"]);
    let without = info(&world, &[]);
    assert_eq!(without["backups"], Value::Null);
    let plan = way(&without, "debug")["plan"].clone();
    assert!(plan.as_str().unwrap().contains("finished pod"), "{plan}");
    let image = world.kubectl(&[
        "get",
        "pod",
        "-o",
        "jsonpath={.items[0].spec.containers[0].image}",
    ]);
    pull(&world, &["--via", "debug"]);
    // Without either, only an image helps.
    world.kubectl(&["delete", "jobs", "--all", "--wait"]);
    world
        .pvc(scratch.path(), &["list"])
        .expect_code(1)
        .expect_error(&["neither a CronJob nor a finished pod", "--image"]);
    pull(&world, &["--via", "snapshot", "--image", &image]);
}
