//! Storage drivers that take their time, fail and recover, and whom nobody may disturb: what `kubectl wa-pvc` has them
//! make is deleted only when it is made.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::time::{Duration, Instant};

use end_to_end::{FETCH, Request, Running, World, wait_until};
use kube_sandbox::disks::{Delay, Operation};
use kube_sandbox::meta::resources;
use rustix::process::Signal;
use serde_json::Value;

const SNAPSHOT: &[&str] = &["pull", "--latest", "--to", "s", "--via", "snapshot"];
const CLEANUP: &[&str] = &["cleanup"];

const LOOKS_AT_SNAPSHOT: Request = ("GET", "-snapshot");
const LOOKS_AT_POD: Request = ("GET", "-helper");
const LOOKS_AT_CLAIM: Request = ("GET", "-restored");
const DELETES_POD: Request = ("DELETE", "/pods/");
const DELETES_CLAIM: Request = ("DELETE", "/persistentvolumeclaims/");
const DELETES_SNAPSHOT: Request = ("DELETE", "/volumesnapshots/");
const FETCHES: Request = ("GET", FETCH);

const TIMED_OUT: &str = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
const PROTECTION: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";

/// A driver that behaves as usual again when the test ends, also when it fails.
struct Driver<'a>(&'a World);

impl<'a> Driver<'a> {
    /// One that is at work until it is let go on.
    fn busy_with(world: &'a World, operation: Operation) -> Self {
        world.sandbox().disks().set_delay(operation, Delay::Never);
        Self(world)
    }

    /// One that answers like that.
    fn refusing(world: &'a World, operation: Operation, answer: &str) -> Self {
        world.sandbox().disks().refuse(operation, Some(answer));
        Self(world)
    }

    /// What it works on gets done.
    fn go_on(&self) {
        let disks = self.0.sandbox().disks();
        for operation in [Operation::Provision, Operation::TakeSnapshot] {
            disks.set_delay(operation, Delay::default());
            disks.refuse(operation, None);
        }
    }

    /// The snapshotter looks again at what was deleted too early.
    fn resync(&self) {
        let disks = self.0.sandbox().disks();
        disks.set_delay(Operation::Resync, Delay::default());
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.go_on();
        let disks = self.0.sandbox().disks();
        disks.set_delay(Operation::Resync, Delay::Of(Duration::from_mins(15)));
    }
}

/// The plugin's only snapshot, once it is like that.
#[track_caller]
fn snapshot_when(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    wait_until(what, || {
        let snapshots = world.sandbox().store().list(&resources::SNAPSHOTS, None);
        found = snapshots
            .items
            .first()
            .map_or(Value::Null, |snapshot| (**snapshot).clone());
        is(&found)
    });
    found
}

/// A pull whose snapshot the driver is taking.
#[track_caller]
fn being_taken<'a>(world: &'a World, scratch: &tempfile::TempDir) -> (Running<'a>, String) {
    let mut pull = world.start_pvc(scratch.path(), SNAPSHOT);
    pull.until(LOOKS_AT_SNAPSHOT);
    let is_taken = |snapshot: &Value| {
        let status = &snapshot["status"];
        status["boundVolumeSnapshotContentName"].is_string()
    };
    let snapshot = snapshot_when(world, "the driver takes the snapshot", is_taken);
    let name = snapshot["metadata"]["name"].as_str().unwrap();
    (pull, name.to_owned())
}

/// Lets a command look at something a few times more.
#[track_caller]
fn look_on(world: &World, (method, part): Request) {
    let count = || {
        let requests = world.sandbox().requests();
        let looks = requests
            .iter()
            .filter(|request| request.method == method && request.uri.contains(part));
        looks.count()
    };
    let before = count();
    wait_until("it goes on looking", || count() >= before + 4);
}

#[test]
fn a_snapshot_that_its_driver_takes_is_waited_for_before_it_is_deleted() {
    let world = World::shared();
    for signal in [Signal::INT, Signal::TERM] {
        let scratch = world.scratch();
        let driver = Driver::busy_with(&world, Operation::TakeSnapshot);
        let (mut pull, name) = being_taken(&world, &scratch);
        pull.signal(signal);
        look_on(&world, LOOKS_AT_SNAPSHOT);
        assert!(!pull.has_sent(DELETES_SNAPSHOT), "it is deleted too early");
        driver.go_on();
        let waiting = format!("until the driver has made volumesnapshot {name}");
        pull.end()
            .expect_code(130)
            .expect_error(&["waiting", &waiting, "undone"]);
        world.expect_nothing_left();
    }
}

#[test]
fn a_snapshot_that_a_killed_command_had_taken_is_waited_for_by_cleanup() {
    let world = World::shared();
    let scratch = world.scratch();
    let driver = Driver::busy_with(&world, Operation::TakeSnapshot);
    let (mut pull, name) = being_taken(&world, &scratch);
    pull.signal(Signal::KILL);
    pull.end();
    let mut cleanup = world.start_pvc(scratch.path(), CLEANUP);
    cleanup.until(LOOKS_AT_SNAPSHOT);
    look_on(&world, LOOKS_AT_SNAPSHOT);
    assert!(
        !cleanup.has_sent(DELETES_SNAPSHOT),
        "it is deleted too early"
    );
    driver.go_on();
    let waiting = format!("until the driver has made volumesnapshot {name}");
    let outcome = cleanup.end().expect_code(0).expect_error(&[&waiting]);
    assert!(outcome.stdout.contains("removed"), "{}", outcome.stdout);
    world.expect_nothing_left();
}

#[test]
fn who_does_not_wait_for_the_driver_leaves_a_record_that_cleanup_finishes() {
    let world = World::shared();
    let scratch = world.scratch();
    let driver = Driver::busy_with(&world, Operation::TakeSnapshot);
    let (mut pull, name) = being_taken(&world, &scratch);
    interrupt_twice(&world, &mut pull, LOOKS_AT_SNAPSHOT);
    pull.end().expect_code(6).expect_error(&[
        "left behind",
        &format!("volumesnapshot {name}: not undone yet: waiting until the driver has made"),
        "kubectl wa-pvc cleanup",
    ]);
    driver.go_on();
    world.cleanup(0);
    world.expect_nothing_left();
}

/// Sends Ctrl-C, and once more when it undoes what it did, which is not the same keystroke then.
#[track_caller]
fn interrupt_twice(world: &World, pull: &mut Running<'_>, undoes: Request) {
    let first = Instant::now();
    pull.signal(Signal::INT);
    look_on(world, undoes);
    while first.elapsed() < Duration::from_millis(4500) {
        std::thread::sleep(Duration::from_millis(50));
    }
    pull.signal(Signal::INT);
}

#[test]
fn a_snapshot_that_somebody_else_deletes_meanwhile_is_reported_and_its_end_waited_for() {
    let world = World::shared();
    let scratch = world.scratch();
    let driver = Driver::busy_with(&world, Operation::TakeSnapshot);
    let (pull, name) = being_taken(&world, &scratch);
    world.kubectl(&["delete", "volumesnapshot", &name, "--wait=false"]);
    look_on(&world, LOOKS_AT_SNAPSHOT);
    driver.go_on();
    driver.resync();
    pull.end().expect_code(1).expect_error(&[
        &format!("snapshot {name} is being deleted by somebody else"),
        "undone",
    ]);
    world.expect_nothing_left();
}

#[test]
fn a_snapshot_that_stays_names_its_finalizer_and_goes_with_a_later_cleanup() {
    let world = World::shared();
    let scratch = world.scratch();
    let driver = Driver::busy_with(&world, Operation::TakeSnapshot);
    let (mut pull, name) = being_taken(&world, &scratch);
    world.kubectl(&["delete", "volumesnapshot", &name, "--wait=false"]);
    driver.go_on();
    interrupt_twice(&world, &mut pull, LOOKS_AT_SNAPSHOT);
    let command = format!(
        "kubectl delete volumesnapshot {name} -n {}",
        world.sandbox().namespace()
    );
    pull.end().expect_code(6).expect_error(&[
        &format!("for the end of volumesnapshot {name}: it waits for {PROTECTION}"),
        &command,
        "kubectl wa-pvc cleanup",
    ]);
    let lease = world.only_lease();
    assert!(
        name.starts_with(&lease),
        "{lease} keeps the record of {name}"
    );
    driver.resync();
    world.cleanup(0);
    world.expect_nothing_left();
}

#[test]
fn an_attempt_that_its_driver_makes_again_is_no_failure() {
    let world = World::shared();
    let scratch = world.scratch();
    let fails = |snapshot: &Value| snapshot["status"]["error"]["message"].is_string();
    let driver = Driver::refusing(&world, Operation::TakeSnapshot, TIMED_OUT);
    let pull = world.start_pvc(scratch.path(), SNAPSHOT);
    snapshot_when(&world, "the first attempt has failed", fails);
    driver.go_on();
    pull.end().expect_code(0);
    world.expect_nothing_left();

    let driver = Driver::refusing(&world, Operation::TakeSnapshot, TIMED_OUT);
    let scratch = world.scratch();
    let mut pull = world.start_pvc(scratch.path(), SNAPSHOT);
    snapshot_when(&world, "the first attempt has failed", fails);
    pull.signal(Signal::INT);
    look_on(&world, LOOKS_AT_SNAPSHOT);
    assert!(!pull.has_sent(DELETES_SNAPSHOT), "it is deleted too early");
    driver.go_on();
    pull.end().expect_code(130);
    world.expect_nothing_left();
}

#[test]
fn a_snapshot_that_its_driver_refuses_is_deleted_at_once() {
    let world = World::shared();
    let scratch = world.scratch();
    let no_pool = "rpc error: code = InvalidArgument desc = no such pool";
    let _driver = Driver::refusing(&world, Operation::TakeSnapshot, no_pool);
    let outcome = world.pvc(scratch.path(), SNAPSHOT).expect_code(1);
    let waited = outcome.stderr.contains("until the driver");
    assert!(!waited, "{}", outcome.stderr);
    outcome.expect_error(&["failed", no_pool, "undone"]);
    world.expect_nothing_left();
}

#[test]
fn a_claim_whose_volume_is_being_filled_is_waited_for_before_it_is_deleted() {
    let world = World::shared();
    let scratch = world.scratch();
    let driver = Driver::busy_with(&world, Operation::Provision);
    let mut pull = world.start_pvc(scratch.path(), SNAPSHOT);
    let is_source = |snapshot: &Value| {
        let finalizers = snapshot["metadata"]["finalizers"].to_string();
        finalizers.contains("provisioner.storage.kubernetes.io")
    };
    snapshot_when(&world, "the claim is being filled", is_source);
    pull.until(LOOKS_AT_POD);
    pull.signal(Signal::INT);
    pull.until(DELETES_POD);
    look_on(&world, LOOKS_AT_CLAIM);
    assert!(!pull.has_sent(DELETES_CLAIM), "it is deleted too early");
    driver.go_on();
    pull.end().expect_code(130).expect_error(&[
        "until the driver has made the volume of persistentvolumeclaim",
        "undone",
    ]);
    world.expect_nothing_left();
}

#[test]
fn a_claim_is_not_smaller_than_its_source_whatever_the_snapshot_tells() {
    let world = World::shared();
    let volume = world.volume_name();
    let of_size = |size: &str| {
        let patch = format!(r#"{{"spec":{{"capacity":{{"storage":"{size}"}}}}}}"#);
        world.kubectl(&["patch", "pv", &volume, "--type=merge", "-p", &patch]);
    };
    // A driver that tells how much is in the snapshot; "0" where it does not know.
    for told in ["1Gi", "0"] {
        of_size(told);
        let scratch = world.scratch();
        world.slow_fetches();
        let mut pull = world.start_pvc(scratch.path(), SNAPSHOT);
        pull.until(FETCHES);
        let asked = "jsonpath={.items[0].spec.resources.requests.storage}";
        let asked = world.kubectl(&["get", "pvc", "-l", "kubectl-wa/run", "-o", asked]);
        world.sandbox().faults().clear();
        let outcome = pull.end();
        of_size("10Gi");
        outcome.expect_code(0);
        assert_eq!(asked, "10Gi", "the snapshot tells {told}");
        world.expect_nothing_left();
    }
}
