//! `kubectl wa-pvc --via portworx`: the volume is detached after it, always.

use std::fs;
use std::sync::MutexGuard;

use end_to_end::{FETCH, Outcome, Request, Running, World, run, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use wa_sandbox::world::{Operation, Storage};

const PULL: &[&str] = &["pull", "--latest", "--to", "s", "--via", "portworx"];
const ATTACHES: Request = ("GET", "command=attach");
const MOUNTS: Request = ("GET", "command=mount");
/// Puts on record what is done next, once the way is known.
const RECORDS: Request = ("PUT", "/leases/");
const LISTS_FILES: Request = ("GET", "describe_all");
const FETCHES: Request = ("GET", FETCH);
const UNMOUNTS: Request = ("GET", "command=unmount");
/// It stands in a script.
const REMOVES_DIRECTORY: Request = ("GET", "rmdir");
const DETACHES: Request = ("GET", "command=detach");

fn world() -> MutexGuard<'static, World> {
    World::shared_on(Storage::Portworx)
}

/// A pull that has begun to fetch and will take its time.
#[track_caller]
fn fetching<'a>(world: &'a World, scratch: &TempDir) -> Running<'a> {
    world.slow_fetches();
    let mut running = world.start_pvc(scratch.path(), PULL);
    running.until(FETCHES);
    running
}

/// Starts a backup from the CronJob's template.
#[track_caller]
fn start_backup(world: &World, name: &str) {
    let from = format!("--from=cronjob/{}", world.sandbox().names().cron_job());
    world.kubectl(&["create", "job", name, &from]);
}

/// A backup, which fails where the volume is still attached.
#[track_caller]
fn expect_backup_works(world: &World, name: &str) {
    start_backup(world, name);
    expect_backup_ends_well(world, name);
}

#[track_caller]
fn expect_backup_ends_well(world: &World, name: &str) {
    let job = format!("job/{name}");
    world.kubectl(&["wait", "--for=condition=Complete", &job, "--timeout=60s"]);
    world.kubectl(&["delete", &job, "--wait"]);
    wait_until("the volume is detached", || {
        let portworx = world.sandbox().portworx();
        portworx.in_use(&world.volume_name()).is_none()
    });
}

/// The Portworx pod on a node.
fn portworx_pod(world: &World, node: &str) -> String {
    let of_node = format!("spec.nodeName={node}");
    let pods = [
        "get",
        "pods",
        "-n",
        "kube-system",
        "-l",
        "name=portworx",
        "--field-selector",
        &of_node,
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ];
    world.kubectl(&pods)
}

#[test]
fn a_pull_leaves_the_volume_detached_and_the_next_backup_works() {
    let world = world();
    let scratch = world.scratch();
    let outcome = world.pvc(scratch.path(), PULL).expect_code(0);
    assert!(outcome.stdout.contains("verified"), "{}", outcome.stdout);
    world.expect_nothing_left();
    let set = world.only_set(&scratch.path().join("s"));
    let manifest = fs::read(set.join("backup.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let file = manifest["volume"]["file"].as_str().unwrap();
    assert_eq!(
        fs::read(set.join("store.dump")).unwrap(),
        fs::read(world.volume_directory().join(file)).unwrap()
    );
    expect_backup_works(&world, "after-pull");
}

/// A fault of the streams that a request stands for.
#[track_caller]
fn fault(world: &World, (method, path): Request, times: Option<u32>, effect: Effect) {
    let on = Matcher {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..Matcher::default()
    };
    world.fault(on, times, effect);
}

#[test]
fn what_somebody_else_has_attached_meanwhile_stays_attached() {
    let world = world();
    let volume = world.volume_name();
    let portworx = world.sandbox().portworx();
    for node in ["node1", "node2"] {
        let scratch = world.scratch();
        let away = Effect::Status {
            code: 503,
            message: "away for a moment".to_owned(),
            retry_after: None,
        };
        fault(&world, RECORDS, None, away);
        let mut running = world.start_pvc(scratch.path(), PULL);
        // By now it knows that nobody has it; what is not on record is not done.
        running.until(RECORDS);
        portworx.attach(&volume, node).unwrap();
        world.sandbox().faults().clear();
        running
            .end()
            .expect_code(1)
            .expect_error(&["is attached to"]);
        assert_eq!(portworx.in_use(&volume).unwrap().node, node);
        assert_eq!(world.objects_of_runs(), Vec::<String>::new());
        portworx.detach(&volume).unwrap();
        world.expect_nothing_left();
    }
}

#[test]
fn a_directory_that_cannot_be_removed_does_not_keep_the_volume_attached() {
    let world = world();
    let scratch = world.scratch();
    let refused = Effect::Status {
        code: 500,
        message: "not now".to_owned(),
        retry_after: None,
    };
    fault(&world, REMOVES_DIRECTORY, None, refused);
    let mut running = world.start_pvc(scratch.path(), PULL);
    running.until(REMOVES_DIRECTORY);
    assert_eq!(
        world.sandbox().portworx().in_use(&world.volume_name()),
        None
    );
    running
        .end()
        .expect_code(0)
        .expect_error(&["is detached, and the empty directory of its mount is left"]);
    world.sandbox().faults().clear();
    assert_eq!(world.objects_of_runs(), Vec::<String>::new());
    for node in ["node1", "node2"] {
        let remove = "rmdir /var/lib/osd/mounts/* 2>/dev/null || :";
        let pod = portworx_pod(&world, node);
        world.kubectl(&["exec", "-n", "kube-system", &pod, "--", "sh", "-c", remove]);
    }
    world.expect_nothing_left();
}

#[test]
fn what_portworx_refuses_is_reported_and_undone() {
    let world = world();
    let portworx = world.sandbox().portworx();
    for (operation, command) in [
        (Operation::Attach, "pxctl host attach"),
        (Operation::Mount, "pxctl host mount"),
    ] {
        let scratch = world.scratch();
        portworx.fail(operation, 1);
        world
            .pvc(scratch.path(), PULL)
            .expect_code(1)
            .expect_error(&[command, "failed"]);
        world.expect_nothing_left();
    }
}

#[test]
fn a_volume_that_is_busy_for_a_moment_is_released_all_the_same() {
    let world = world();
    for operation in [Operation::Unmount, Operation::Detach] {
        let scratch = world.scratch();
        world.sandbox().portworx().fail(operation, 2);
        world.pvc(scratch.path(), PULL).expect_code(0);
        world.expect_nothing_left();
    }
}

#[test]
fn a_volume_that_cannot_be_released_is_reported_loudly_with_every_command_and_cleanup_tries_again()
{
    let world = world();
    let volume = world.volume_name();
    let portworx = world.sandbox().portworx();
    for operation in [Operation::Unmount, Operation::Detach] {
        let scratch = world.scratch();
        portworx.fail(operation, usize::MAX);
        let outcome = world.pvc(scratch.path(), PULL).expect_code(6);
        portworx.fail(operation, 0);
        assert!(outcome.stdout.contains("fetched"), "{}", outcome.stdout);
        let node = portworx.in_use(&volume).unwrap().node;
        let exec = format!(
            "kubectl exec -n kube-system {} -c portworx -- ",
            portworx_pod(&world, &node)
        );
        let detach = format!("{exec}/opt/pwx/bin/pxctl host detach {volume}");
        let outcome = outcome.expect_error(&[
            "left behind",
            &format!("{exec}/opt/pwx/bin/pxctl host unmount --path /var/lib/osd/mounts/"),
            &detach,
            "kubectl wa-pvc cleanup",
        ]);
        assert!(!outcome.stderr.contains("undone"), "{}", outcome.stderr);

        let dry = world.pvc(scratch.path(), &["cleanup", "--dry-run"]);
        let dry = dry.expect_code(0).stdout;
        assert!(dry.contains(&volume), "{dry}");
        assert!(portworx.in_use(&volume).is_some());
        let removed = world.cleanup(0).stdout;
        assert!(removed.contains("removed"), "{removed}");
        world.expect_nothing_left();
    }
    expect_backup_works(&world, "after-cleanup");
}

#[test]
fn the_commands_that_are_reported_do_what_they_say() {
    let world = world();
    let scratch = world.scratch();
    let portworx = world.sandbox().portworx();
    portworx.fail(Operation::Unmount, usize::MAX);
    let told = world.pvc(scratch.path(), PULL).expect_code(6).stderr;
    portworx.fail(Operation::Unmount, 0);
    let commands = told.lines().map(str::trim);
    let commands: Vec<&str> = commands
        .filter(|line| line.starts_with("kubectl exec"))
        .collect();
    assert!(commands.len() >= 3, "{told}");
    for command in commands {
        run(world.command("sh").args(["-c", command])).expect_code(0);
    }
    assert_eq!(portworx.in_use(&world.volume_name()), None);
    world.cleanup(0);
    world.expect_nothing_left();
}

#[test]
fn a_signal_at_any_step_leaves_the_volume_detached() {
    let world = world();
    let work = [ATTACHES, MOUNTS, LISTS_FILES, FETCHES];
    let undoing = [UNMOUNTS, DETACHES, REMOVES_DIRECTORY];
    for step in work.into_iter().chain(undoing) {
        println!("{step:?}");
        if work.contains(&step) {
            world.slow_fetches();
        }
        let code = if work.contains(&step) { 130 } else { 0 };
        world
            .signal_pvc_at(step, Signal::INT, PULL)
            .expect_code(code);
        world.sandbox().faults().clear();
        world.expect_nothing_left();
    }
}

#[test]
fn what_a_killed_command_attached_is_detached_by_cleanup() {
    let world = world();
    for step in [
        ATTACHES,
        MOUNTS,
        LISTS_FILES,
        FETCHES,
        UNMOUNTS,
        DETACHES,
        REMOVES_DIRECTORY,
    ] {
        println!("{step:?}");
        if step == FETCHES {
            world.slow_fetches();
        }
        world
            .signal_pvc_at(step, Signal::KILL, PULL)
            .expect_code(-1);
        world.sandbox().faults().clear();
        let removed = world.cleanup(0).stdout;
        assert!(removed.contains("removed"), "{removed}");
        world.expect_nothing_left();
    }
    expect_backup_works(&world, "after-kills");
}

#[test]
fn a_portworx_pod_that_is_replaced_in_the_middle_is_no_reason_to_leave_the_volume_attached() {
    let world = world();
    let scratch = world.scratch();
    let running = fetching(&world, &scratch);
    let node = world.sandbox().portworx().in_use(&world.volume_name());
    let pod = portworx_pod(&world, &node.unwrap().node);
    world.kubectl(&["delete", "pod", "-n", "kube-system", &pod]);
    let Outcome { code, stderr, .. } = running.end();
    world.sandbox().faults().clear();
    assert_eq!(code, 1, "{stderr}");
    world.expect_nothing_left();
    expect_backup_works(&world, "after-replacement");
}

#[test]
fn a_backup_that_starts_meanwhile_works() {
    let world = world();
    let volume = world.volume_name();
    for node in ["node1", "node2"] {
        let scratch = world.scratch();
        let running = fetching(&world, &scratch);
        // On the node of the pull, and on the other one, where it has to wait for the volume.
        world.kubectl(&["cordon", node]);
        let name = format!("meanwhile-on-{node}");
        start_backup(&world, &name);
        let selector = format!("job-name={name}");
        wait_until("the backup has a node", || {
            let nodes = "jsonpath={.items[*].spec.nodeName}";
            let of_job = ["get", "pods", "-l", &selector, "-o", nodes];
            !world.kubectl(&of_job).is_empty()
        });
        let used = world.sandbox().portworx().in_use(&volume);
        assert!(used.is_some(), "the pull still has the volume");
        running.end().expect_code(0);
        world.sandbox().faults().clear();
        assert_eq!(world.objects_of_runs(), Vec::<String>::new());
        expect_backup_ends_well(&world, &name);
        world.kubectl(&["uncordon", node]);
        world.expect_nothing_left();
    }
}

#[test]
fn a_node_whose_portworx_is_down_at_the_end_is_reported_and_cleaned_up_when_it_is_back() {
    let world = world();
    let scratch = world.scratch();
    let volume = world.volume_name();
    let portworx = world.sandbox().portworx();
    let mut running = fetching(&world, &scratch);
    let node = portworx.in_use(&volume).unwrap().node;
    portworx.set_down(&node, true);
    running.signal(Signal::INT);
    running.end().expect_code(6).expect_error(&[
        "left behind",
        &format!("pxctl host detach {volume}"),
        "kubectl wa-pvc cleanup",
    ]);
    world.sandbox().faults().clear();
    portworx.set_down(&node, false);
    wait_until("Portworx is ready", || {
        let pod = portworx_pod(&world, &node);
        let ready = "jsonpath={.status.containerStatuses[0].ready}";
        world.kubectl(&["get", "pod", "-n", "kube-system", &pod, "-o", ready]) == "true"
    });
    world.cleanup(0);
    world.expect_nothing_left();
}

#[test]
fn a_pull_whose_lease_is_deleted_stops_and_detaches_the_volume() {
    let world = world();
    let scratch = world.scratch();
    // Slow enough for the lease to be missed meanwhile.
    world.slow_fetches_to(1_000);
    let mut running = world.start_pvc(scratch.path(), PULL);
    running.until(FETCHES);
    world.kubectl(&["delete", "lease", &world.only_lease()]);
    let outcome = running.end().expect_code(1).expect_error(&["was lost"]);
    assert_eq!(outcome.stdout, "");
    world.sandbox().faults().clear();
    world.expect_nothing_left();
}
