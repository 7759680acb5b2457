//! The roles in docs/permissions.md are enough, and less than them is told.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use std::path::{Path, PathBuf};

use end_to_end::{Outcome, World, binary, run};

const PERMISSIONS: &str = include_str!("../../docs/permissions.md");

/// The role called `name`, as the documentation has it.
fn documented_role(name: &str) -> &'static str {
    PERMISSIONS
        .split("```")
        .filter_map(|block| block.strip_prefix("yaml\n"))
        .find(|yaml| yaml.contains(&format!("name: {name}\n")))
        .unwrap()
}

/// A kubeconfig of a user who has that role and nothing else.
fn user_with_role(world: &World, scratch: &Path, role: &str, yaml: &str) -> PathBuf {
    let user = format!("user-of-{role}");
    let file = scratch.join("role.yaml");
    std::fs::write(&file, yaml).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let (role, who) = (format!("--role={role}"), format!("--user={user}"));
    world.kubectl(&["create", "rolebinding", &user, &role, &who]);
    world.sandbox().user_kubeconfig(&user).unwrap()
}

fn plugin(name: &str, kubeconfig: &Path, directory: &Path, arguments: &[&str]) -> Outcome {
    let mut command = std::process::Command::new(binary(name));
    command
        .env("KUBECONFIG", kubeconfig)
        .args(arguments)
        .current_dir(directory);
    run(&mut command)
}

#[test]
fn a_backup_is_taken_with_the_documented_role() {
    let world = World::shared();
    let scratch = world.scratch();
    let role = documented_role("wa-backup");
    let user = user_with_role(&world, scratch.path(), "wa-backup", role);
    let backup = |arguments: &[&str]| plugin("kubectl-wa-backup", &user, scratch.path(), arguments);
    backup(&["check"]).expect_code(0);
    backup(&["create", "--to", "sets"]).expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));
    backup(&["verify", set.to_str().unwrap()]).expect_code(0);
}

#[test]
fn retraining_is_estimated_and_planned_with_the_documented_role() {
    let world = World::shared();
    let scratch = world.scratch();
    let role = documented_role("wa-retrain-look");
    let user = user_with_role(&world, scratch.path(), "wa-retrain-look", role);
    for arguments in [&["estimate"][..], &["plan", "--replicas", "10"]] {
        let outcome = plugin("kubectl-wa-retrain", &user, scratch.path(), arguments);
        let outcome = outcome.expect_code(0);
        assert!(
            outcome.stdout.contains("you may not list nodes"),
            "{}",
            outcome.stdout
        );
    }
    // Nothing was started.
    plugin("kubectl-wa-retrain", &user, scratch.path(), &["status"]).expect_code(7);
}

#[test]
fn a_dump_is_fetched_with_the_documented_role_by_helper_pod_and_by_snapshot() {
    let world = World::shared();
    let scratch = world.scratch();
    let role = documented_role("wa-pvc");
    let user = user_with_role(&world, scratch.path(), "wa-pvc", role);
    let pvc = |arguments: &[&str]| plugin("kubectl-wa-pvc", &user, scratch.path(), arguments);
    pvc(&["info"]).expect_code(0);
    pvc(&["pull", "--latest", "--to", "debug"]).expect_code(0);
    let class = "--snapshot-class=ocs-storagecluster-rbdplugin-snapclass";
    let snapshot = [
        "pull",
        "--latest",
        "--to",
        "snapshot",
        "--via=snapshot",
        class,
    ];
    pvc(&snapshot).expect_code(0);
    pvc(&["cleanup"]).expect_code(0);
    for sets in ["debug", "snapshot"] {
        world.only_set(&scratch.path().join(sets));
    }
    world.expect_nothing_left();
}

#[test]
fn everything_that_a_smaller_role_lacks_is_reported_at_once() {
    let world = World::shared();
    let scratch = world.scratch();
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
                metadata:\n  name: too-small\n  namespace: cpd\n\
                rules:\n- apiGroups: [assistant.watson.ibm.com]\n  resources: [watsonassistants]\n  verbs: [list]\n";
    let user = user_with_role(&world, scratch.path(), "too-small", role);
    plugin(
        "kubectl-wa-pvc",
        &user,
        scratch.path(),
        &["pull", "--latest"],
    )
    .expect_code(1)
    .expect_error(&[
        "get persistentvolumeclaims",
        "list pods",
        "get cronjobs.batch",
    ]);
    world.expect_nothing_left();
}
