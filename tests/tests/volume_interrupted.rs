//! `kubectl wa-pvc` ended by a signal at every step: what it had made is gone, at once or after `cleanup`.

use std::time::{Duration, Instant};

use end_to_end::{FETCH, Request, Running, World};
use kube_sandbox::disks::{Delay, Operation};
use kube_sandbox::faults::{Effect, Matcher};
use rustix::process::Signal;
use serde_json::{Value, json};

const DEBUG: &[&str] = &["pull", "--latest", "--to", "s", "--via", "debug"];
const SNAPSHOT: &[&str] = &["pull", "--latest", "--to", "s", "--via", "snapshot"];

const CREATES_LEASE: Request = ("POST", "/leases");
const RECORDS: Request = ("PUT", "/leases/");
const CREATES_POD: Request = ("POST", "/pods");
const WAITS_FOR_POD: Request = ("GET", "-helper");
const LISTS_FILES: Request = ("GET", "describe_all");
const FETCHES: Request = ("GET", FETCH);
const DELETES_POD: Request = ("DELETE", "/pods/");
const DELETES_LEASE: Request = ("DELETE", "/leases/");
const CREATES_SNAPSHOT: Request = ("POST", "/volumesnapshots");
const WAITS_FOR_SNAPSHOT: Request = ("GET", "-snapshot");
const CREATES_CLAIM: Request = ("POST", "/persistentvolumeclaims");
const DELETES_CLAIM: Request = ("DELETE", "/persistentvolumeclaims/");
const DELETES_SNAPSHOT: Request = ("DELETE", "/volumesnapshots/");

/// The steps until the file has come, each with the way to go.
const WORK: &[(&[&str], Request)] = &[
    (DEBUG, CREATES_LEASE),
    (DEBUG, RECORDS),
    (DEBUG, CREATES_POD),
    (DEBUG, WAITS_FOR_POD),
    (DEBUG, LISTS_FILES),
    (DEBUG, FETCHES),
    (SNAPSHOT, CREATES_SNAPSHOT),
    (SNAPSHOT, WAITS_FOR_SNAPSHOT),
    (SNAPSHOT, CREATES_CLAIM),
    (SNAPSHOT, WAITS_FOR_POD),
];

/// The steps after that.
const UNDOING: &[(&[&str], Request)] = &[
    (DEBUG, DELETES_POD),
    (DEBUG, DELETES_LEASE),
    (SNAPSHOT, DELETES_CLAIM),
    (SNAPSHOT, DELETES_SNAPSHOT),
];

/// A pull through a helper pod that has begun to fetch and will take its time.
#[track_caller]
fn fetching<'a>(world: &'a World, scratch: &tempfile::TempDir) -> Running<'a> {
    world.slow_fetches();
    let mut running = world.start_pvc(scratch.path(), &[DEBUG, &["--retries", "0"]].concat());
    running.until(FETCHES);
    running
}

fn helper_pod(world: &World) -> String {
    format!("{}-helper", world.only_lease())
}

/// Keeps an object from being gone though it is deleted, or no longer does.
#[track_caller]
fn keep(world: &World, kind: &str, name: &str, kept: bool) {
    const FINALIZER: &str = "example.com/keep";
    let object = format!("{kind}/{name}");
    let finalizers = world.kubectl(&["get", &object, "-o", "jsonpath={.metadata.finalizers[*]}"]);
    let mut finalizers: Vec<&str> = finalizers.split(' ').collect();
    finalizers.retain(|one| !one.is_empty() && *one != FINALIZER);
    finalizers.extend(kept.then_some(FINALIZER));
    let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
    world.kubectl(&["patch", &object, "--type=merge", "-p", &patch]);
}

#[test]
fn a_signal_at_any_step_of_the_work_undoes_what_was_made() {
    let world = World::shared();
    for (number, (arguments, step)) in WORK.iter().enumerate() {
        println!("{arguments:?} at {step:?}");
        world.slow_fetches();
        let (signal, name) = if number % 2 == 0 {
            (Signal::INT, "Ctrl-C")
        } else {
            (Signal::TERM, "SIGTERM")
        };
        let outcome = world
            .signal_pvc_at(*step, signal, arguments)
            .expect_code(130)
            .expect_error(&["interrupted by", name, "undoing what was changed"]);
        assert_eq!(outcome.stdout, "");
        world.expect_nothing_left();
        world.sandbox().faults().clear();
    }
}

#[test]
fn a_signal_while_waiting_for_what_never_gets_ready_undoes_what_was_made() {
    let world = World::shared();
    let disks = world.sandbox().disks();
    disks.set_delay(Operation::Snapshot, Delay::Never);
    let outcome = world.signal_pvc_at(WAITS_FOR_SNAPSHOT, Signal::INT, SNAPSHOT);
    disks.set_delay(Operation::Snapshot, Delay::default());
    outcome.expect_code(130);
    world.expect_nothing_left();
}

#[test]
fn a_signal_before_anything_was_made_only_ends_the_command() {
    let world = World::shared();
    let outcome = world
        .signal_pvc_at(("POST", "accessreviews"), Signal::INT, DEBUG)
        .expect_code(130);
    assert!(!outcome.stderr.contains("undoing"), "{}", outcome.stderr);
    world.expect_nothing_left();
}

#[test]
fn one_signal_during_the_undoing_does_not_stop_it() {
    let world = World::shared();
    for (arguments, (kind, suffix), step) in [
        (DEBUG, ("pod", "helper"), DELETES_POD),
        (SNAPSHOT, ("pvc", "restored"), DELETES_CLAIM),
        (SNAPSHOT, ("volumesnapshot", "snapshot"), DELETES_SNAPSHOT),
    ] {
        println!("{step:?}");
        let scratch = world.scratch();
        world.slow_fetches();
        let mut running = world.start_pvc(scratch.path(), arguments);
        running.until(FETCHES);
        let name = format!("{}-{suffix}", world.only_lease());
        // The undoing cannot end before the signal.
        keep(&world, kind, &name, true);
        world.sandbox().faults().clear();
        running.until(step);
        running.signal(Signal::INT);
        keep(&world, kind, &name, false);
        let outcome = running.end().expect_code(0);
        assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);
        world.expect_nothing_left();
    }
}

#[test]
fn what_a_killed_command_made_is_shown_and_removed_by_cleanup() {
    let world = World::shared();
    let scratch = world.scratch();
    for (arguments, step) in WORK.iter().chain(UNDOING) {
        println!("{arguments:?} at {step:?}");
        let undoing = UNDOING.contains(&(*arguments, *step));
        if !undoing {
            world.slow_fetches();
        }
        // At its last request it may end by itself before, and what it asked to be deleted may go at any time.
        world.signal_pvc_at(*step, Signal::KILL, arguments);
        world.sandbox().faults().clear();
        let before = world.objects_of_runs();
        let told = world.pvc(scratch.path(), &["cleanup", "--dry-run"]);
        let told = told.expect_code(0).stdout;
        if !undoing {
            assert_eq!(world.objects_of_runs(), before, "a dry run removes nothing");
        }
        let removed = world.cleanup(0).stdout;
        if before.is_empty() {
            assert!(told.contains("Nothing was left"), "{told}");
            assert!(removed.contains("Nothing was left"), "{removed}");
        } else {
            assert!(told.contains("would be removed"), "{told}");
            assert!(removed.contains("removed"), "{removed}");
        }
        world.expect_nothing_left();
    }
}

#[test]
fn a_second_signal_gives_the_undoing_up_and_tells_the_commands() {
    let world = World::shared();
    let scratch = world.scratch();
    let mut running = fetching(&world, &scratch);
    let pod = helper_pod(&world);
    keep(&world, "pod", &pod, true);

    let first = Instant::now();
    running.signal(Signal::INT);
    // The same wish: a shell and a terminal may both send one.
    running.signal(Signal::INT);
    running.until(DELETES_POD);
    while first.elapsed() < Duration::from_millis(1200) {
        std::thread::sleep(Duration::from_millis(50));
    }
    running.signal(Signal::INT);
    let command = format!(
        "kubectl delete pod {pod} -n {}",
        world.sandbox().namespace()
    );
    running
        .end()
        .expect_code(6)
        .expect_error(&["left behind", &command, "kubectl wa-pvc cleanup"]);

    keep(&world, "pod", &pod, false);
    world.cleanup(0);
    world.expect_nothing_left();
}

#[test]
fn cleanup_leaves_a_running_command_alone() {
    let world = World::shared();
    let scratch = world.scratch();
    let mut running = fetching(&world, &scratch);
    let objects = world.objects_of_runs();
    let refused = world.cleanup(4).stdout;
    assert!(refused.contains("its command still runs"), "{refused}");
    assert!(refused.contains("-helper"), "{refused}");
    assert_eq!(world.objects_of_runs(), objects);
    running.signal(Signal::INT);
    running.end().expect_code(130);
    world.expect_nothing_left();
}

#[test]
fn cleanup_removes_what_is_dead_beside_a_running_command() {
    let world = World::shared();
    let scratch = world.scratch();
    killed_run(&world);
    let dead = world.objects_of_runs();
    let mut running = fetching(&world, &scratch);
    // Something was done, and what was left alone is not left behind.
    let cleaned = world.cleanup(0).stdout;
    assert!(cleaned.contains(": removed"), "{cleaned}");
    assert!(cleaned.contains("its command still runs"), "{cleaned}");
    let left = world.objects_of_runs();
    assert!(!left.is_empty());
    assert!(left.iter().all(|object| !dead.contains(object)), "{left:?}");
    running.signal(Signal::INT);
    running.end().expect_code(130);
    world.expect_nothing_left();
}

/// A run whose command was killed while it fetched.
#[track_caller]
fn killed_run(world: &World) {
    let scratch = world.scratch();
    let mut running = fetching(world, &scratch);
    running.signal(Signal::KILL);
    running.end();
    world.sandbox().faults().clear();
}

#[test]
fn a_cleanup_that_is_interrupted_ends_its_work_and_a_killed_one_is_done_by_the_next() {
    let world = World::shared();
    for (signal, code) in [(Signal::INT, 130), (Signal::KILL, -1)] {
        for step in [RECORDS, DELETES_POD] {
            println!("{signal:?} at {step:?}");
            killed_run(&world);
            let pod = helper_pod(&world);
            // The cleanup cannot end before the signal.
            keep(&world, "pod", &pod, true);
            let scratch = world.scratch();
            let mut cleanup = world.start_pvc(scratch.path(), &["cleanup"]);
            cleanup.until(step);
            cleanup.signal(signal);
            keep(&world, "pod", &pod, false);
            cleanup.end().expect_code(code);
            // A signal that comes before the answer to its record finds nothing begun.
            if signal == Signal::KILL || step == RECORDS {
                world.cleanup(0);
            }
            world.expect_nothing_left();
        }
    }
}

#[test]
fn of_two_cleanups_at_once_one_leaves_the_run_to_the_other() {
    let world = World::shared();
    let scratch = world.scratch();
    for _ in 0..3 {
        killed_run(&world);
        let both = [(); 2].map(|()| world.start_pvc(scratch.path(), &["cleanup"]));
        let both = both.map(Running::end);
        let codes = both.each_ref().map(|outcome| outcome.code);
        assert!(codes.contains(&0), "{both:?}");
        assert!(codes.iter().all(|code| [0, 4].contains(code)), "{both:?}");
        world.expect_nothing_left();
    }
}

#[test]
fn the_run_of_another_host_is_taken_for_dead_after_a_minute_of_silence() {
    let world = World::shared();
    killed_run(&world);
    let lease = world.only_lease();
    let held_elsewhere = |renewed: &str| {
        let object = world.kubectl(&["get", "lease", &lease, "-o", "json"]);
        let object: Value = serde_json::from_str(&object).unwrap();
        let record = object["metadata"]["annotations"]["kubectl-wa/record"].as_str();
        let mut record: Value = serde_json::from_str(record.unwrap()).unwrap();
        record["holder"]["host"] = "elsewhere".into();
        record["holder"]["identity"]["boot"] = "another".into();
        let patch = json!({
            "metadata": { "annotations": { "kubectl-wa/record": record.to_string() } },
            "spec": { "renewTime": renewed },
        });
        world.kubectl(&[
            "patch",
            "lease",
            &lease,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ]);
    };
    let now = run_date("now");
    held_elsewhere(&now);
    let refused = world.cleanup(4).stdout;
    assert!(refused.contains("@elsewhere"), "{refused}");
    held_elsewhere(&run_date("2 minutes ago"));
    let removed = world.cleanup(0).stdout;
    assert!(removed.contains("removed"), "{removed}");
    world.expect_nothing_left();
}

/// A time as Kubernetes writes it.
fn run_date(when: &str) -> String {
    let format = "+%Y-%m-%dT%H:%M:%S.000000Z";
    let mut date = std::process::Command::new("date");
    let printed = end_to_end::run(date.args(["-u", "-d", when, format]));
    printed.expect_code(0).stdout.trim().to_owned()
}

#[test]
fn a_command_whose_lease_is_deleted_fails_and_its_objects_go() {
    let world = World::shared();
    let scratch = world.scratch();
    let running = fetching(&world, &scratch);
    world.kubectl(&["delete", "lease", &world.only_lease()]);
    let outcome = running.end().expect_code(1);
    assert_eq!(outcome.stdout, "");
    world.expect_nothing_left();

    world
        .sandbox()
        .disks()
        .set_delay(Operation::Snapshot, Delay::Never);
    let mut waiting = world.start_pvc(scratch.path(), SNAPSHOT);
    waiting.until(WAITS_FOR_SNAPSHOT);
    world.kubectl(&["delete", "lease", &world.only_lease()]);
    let outcome = waiting.end();
    world
        .sandbox()
        .disks()
        .set_delay(Operation::Snapshot, Delay::default());
    outcome.expect_code(1);
    world.expect_nothing_left();
}

#[test]
fn a_cluster_that_lets_nobody_in_at_the_end_is_reported_with_every_command() {
    let world = World::shared();
    let scratch = world.scratch();
    let running = fetching(&world, &scratch);
    let pod = helper_pod(&world);
    world.fault(Matcher::default(), None, Effect::ExpireToken);
    let outcome = running.end();
    world.sandbox().faults().clear();
    outcome.expect_code(6).expect_error(&[
        "left behind",
        &format!("kubectl delete pod {pod}"),
        "kubectl wa-pvc cleanup",
    ]);
    world.cleanup(0);
    world.expect_nothing_left();
}

#[test]
fn a_cluster_that_is_away_for_a_while_at_the_end_is_waited_for() {
    let world = World::shared();
    let scratch = world.scratch();
    let mut running = fetching(&world, &scratch);
    world.fault(Matcher::default(), None, Effect::RefuseConnections);
    running.until_said("the API server cannot be reached; trying again");
    world.sandbox().faults().clear();
    let outcome = running
        .end()
        .expect_code(1)
        .expect_error(&["the API server cannot be reached; trying again for up to"]);
    let warnings = outcome.stderr.matches("cannot be reached; trying again");
    assert_eq!(warnings.count(), 1, "{}", outcome.stderr);
    world.expect_nothing_left();
}

#[test]
fn a_deletion_that_is_forbidden_meanwhile_is_reported_though_the_dump_is_here() {
    let world = World::shared();
    let scratch = world.scratch();
    let running = fetching(&world, &scratch);
    let pod = helper_pod(&world);
    world.sandbox().faults().clear();
    world.fault(
        Matcher::default(),
        None,
        Effect::Forbid {
            verb: "delete".to_owned(),
            group: String::new(),
            resource: "pods".to_owned(),
            subresource: String::new(),
        },
    );
    let outcome = running.end().expect_code(6).expect_error(&[
        "left behind",
        "orbidden",
        &format!("kubectl delete pod {pod}"),
    ]);
    assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);

    world
        .cleanup(6)
        .expect_error(&[&format!("kubectl delete pod {pod}")]);
    world.sandbox().faults().clear();
    let removed = world.cleanup(0).stdout;
    assert!(removed.contains("nobody any more"), "{removed}");
    world.expect_nothing_left();
}
