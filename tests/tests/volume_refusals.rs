//! What keeps `kubectl wa-pvc` from the files: each is named, with what to do, and nothing is left here or there.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use end_to_end::{Outcome, Request, World, binary, run};
use kube_sandbox::disks::{Delay, Disks, Operation};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::{Value, json};
use wa_sandbox::world::Storage;

/// Runs `pull --latest` with more arguments; it must fail with exit code 1 and leave nothing, here and in the cluster.
#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> Outcome {
    refused_command(
        world,
        &[&["pull", "--latest", "--to", "sets"], arguments].concat(),
    )
}

#[track_caller]
fn refused_command(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    let outcome = world.pvc(scratch.path(), arguments).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    world.expect_nothing_left();
    outcome
}

/// How many objects were asked to be made, other than questions for permissions.
fn created(world: &World) -> usize {
    let requests = world.sandbox().requests();
    requests
        .iter()
        .filter(|request| request.method == "POST" && !request.uri.contains("accessreviews"))
        .count()
}

/// As [`refused`], before the cluster was asked to make anything.
#[track_caller]
fn refused_at_once(world: &World, arguments: &[&str]) -> Outcome {
    let before = created(world);
    let outcome = refused(world, arguments);
    assert_eq!(created(world), before);
    outcome
}

fn forbid(world: &World, verb: &str, group: &str, resource: &str, subresource: &str) {
    world.fault(
        Matcher::default(),
        None,
        Effect::Forbid {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
        },
    );
}

/// A namespace with an instance and these objects in it.
#[track_caller]
fn namespace(world: &World, name: &str, objects: impl IntoIterator<Item = Value>) {
    world.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let instance = json!({"apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistant",
        "metadata": {"name": "wa"}, "spec": {"version": "5.2.1"}});
    for mut object in std::iter::once(instance).chain(objects) {
        object["metadata"]["namespace"] = name.into();
        world.create(&object);
    }
}

/// Changes the template of the CronJob's pods with a JSON merge patch.
fn patch_template(world: &World, spec: &Value) {
    let patch = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}});
    let cron_job = world.sandbox().names().cron_job();
    let patch = patch.to_string();
    world.kubectl(&["patch", "cronjob", &cron_job, "--type=merge", "-p", &patch]);
}

#[test]
fn every_name_that_is_not_on_the_volume_is_reported_at_once() {
    let world = World::shared();
    let dump = &world.dumps()[0];
    refused_command(
        &world,
        &["pull", "one", dump, "two\n\u{1b}[31m", "--to", "sets"],
    )
    .expect_error(&[
        "\"one\" is not on the volume",
        "\"two",
        "kubectl wa-pvc list",
    ]);
}

#[test]
fn nothing_or_too_much_selected_is_a_question_of_usage() {
    let world = World::shared();
    for arguments in [
        &["pull"][..],
        &["pull", "--latest", "--all"],
        &["pull", "file", "--latest"],
        &["pull", "--since", "yesterday"],
        &["pull", "--latest", "--streams", "0"],
        &["pull", "--latest", "--streams", "33"],
        &["pull", "--latest", "--via", "ssh"],
        &["pull", "--latest", "--timeout", "soon"],
    ] {
        let before = world.sandbox().requests().len();
        let outcome = refused_command(&world, arguments);
        assert!(outcome.stderr.contains("--help"), "{}", outcome.stderr);
        // What `expect_nothing_left` asks is not the plugin's.
        let plugins = &world.sandbox().requests()[before..];
        assert!(
            plugins
                .iter()
                .all(|request| !request.uri.contains("assistant"))
        );
    }
}

#[test]
fn no_dumps_since_then_is_no_success() {
    let world = World::shared();
    let arguments = ["pull", "--since", "2999-01-01", "--to", "sets"];
    refused_command(&world, &arguments).expect_error(&["no dumps since 2999-01-01"]);
}

#[test]
fn a_claim_or_cron_job_that_is_not_there_is_named() {
    let world = World::shared();
    refused_at_once(&world, &["--pvc", "nowhere"])
        .expect_error(&["\"nowhere\" not found", "kubectl get pvc"]);
    namespace(&world, "bare", []);
    refused_at_once(&world, &["-n", "bare"])
        .expect_error(&["wa-store-db-backup-pvc", "wa-store-pvc"]);
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "wa-store-db-backup-pvc"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    namespace(&world, "no-cron-job", [claim]);
    refused_at_once(&world, &["-n", "no-cron-job"]).expect_error(&[
        "no way to the volume's files",
        "no running pod has the claim mounted",
        "neither a CronJob nor a finished pod",
        "--image",
    ]);
}

#[test]
fn without_a_snapshot_class_for_the_driver_there_is_no_snapshot() {
    let world = World::shared_on(Storage::CephWithoutSnapshots);
    refused_at_once(&world, &["--via", "snapshot"]).expect_error(&["no VolumeSnapshots"]);
    let world = World::shared_on(Storage::Local);
    world.kubectl(&["delete", "volumesnapshotclass", "lvms-vg1"]);
    refused_at_once(&world, &["--via", "snapshot"])
        .expect_error(&["no VolumeSnapshotClass", "topolvm.io"]);
}

#[test]
fn a_snapshot_that_does_not_get_ready_is_given_up_and_removed() {
    let world = World::shared();
    let disks = world.sandbox().disks();
    disks.set_delay(Operation::Snapshot, Delay::Never);
    let outcome = refused(&world, &["--via", "snapshot", "--timeout", "2s"]);
    disks.set_delay(Operation::Snapshot, Delay::default());
    outcome.expect_error(&["is not ready after 2.0s", "--timeout", "undone"]);
}

#[test]
fn a_snapshot_that_fails_says_why_in_the_controllers_words() {
    let world = World::shared();
    let arguments = [
        "--via",
        "snapshot",
        "--snapshot-class",
        "nosuch",
        "--timeout",
        "2s",
    ];
    refused_at_once(&world, &arguments).expect_error(&["no VolumeSnapshotClass nosuch"]);
    // Who may not look for the class learns it from the controller.
    let group = "snapshot.storage.k8s.io";
    forbid(&world, "list", group, "volumesnapshotclasses", "");
    let outcome = refused(&world, &arguments);
    world.sandbox().faults().clear();
    outcome.expect_error(&["failed", "with class nosuch", "nosuch", "not found"]);
}

/// A pull whose restored claim gets no volume, until the pull gives up.
#[track_caller]
fn refused_without_volume(world: &World, set: impl Fn(&Disks, bool), timeout: &str) -> Outcome {
    const DELETES_POD: Request = ("DELETE", "/pods/");
    let disks = world.sandbox().disks();
    set(disks, true);
    let scratch = world.scratch();
    let way = ["pull", "--latest", "--via", "snapshot", "--timeout"];
    let mut pull = world.start_pvc(scratch.path(), &[&way[..], &[timeout]].concat());
    pull.until(DELETES_POD);
    set(disks, false);
    let outcome = pull.end().expect_code(1);
    world.expect_nothing_left();
    outcome
}

#[test]
fn a_claim_that_is_not_bound_is_given_up_and_everything_removed() {
    let world = World::shared();
    let never = |disks: &Disks, on| {
        let delay = if on { Delay::Never } else { Delay::default() };
        disks.set_delay(Operation::Provision, delay);
    };
    refused_without_volume(&world, never, "3s").expect_error(&["unbound", "undone"]);
}

/// The same, where the provisioner says this.
#[track_caller]
fn refused_by_provisioner(world: &World, answer: &str, timeout: &str) -> Outcome {
    let refuses =
        |disks: &Disks, on: bool| disks.refuse(Operation::Provision, on.then_some(answer));
    refused_without_volume(world, refuses, timeout)
}

#[test]
fn a_claim_that_its_provisioner_keeps_refusing_fails_fast_with_its_words() {
    let world = World::shared();
    let full = "quota of the pool is used up";
    refused_by_provisioner(&world, full, "5m").expect_error(&["gets no volume", full, "undone"]);
}

#[test]
fn a_claim_whose_copy_is_under_way_is_waited_for() {
    let world = World::shared();
    let under_way = "rpc error: code = Aborted desc = clone is already in progress";
    refused_by_provisioner(&world, under_way, "24s").expect_error(&[
        "gets no volume",
        under_way,
        "not running after 24",
    ]);
}

#[test]
fn a_pod_that_fits_no_node_is_reported_in_the_schedulers_words() {
    let world = World::shared();
    patch_template(&world, &json!({"nodeSelector": {"no": "such"}}));
    let began = Instant::now();
    let outcome = refused(&world, &["--via", "debug"]);
    patch_template(&world, &json!({"nodeSelector": null}));
    outcome.expect_error(&["0/2 nodes are available", "node affinity/selector"]);
    assert!(began.elapsed() < Duration::from_mins(1), "it was not fast");
}

#[test]
fn an_image_that_cannot_be_pulled_fails_fast_with_the_nodes_words() {
    let world = World::shared();
    for (way, image) in [("debug", "nosuch:1"), ("snapshot", "no/such@sha256:00")] {
        let began = Instant::now();
        refused(&world, &["--via", way, "--image", image]).expect_error(&[
            "helper pod does not start",
            image,
            "undone",
        ]);
        assert!(began.elapsed() < Duration::from_secs(30), "it was not fast");
    }
}

#[test]
fn a_permission_that_is_missing_is_named_before_anything_is_made() {
    let world = World::shared();
    let snapshots = "snapshot.storage.k8s.io";
    for (via, verb, group, resource, subresource) in [
        ("debug", "create", "", "pods", ""),
        ("debug", "delete", "", "pods", ""),
        ("debug", "create", "coordination.k8s.io", "leases", ""),
        ("debug", "create", "", "pods", "exec"),
        ("snapshot", "create", snapshots, "volumesnapshots", ""),
        ("snapshot", "delete", "", "persistentvolumeclaims", ""),
    ] {
        forbid(&world, verb, group, resource, subresource);
        let qualified = [resource, subresource].join("/");
        let expected = format!("{verb} {}", qualified.trim_end_matches('/'));
        refused_at_once(&world, &["--via", via]).expect_error(&["you may not", &expected]);
        world.sandbox().faults().clear();
    }
}

#[test]
fn ways_that_are_forbidden_are_named_together_and_another_one_is_taken() {
    let world = World::shared();
    let snapshots = "snapshot.storage.k8s.io";
    forbid(&world, "create", "", "pods", "");
    forbid(&world, "create", snapshots, "volumesnapshots", "");
    let expected = ["create pods", "create volumesnapshots", "no running pod"];
    refused_at_once(&world, &[]).expect_error(&expected);
    world.sandbox().faults().clear();

    world.start_pod_on_volume("reader");
    forbid(&world, "create", "", "pods", "");
    let scratch = world.scratch();
    let outcome = world.pvc(scratch.path(), &["list", "-o", "jsonpath={.via}"]);
    world.delete_pod("reader");
    assert_eq!(outcome.expect_code(0).stdout.trim(), "pod");
}

#[test]
fn a_container_without_a_tool_for_hashes_is_reported_and_nothing_is_kept() {
    let world = World::shared();
    let claim = &world.sandbox().names().backup_claim;
    let image = world.kubectl(&[
        "get",
        "pods",
        "-o",
        "jsonpath={.items[0].spec.containers[0].image}",
    ]);
    let tools = "for tool in cat dd head sh sleep stat tail tee wc; do ln -s $(command -v $tool) /tools/; done";
    world.create(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "poor"},
        "spec": {
            "containers": [
                {"name": "poor", "image": image, "command": ["sleep", "100000"], "env": [{"name": "PATH", "value": "/tools"}],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tools", "mountPath": "/tools"}]},
            ],
            "initContainers": [
                {"name": "tools", "image": image, "command": ["sh", "-c", tools],
                 "volumeMounts": [{"name": "tools", "mountPath": "/tools"}]},
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}, {"name": "tools", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 0,
        },
    }));
    world.kubectl(&[
        "wait",
        "pod",
        "poor",
        "--for=condition=Ready",
        "--timeout=60s",
    ]);
    let outcome = refused(&world, &["--via", "pod"]);
    world.delete_pod("poor");
    outcome.expect_error(&["the container has no sha256sum"]);
}

/// Pulls the newest dump with these options to a file system of so many bytes, and returns what is left on it too.
fn pull_to_small_disk(world: &World, bytes: u64, options: &str) -> Outcome {
    let pull = format!("\"$0\" pull --latest --to sets {options}; echo code=$?; find . -type f");
    let mut pull = world.on_small_disk(bytes, &pull, &binary("kubectl-wa-pvc"));
    let outcome = run(&mut pull).expect_code(0);
    world.expect_nothing_left();
    outcome
}

#[test]
fn a_disk_that_is_too_small_is_named_before_anything_is_fetched() {
    let world = World::shared();
    let outcome = pull_to_small_disk(&world, 8192, "");
    let outcome = outcome.expect_error(&["only 8.0 KiB are free", "--to"]);
    assert_eq!(outcome.stdout, "code=1\n");

    // Encrypted, it takes more than it has.
    let encrypted = "--encrypt-to age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
    let outcome = pull_to_small_disk(&world, room_for_newest(&world), encrypted);
    let outcome = outcome.expect_error(&["are free; nothing was fetched", "--to"]);
    assert_eq!(outcome.stdout, "code=1\n");
}

/// As many bytes as the newest dump takes, in whole blocks.
fn room_for_newest(world: &World) -> u64 {
    let dump = world.volume_directory().join(&world.dumps()[0]);
    fs::metadata(dump).unwrap().len().next_multiple_of(4096)
}

#[test]
fn a_disk_that_gets_full_keeps_what_has_arrived_and_no_set() {
    let world = World::shared();
    // Not for what is written beside it.
    let bytes = room_for_newest(&world);
    let outcome = pull_to_small_disk(&world, bytes, "").expect_error(&[
        "No space left on device",
        "kept in sets/wa-cpd-",
        "--resume",
    ]);
    let left: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(left[0], "code=1", "{}", outcome.stderr);
    for file in &left[1..] {
        assert!(file.contains("/store.dump.partial"), "{left:?}");
    }
}

#[test]
fn a_target_that_cannot_be_written_is_named_before_anything_is_made() {
    let world = World::shared();
    let scratch = world.scratch();
    fs::write(scratch.path().join("file"), "").unwrap();
    let read_only = scratch.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o500)).unwrap();
    let before = created(&world);
    world
        .pvc(scratch.path(), &["pull", "--latest", "--to", "file/sets"])
        .expect_code(1)
        .expect_error(&["file/sets", "not a directory"]);
    let mut pull = world.command_of_a_user(binary("kubectl-wa-pvc"));
    pull.args(["pull", "--latest", "--to", "read-only"]);
    run(pull.current_dir(scratch.path()))
        .expect_code(1)
        .expect_error(&["Permission denied", "--to"]);
    assert_eq!(created(&world), before);
    world.expect_nothing_left();
}
