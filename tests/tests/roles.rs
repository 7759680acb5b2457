//! The roles that `kubectl wa-backup rbac` prints are enough for every command, and no rule of them is too much. What
//! the commands print on the way is as docs/output.md says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set itself up has failed, and shows what it did"
)]

#[path = "roles/user.rs"]
mod user;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use end_to_end::{Restored, Shapes, World, binary, run};
use rustix::process::Signal;
use serde_json::Value;
use user::User;
use wa_sandbox::world::{Instances, Profile};

const OPERATORS: [&str; 2] = ["--operators-namespace", "cpd-operators"];
const SNAPSHOT: [&str; 2] = [
    "--via=snapshot",
    "--snapshot-class=ocs-storagecluster-rbdplugin-snapclass",
];

/// A target of a restore, in which patches take effect within seconds.
fn quick() -> Restored {
    Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.instances = Instances::Target;
        config.variant.operator_period = Duration::from_secs(1);
        config.variant.retrain_speed = 600;
    })
}

fn use_volume(pvc: &User<'_>) {
    pvc.all(&[
        (&["info"], 0),
        (&["list"], 0),
        (&["pull", "--latest", "--to", "pulled"], 0),
        (
            &[&["pull", "--latest", "--to", "snapshot"], &SNAPSHOT[..]].concat(),
            0,
        ),
    ]);
}

fn back_up(backup: &User<'_>) {
    backup.all(&[
        (&["check"], 0),
        (&["create", "--to", "own"], 0),
        (&["diff", "sets/latest", "live"], 0),
        (&["schedule", "show"], 0),
        (&["schedule", "set", "--keep-daily", "7", "--watch", "0"], 0),
        (&["schedule", "suspend", "--watch", "0"], 0),
        (&["schedule", "resume", "--watch", "0"], 0),
        (&["trigger", "--pull", "--to", "triggered"], 0),
    ]);
}

/// What is documented of the output for programs, and held to by other tests: the section, and the test's file.
const HELD_ELSEWHERE: [(&str, &str); 4] = [
    ("kubectl wa-restore resume", "restore_interrupted.rs"),
    ("kubectl wa-restore rollback", "restore_interrupted.rs"),
    ("kubectl wa-retrain scale", "retrain_change.rs"),
    ("kubectl wa-retrain start", "retrain_change.rs"),
];

/// Every shape that is documented was that of some output, here or in another test.
#[track_caller]
fn expect_every_shape_held(users: &[&User<'_>]) {
    let mut held: BTreeSet<String> = BTreeSet::new();
    for user in users {
        held.extend(user.held.borrow().iter().cloned());
    }
    for (heading, file) in HELD_ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(file);
        let test = fs::read_to_string(path).unwrap();
        let call = format!("expect_shape(\"{heading}\")");
        assert!(test.contains(&call), "no {call} in {file}");
        held.insert(heading.to_owned());
    }
    let shapes = Shapes::documented();
    let not_held: Vec<&str> = shapes
        .commands()
        .filter(|one| !held.contains(*one))
        .collect();
    assert_eq!(not_held, [""; 0], "documented, and held to by no test");
}

/// Interrupts runs, and has each user remove what they left.
fn clean_up(world: &World, directory: &Path, users: [&User<'_>; 2]) {
    for user in users {
        let interrupted = [&["pull", "--latest", "--to", "s"], &SNAPSHOT[..]].concat();
        world.signal_pvc_at(("GET", "-helper"), Signal::KILL, &interrupted);
        user.all(&[(&["cleanup"], 0)]);
        let mut running = world.start_backup(directory, &["trigger", "--wait"]);
        running.until(("POST", "/jobs"));
        running.signal(Signal::KILL);
        running.end();
        user.all(&[(&["cleanup"], 0)]);
    }
    world.expect_nothing_left();
}

fn restore_all(restore: &User<'_>) {
    let pgmig = binary("pgmig");
    let how = [
        "sets/latest",
        "--mapping",
        "mapping.yaml",
        "--pgmig",
        pgmig.to_str().unwrap(),
    ];
    let how = [&how[..], &OPERATORS].concat();
    restore.all(&[
        (&[&["check"], &how[..]].concat(), 0),
        (&[&["plan"], &how[..]].concat(), 0),
        (&["mapping", "sets/latest", "--mapping", "mapping.yaml"], 0),
        (&["config", "--to", "configuration"], 0),
        (&["rehearse", "sets/latest"], 0),
    ]);
    // Afterwards the encryption keys are equal.
    restore.expect_each_rule_needed(
        &[
            &[&["check"], &how[..]].concat(),
            &["rehearse", "sets/latest", "--dry-run"],
            &["status"],
        ],
        &[],
    );
    restore.all(&[
        (
            &[&["run", "--yes=wa", "--timeout", "2m"], &how[..]].concat(),
            0,
        ),
        (&["status"], 0),
    ]);
}

/// Commands of which the output is of interest alone.
fn print_more(pvc: &User<'_>, backup: &User<'_>, restore: &User<'_>) {
    backup.all(&[
        (&["verify", "sets/latest"], 0),
        (&["inspect", "sets/latest"], 0),
        (&["inspect", "sets/latest", "--rows", "tenant"], 0),
        (&["list", "sets"], 0),
        (&["copy", "sets/latest", "copies"], 0),
        (&["protect", "sets/latest"], 0),
        (&["prune", "sets", "--keep-last", "1", "--dry-run"], 0),
        (&["status", "sets"], 0),
        (&["create", "--dry-run"], 0),
        (&["rbac"], 0),
        (&["trigger", "--dry-run"], 0),
    ]);
    pvc.all(&[
        (&["pull", "--latest", "--to", "pulled", "--dry-run"], 0),
        (&["cleanup", "--dry-run"], 0),
    ]);
    restore.all(&[
        (&["upgrade-path"], 0),
        (&["upgrade-path", "4.8.8", "5.2.1"], 4),
        (&["rehearse", "sets/latest", "--dry-run"], 0),
        (&["rehearse", "--clean-up"], 0),
    ]);
}

fn retrain_all(retrain: &User<'_>) {
    let impatient = [&["--timeout", "3m", "--force"], &OPERATORS[..]].concat();
    retrain.all(&[
        (&["estimate"], 0),
        (&["plan", "--replicas", "4"], 0),
        (&["plan", "--replicas", "4", "--manifests"], 0),
        (
            &[
                &["scale", "--replicas", "2"],
                &OPERATORS[..],
                &["--dry-run"],
            ]
            .concat(),
            0,
        ),
        (&[&["check"], &OPERATORS[..]].concat(), 0),
        (
            &[
                &[
                    "run",
                    "--replicas",
                    "2",
                    "--in",
                    "5s",
                    "--yes",
                    "--interval",
                    "300ms",
                ],
                &impatient[..],
            ]
            .concat(),
            0,
        ),
        (&["status"], 7),
        (&["finish"], 0),
        (&["doctor"], 0),
    ]);
}

fn need_every_rule(pvc: &User<'_>, backup: &User<'_>, retrain: &User<'_>) {
    pvc.expect_each_rule_needed(
        &[
            &["info"],
            &["pull", "--latest", "--to", "x", "--dry-run"],
            &[&["pull", "--latest", "--to", "x"], &SNAPSHOT[..]].concat(),
            &["cleanup"],
        ],
        &["jobs"],
    );
    backup.expect_each_rule_needed(
        &[
            &["check"],
            &["trigger", "--wait", "--dry-run"],
            &["trigger", "--pull", "--dry-run"],
            &["schedule", "show"],
            &["schedule", "suspend", "--dry-run"],
            &["cleanup"],
        ],
        &["volumesnapshots"],
    );
    retrain.expect_each_rule_needed(
        &[
            &[&["check"], &OPERATORS[..]].concat(),
            &["plan", "--replicas", "4"],
            &["status"],
        ],
        &[],
    );
}

#[test]
fn every_command_works_under_the_printed_roles_of_which_every_rule_is_used_and_needed() {
    let restored = quick();
    let (world, directory) = (restored.world(), restored.directory());
    let user = |plugin| User::new(world, directory, plugin);
    let (pvc, backup) = (user("wa-pvc"), user("wa-backup"));
    use_volume(&pvc);
    back_up(&backup);
    clean_up(world, directory, [&pvc, &backup]);
    pvc.expect_least();
    backup.expect_least();
    let restore = user("wa-restore");
    restore_all(&restore);
    restore.expect_least();
    print_more(&pvc, &backup, &restore);
    let retrain = user("wa-retrain");
    retrain_all(&retrain);
    retrain.expect_least();
    expect_every_shape_held(&[&pvc, &backup, &restore, &retrain]);
    need_every_rule(&pvc, &backup, &retrain);
}

#[test]
fn one_command_alone_takes_the_roles_of_that_command_alone() {
    let world = World::shared();
    let scratch = world.scratch();
    let mut command = world.command(binary("kubectl-wa-backup"));
    command.args([
        "rbac",
        "--for",
        "backup:create",
        "--bind-service-account",
        "cpd:nightly",
    ]);
    let yaml = run(&mut command).expect_code(0).stdout;
    let file = scratch.path().join("roles.yaml");
    fs::write(&file, &yaml).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let allowed = |verb: &str, resource: &str| {
        let who = "--as=system:serviceaccount:cpd:nightly";
        let mut kubectl = world.command("kubectl");
        run(kubectl.args(["auth", "can-i", verb, resource, who])).code == 0
    };
    assert!(allowed("list", "pods"), "{yaml}");
    assert!(allowed("get", "secrets/wa-auth-encryption"), "{yaml}");
    assert!(!allowed("get", "secrets/other"), "{yaml}");
    assert!(!allowed("create", "jobs.batch"), "{yaml}");
    // The YAML with its comments says what the objects of -o json do.
    let mut again = world.command(binary("kubectl-wa-backup"));
    again.args([
        "rbac",
        "--for",
        "backup:create",
        "--bind-service-account",
        "cpd:nightly",
        "-o",
        "json",
    ]);
    let objects = run(&mut again).expect_code(0).json();
    let applied = world.kubectl(&[
        "get",
        "role",
        "wa-backup-create-wa",
        "-o",
        "jsonpath={.rules}",
    ]);
    let applied: Value = serde_json::from_str(&applied).unwrap();
    assert_eq!(applied, objects["items"][0]["rules"]);
    let above: BTreeSet<&str> = yaml
        .lines()
        .zip(yaml.lines().skip(1))
        .filter(|(_, line)| line.starts_with("- apiGroups"))
        .map(|(above, _)| &above[..1])
        .collect();
    assert_eq!(above, BTreeSet::from(["#"]), "{yaml}");
}

#[test]
fn what_cannot_be_known_without_a_cluster_is_asked_for_by_name() {
    let rbac = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binary("kubectl-wa-backup"));
        command
            .env("KUBECONFIG", "/nowhere")
            .arg("rbac")
            .args(arguments);
        run(&mut command)
    };
    let known = ["-n", "cpd", "-i", "wa"];
    let first = rbac(&known).expect_code(0).stdout;
    assert_eq!(first, rbac(&known).expect_code(0).stdout);
    rbac(&[&["--for", "all"], &known[..], &OPERATORS].concat()).expect_code(0);
    rbac(&["--for", "backup:verify"])
        .expect_code(1)
        .expect_error(&["the commands of backup that ask a cluster are create, check, diff"]);
    rbac(&["--for", "everything"]).expect_code(1);
    rbac(&["--bind-service-account", "nightly"])
        .expect_code(1)
        .expect_error(&["NAMESPACE:NAME"]);
}
