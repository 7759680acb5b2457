//! `kubectl wa-restore rehearse`: whether a backup restores, found out beside the product, of which nothing is touched.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

#[path = "../../crates/object-sets/tests/store/server.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use end_to_end::{Outcome, Restored, World, binary, run, start, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use server::{BUCKET, Server};
use wa_sandbox::world::Profile;

const REHEARSE: [&str; 2] = ["rehearse", "sets/latest"];

/// A backup set in `sets` of the directory.
fn back_up(world: &World, directory: &Path) -> PathBuf {
    world
        .backup(directory, &["create", "--to", "sets"])
        .expect_code(0);
    world.only_set(&directory.join("sets"))
}

/// What rehearsals may have left.
fn left(world: &World) -> String {
    let all = ["get", "pods,leases,networkpolicies", "-o", "name"];
    let objects = world.kubectl(&all);
    let ours = objects.lines().filter(|name| name.contains("wa-rehearse"));
    ours.collect::<Vec<_>>().join(" ")
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_good_set_restores_and_that_is_written_beside_what_was_sealed() {
    let world = World::shared();
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let sealed = fs::read(set.join("backup.json")).unwrap();
    let mut far_side = world.far_side();

    let intended = [&REHEARSE[..], &["--dry-run"]].concat();
    let intended = world.restore(scratch.path(), &intended).expect_code(0);
    assert!(
        intended
            .stdout
            .contains("would be restored in a pod with the image of wa-postgres-16-1"),
        "{intended:?}"
    );
    assert_eq!(left(&world), "");

    let before = world.sandbox().requests().len();
    let done = world.restore(scratch.path(), &REHEARSE).expect_code(0);
    for part in [
        "restores in ",
        "into PostgreSQL 16",
        "7 tables with",
        "as in the archive",
        "Customer Care",
    ] {
        assert!(done.stdout.contains(part), "no {part:?} in {done:?}");
    }
    done.expect_error(&["a NetworkPolicy that lets nothing in or out"]);
    assert_eq!(left(&world), "");
    let requests = world.sandbox().requests();
    let changes: Vec<String> = requests[before..]
        .iter()
        .filter(|one| one.method != "GET" && !one.uri.contains("accessreviews"))
        .map(|one| format!("{} {}", one.method, one.uri))
        .collect();
    let is_own = |change: &&String| {
        [
            "wa-rehearse",
            "POST /api/v1/namespaces/cpd/pods",
            "/leases",
            "/networkpolicies",
        ]
        .iter()
        .any(|part| change.contains(part))
    };
    assert!(changes.iter().all(|change| is_own(&change)), "{changes:?}");
    far_side.expect_as_before();

    assert_eq!(fs::read(set.join("backup.json")).unwrap(), sealed);
    let record = set.join("rehearsal.json");
    assert_eq!(
        fs::metadata(&record).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let list = world
        .backup(scratch.path(), &["list", "sets"])
        .expect_code(0);
    assert!(list.stdout.contains("complete, restored on 20"), "{list:?}");
    let list = world
        .backup(scratch.path(), &["list", "sets", "-o", "json"])
        .json();
    assert_eq!(list["backups"][0]["rehearsal"]["tables"], 7);
    let path = set.display().to_string();
    let inspect = world
        .backup(scratch.path(), &["inspect", &path])
        .expect_code(0);
    assert!(
        inspect.stdout.contains("Rehearsal:   restored on 20"),
        "{inspect:?}"
    );
    world
        .backup(scratch.path(), &["verify", &path])
        .expect_code(0);

    // Of another dump in its place nothing is known.
    let json: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let sha256 = json["dumpSha256"].as_str().unwrap();
    let other = fs::read_to_string(&record)
        .unwrap()
        .replace(sha256, &"0".repeat(64));
    fs::write(&record, other).unwrap();
    let list = world
        .backup(scratch.path(), &["list", "sets"])
        .expect_code(0);
    assert!(!list.stdout.contains("restored on"), "{list:?}");
}

#[test]
fn a_damaged_set_and_one_without_data_are_refused_before_anything_is_made() {
    let world = World::shared();
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let dump = set.join("store.dump");
    let good = fs::read(&dump).unwrap();
    let before = world.sandbox().requests().len();

    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    fs::write(&dump, &damaged).unwrap();
    world
        .restore(scratch.path(), &REHEARSE)
        .expect_code(3)
        .expect_error(&["is not an intact backup"]);
    fs::write(&dump, &good[..middle]).unwrap();
    let path = set.display().to_string();
    let truncated = world.restore(scratch.path(), &["rehearse", &path]);
    truncated.expect_code(3).expect_error(&["is truncated"]);
    assert_eq!(
        files(&set),
        ["auth-encryption.yaml", "backup.json", "store.dump"]
    );
    let changes = world.sandbox().requests();
    assert!(changes[before..].iter().all(|one| one.method == "GET"));

    let schema = world.in_postgres_pod(
        "pg_dump -Fc --schema-only -d conversation_pprd_wa -f /tmp/s 2>/dev/null || pg_dump -Fc --schema-only -d conversation_pprd_wa -f /controller/s; cat /tmp/s /controller/s 2>/dev/null | base64; rm -f /tmp/s /controller/s",
        Stdio::null(),
    );
    let decoded = run(Command::new("sh")
        .args(["-c", "printf %s \"$0\" | base64 -d > schema.dump", &schema])
        .current_dir(scratch.path()));
    decoded.expect_code(0);
    world
        .restore(scratch.path(), &["rehearse", "schema.dump"])
        .expect_code(3)
        .expect_error(&["holds no data"]);
    assert_eq!(left(&world), "");
}

/// A dump that is intact, and that PostgreSQL cannot restore: a function in it calls one that is gone.
#[test]
fn what_is_intact_and_does_not_restore_is_reported_with_the_reason() {
    let world = World::shared();
    let scratch = world.scratch();
    world.sql(
        "create schema outside; create function outside.one() returns integer language sql immutable as 'select 1';
         create table depends (n integer check (n = outside.one())); insert into depends values (1)",
    );
    world.in_postgres_pod(
        "pg_dump -Fc -d conversation_pprd_wa --exclude-schema=outside -f /controller/d",
        Stdio::null(),
    );
    let dump = world.in_postgres_pod("base64 /controller/d; rm /controller/d", Stdio::null());
    fs::write(scratch.path().join("base64"), dump).unwrap();
    run(Command::new("sh")
        .args(["-c", "base64 -d base64 > d.dump"])
        .current_dir(scratch.path()))
    .expect_code(0);
    world.sql("drop table depends; drop schema outside cascade");
    let outcome = world
        .restore(scratch.path(), &["rehearse", "d.dump"])
        .expect_code(3);
    for part in [
        "does NOT restore",
        "pg_restore failed with exit code 1",
        "outside",
    ] {
        assert!(outcome.stdout.contains(part), "no {part:?} in {outcome:?}");
    }
    assert_eq!(left(&world), "");
}

/// Makes sending the dump into the pod take its time.
fn slow_uploads(world: &World) {
    let on = Matcher {
        subresource: Some("exec".to_owned()),
        name: None,
        path: Some("kube-transfer-upload".to_owned()),
        ..Matcher::default()
    };
    world.fault(on, None, Effect::StallAfter { bytes: 0 });
}

/// A rehearsal that has come to the sending of the dump.
fn sending(world: &World, directory: &Path) -> std::process::Child {
    let before = world.sandbox().requests().len();
    let mut command = world.command(binary("kubectl-wa-restore"));
    let child = start(command.args(REHEARSE).current_dir(directory));
    wait_until("the dump is sent", || {
        let requests = world.sandbox().requests();
        requests[before..]
            .iter()
            .any(|one| one.uri.contains("kube-transfer-upload"))
    });
    child
}

#[test]
fn ctrl_c_removes_the_pod_and_a_killed_rehearsal_is_removed_by_the_next() {
    let world = World::shared();
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    slow_uploads(&world);
    let child = sending(&world, scratch.path());
    assert!(left(&world).contains("pod/wa-rehearse-"));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    outcome
        .expect_code(130)
        .expect_error(&["interrupted by", "Ctrl-C"]);
    assert_eq!(left(&world), "");
    assert_eq!(
        files(&set),
        ["auth-encryption.yaml", "backup.json", "store.dump"]
    );

    for clean_up in [false, true] {
        slow_uploads(&world);
        let mut child = sending(&world, scratch.path());
        child.kill().unwrap();
        child.wait().unwrap();
        world.sandbox().faults().clear();
        assert!(
            left(&world).contains("pod/wa-rehearse-"),
            "{}",
            left(&world)
        );
        if clean_up {
            let cleaned = world
                .restore(scratch.path(), &["rehearse", "--clean-up"])
                .expect_code(0);
            assert!(cleaned.stdout.contains(": removed"), "{cleaned:?}");
            let again = world
                .restore(scratch.path(), &["rehearse", "--clean-up"])
                .expect_code(0);
            assert!(
                again.stdout.contains("No rehearsal has left anything"),
                "{again:?}"
            );
        } else {
            world
                .restore(scratch.path(), &REHEARSE)
                .expect_code(0)
                .expect_error(&["had left"]);
        }
        assert_eq!(left(&world), "");
    }
}

#[test]
fn without_the_rights_nothing_is_made_and_everything_missing_is_named() {
    let world = World::shared();
    let scratch = world.scratch();
    back_up(&world, scratch.path());
    for (verb, group, resource) in [
        ("create", "", "pods"),
        ("delete", "coordination.k8s.io", "leases"),
    ] {
        let forbid = Effect::Forbid {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: String::new(),
        };
        world.fault(Matcher::default(), None, forbid);
    }
    world
        .restore(scratch.path(), &REHEARSE)
        .expect_code(1)
        .expect_error(&["create pods", "delete leases.coordination.k8s.io"]);
    assert_eq!(left(&world), "");
    world.sandbox().faults().clear();
    // What is only a second lock on the door is left out, and that is told.
    let forbid = Effect::Forbid {
        verb: "create".to_owned(),
        group: "networking.k8s.io".to_owned(),
        resource: "networkpolicies".to_owned(),
        subresource: String::new(),
    };
    world.fault(Matcher::default(), None, forbid);
    world
        .restore(scratch.path(), &REHEARSE)
        .expect_code(0)
        .expect_error(&["no NetworkPolicy, which you may not create"]);
    assert_eq!(left(&world), "");
}

/// The command as a user who is not root, with a temporary directory of his own.
fn as_user(directory: &Path, arguments: &[&str]) -> Command {
    let passwd = directory.join("passwd");
    fs::write(&passwd, "user:x:1000:1000::/:/bin/sh\n").unwrap();
    let temporary = directory.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut bwrap = Command::new("bwrap");
    bwrap
        .args([
            "--dev-bind",
            "/",
            "/",
            "--unshare-user",
            "--uid",
            "1000",
            "--gid",
            "1000",
            "--ro-bind",
        ])
        .arg(&passwd)
        .arg("/etc/passwd")
        .args(["--setenv", "TMPDIR"])
        .arg(&temporary)
        .arg(binary("kubectl-wa-restore"))
        .args(arguments)
        .current_dir(directory);
    bwrap
}

#[test]
fn on_this_machine_it_needs_no_cluster_and_leaves_nothing() {
    let world = World::shared();
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let servers = local_postgres::servers();
    // One that reads what the practice cluster's pg_dump writes.
    let server = servers.iter().rfind(|server| server.major >= 16).unwrap();
    let local = format!("--local={}", server.programs().display());
    let arguments = ["rehearse", "sets/latest", &local];
    let done = run(&mut as_user(scratch.path(), &arguments)).expect_code(0);
    assert!(
        done.stdout.contains("restores in ") && done.stdout.contains("7 tables with"),
        "{done:?}"
    );
    assert_eq!(files(&scratch.path().join("tmp")), [""; 0]);
    let record: Value =
        serde_json::from_slice(&fs::read(set.join("rehearsal.json")).unwrap()).unwrap();
    assert_eq!(record["place"], "local");

    // From a bucket, of which nothing is put on a disk here but what PostgreSQL makes of it.
    let bucket = Server::start();
    let name = set.file_name().unwrap().to_str().unwrap();
    fs::create_dir_all(bucket.object(name)).unwrap();
    for file in files(&set).iter().filter(|file| *file != "rehearsal.json") {
        fs::copy(set.join(file), bucket.object(name).join(file)).unwrap();
    }
    let url = format!("s3://{BUCKET}/wa/{name}");
    let mut command = as_user(scratch.path(), &["rehearse", &url, &local]);
    let done = run(command.envs(bucket.variables())).expect_code(0);
    assert!(done.stdout.contains("7 tables with"), "{done:?}");
    assert!(bucket.object(name).join("rehearsal.json").is_file());

    // Killed in the middle, it takes the server and its files with it.
    let mut child = start(&mut as_user(scratch.path(), &arguments));
    wait_until("the server is made", || {
        !files(&scratch.path().join("tmp")).is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("all is removed", || {
        files(&scratch.path().join("tmp")).is_empty()
    });
}

#[test]
fn a_restore_tells_that_its_backup_was_rehearsed() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored
        .restore(&["rehearse", "sets/latest"])
        .expect_code(0);
    restored.run(&[]).expect_code(0);
    restored.assert_new();
    let status = restored.restore(&["status"]).expect_code(0);
    assert!(
        status.stdout.contains("rehearsal      restored on 20"),
        "{status:?}"
    );
}
