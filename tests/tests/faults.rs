//! Connections that break in every way: never exit code 0, never a complete set, nothing left behind here or over there.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::Path;

use end_to_end::{Outcome, World, dump_requests, run, wait_until};
use kube_sandbox::faults::{Effect, Matcher};

/// Creates a backup that must fail with exit code 1 and leave nothing.
#[track_caller]
fn must_fail(world: &World, arguments: &[&str]) -> Outcome {
    let mut far_side = world.far_side();
    let outcome = must_fail_here(world, arguments);
    far_side.expect_as_before();
    outcome
}

/// The same, where the far side is another matter.
#[track_caller]
fn must_fail_here(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    let mut all = vec!["create", "--to", "sets/here"];
    all.extend(arguments);
    let outcome = world.backup(scratch.path(), &all).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        fs::read_dir(scratch.path()).unwrap().count(),
        0,
        "{}",
        outcome.stderr
    );
    outcome
}

/// The size of the dump, by taking it once.
fn dump_bytes(world: &World) -> u64 {
    let scratch = world.scratch();
    world
        .backup(scratch.path(), &["create", "--to", "s"])
        .expect_code(0);
    fs::metadata(world.only_set(&scratch.path().join("s")).join("store.dump"))
        .unwrap()
        .len()
}

#[test]
fn a_broken_dump_is_begun_again_and_then_whole() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    world.fault(dump_requests(), Some(1), Effect::CutAfter { bytes: 10_000 });
    let outcome = world
        .backup(scratch.path(), &["create", "--to", "s"])
        .expect_code(0)
        .expect_error(&["retry 1 of 2"]);
    assert!(outcome.stdout.contains("created"));
    let set = world.only_set(&scratch.path().join("s"));
    world
        .backup(scratch.path(), &["verify", set.to_str().unwrap()])
        .expect_code(0);
    far_side.expect_as_before();
}

#[test]
fn a_pod_that_is_gone_is_looked_for_again() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    let gone = Effect::Status {
        code: 404,
        message: "pods \"wa-postgres-16-1\" not found".to_owned(),
        retry_after: None,
    };
    world.fault(dump_requests(), Some(1), gone);
    let outcome = world.backup(scratch.path(), &["create", "--to", "s"]);
    let outcome = outcome.expect_code(0);
    assert!(outcome.stderr.contains("not found"), "{}", outcome.stderr);
    far_side.expect_as_before();
}

#[test]
fn a_question_that_the_pod_does_not_answer_is_asked_again() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    let execs = Matcher {
        path: Some("/exec".to_owned()),
        ..Matcher::default()
    };
    let broken = Effect::Status {
        code: 500,
        message: "error dialing backend: EOF".to_owned(),
        retry_after: None,
    };
    world.fault(execs, Some(2), broken);
    world
        .backup(scratch.path(), &["create", "--dry-run"])
        .expect_code(0);
    far_side.expect_as_before();
}

#[test]
fn retries_end() {
    let world = World::shared();
    world.fault(dump_requests(), None, Effect::CutAfter { bytes: 10_000 });
    must_fail(&world, &["--retries", "1"]).expect_error(&["after 2 attempts", "lost"]);
}

#[test]
fn what_has_gone_to_standard_output_is_not_sent_twice() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    world.fault(dump_requests(), Some(1), Effect::CutAfter { bytes: 10_000 });
    let outcome = world
        .backup(scratch.path(), &["create", "--stdout"])
        .expect_code(1);
    assert!(!outcome.stderr.contains("retry"), "{}", outcome.stderr);
    far_side.expect_as_before();
}

#[test]
fn a_stream_that_falls_silent_is_given_up() {
    let world = World::shared();
    let mut far_side = world.far_side();
    world.fault(dump_requests(), None, Effect::StallAfter { bytes: 20_000 });
    must_fail_here(&world, &["--retries", "0"]).expect_error(&["lost"]);
    far_side.expect_as_before_after_silence();
}

#[test]
fn the_end_of_a_dump_that_a_node_dropped_is_missed() {
    let world = World::shared();
    for bytes in [1, 100, 5_000] {
        world.fault(dump_requests(), None, Effect::ShortenStdout { bytes });
        must_fail(&world, &["--retries", "0"]);
        world.sandbox().faults().clear();
    }
}

#[test]
fn servers_without_v5_are_understood() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    world.fault(Matcher::default(), None, Effect::RefuseV5);
    world
        .backup(scratch.path(), &["create", "--to", "s"])
        .expect_code(0);
    world.only_set(&scratch.path().join("s"));
    far_side.expect_as_before();
}

#[test]
fn a_slow_connection_is_only_slow() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    let bytes_per_second = dump_bytes(&world) / 3;
    world.fault(dump_requests(), None, Effect::Throttle { bytes_per_second });
    world
        .backup(scratch.path(), &["create", "--to", "s"])
        .expect_code(0);
    far_side.expect_as_before();
}

#[test]
fn a_pod_that_is_deleted_in_the_middle_of_the_dump_is_no_backup() {
    // Its own cluster: the database does not survive this.
    let world = World::start(wa_sandbox::world::Profile::default());
    // The dump must not be done before the pod is gone.
    let bytes_per_second = dump_bytes(&world) / 20;
    world.fault(dump_requests(), None, Effect::Throttle { bytes_per_second });
    let deleted = Effect::DeletePodAfter { bytes: 50_000 };
    world.fault(dump_requests(), None, deleted);
    must_fail_here(&world, &["--retries", "0"]);
}

#[test]
fn what_was_written_stays_when_asked_for_and_is_no_complete_set() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    world.fault(dump_requests(), None, Effect::CutAfter { bytes: 50_000 });
    let arguments = ["create", "--to", "s", "--retries", "0", "--keep-partial"];
    world.backup(scratch.path(), &arguments).expect_code(1);
    let listed = world
        .backup(
            scratch.path(),
            &["list", "s", "-o", "jsonpath={.backups[*].state}"],
        )
        .expect_code(0);
    assert_eq!(listed.stdout.trim(), "incomplete");
    let set = world.only_set(&scratch.path().join("s"));
    world
        .backup(scratch.path(), &["verify", set.to_str().unwrap()])
        .expect_code(3);
    far_side.expect_as_before();
}

#[test]
fn ctrl_c_in_the_middle_of_a_dump_leaves_nothing_here_and_nothing_in_the_pod() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    world.fault(
        dump_requests(),
        None,
        Effect::Throttle {
            bytes_per_second: 20_000,
        },
    );
    let mut create = world
        .backup_command(scratch.path(), &["create", "--to", "s"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the dump has begun", || {
        has_partial(&scratch.path().join("s"))
    });
    let pid = rustix::process::Pid::from_child(&create);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(create.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    far_side.expect_as_before();
}

#[test]
fn a_command_that_ignores_hang_ups_goes_on_when_its_terminal_is_gone() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    let bytes_per_second = dump_bytes(&world) / 2;
    world.fault(dump_requests(), None, Effect::Throttle { bytes_per_second });
    let as_nohup_does = "trap '' HUP; exec \"$0\" create --to s";
    let mut create = world
        .command("sh")
        .args(["-c", as_nohup_does])
        .arg(end_to_end::binary("kubectl-wa-backup"))
        .current_dir(scratch.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the dump has begun", || {
        has_partial(&scratch.path().join("s"))
    });
    let pid = rustix::process::Pid::from_child(&create);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(create.wait().unwrap().code(), Some(0));
    world.only_set(&scratch.path().join("s"));
    far_side.expect_as_before();
}

fn has_partial(directory: &Path) -> bool {
    let Ok(sets) = fs::read_dir(directory) else {
        return false;
    };
    // What has come is written 128 KiB at a time, so it may be empty for long.
    sets.flatten()
        .any(|set| set.path().join("store.dump.partial").exists())
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let create = "\"$0\" create --to sets; echo code=$?; ls -A";
    let plugin = end_to_end::binary("kubectl-wa-backup");
    let outcome = run(&mut world.on_small_disk(65536, create, &plugin))
        .expect_code(0)
        .expect_error(&["No space left on device", "--to"]);
    assert_eq!(outcome.stdout, "code=1\n");
    far_side.expect_as_before();
}
