//! `kubectl wa-pvc --via portworx` where it would harm a backup, or cannot work: refused, and nothing is changed.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::sync::MutexGuard;

use end_to_end::{World, run, wait_until};
use serde_json::{Value, json};
use wa_sandbox::world::Storage;

const PULL: &[&str] = &["pull", "--latest", "--to", "s", "--via", "portworx"];

fn world() -> MutexGuard<'static, World> {
    World::shared_on(Storage::Portworx)
}

/// A pull that must be refused before anything is changed.
#[track_caller]
fn refused(world: &World, arguments: &[&str], why: &str) {
    let scratch = world.scratch();
    let before = world.sandbox().portworx().in_use(&world.volume_name());
    let outcome = world
        .pvc(scratch.path(), &[PULL, arguments].concat())
        .expect_code(1)
        .expect_error(&["nothing was changed", why]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert_eq!(world.objects_of_runs(), Vec::<String>::new());
    let after = world.sandbox().portworx().in_use(&world.volume_name());
    assert_eq!(after, before);
}

#[test]
fn a_volume_in_use_is_not_attached() {
    let world = world();
    let volume = world.volume_name();
    let portworx = world.sandbox().portworx();
    portworx.attach(&volume, "node2").unwrap();
    refused(&world, &[], "is attached to");
    portworx.detach(&volume).unwrap();

    world.start_pod_on_volume("reader");
    refused(&world, &[], "pod reader has the volume mounted");
    world.delete_pod("reader");
    wait_until("the volume is detached", || {
        portworx.in_use(&volume).is_none()
    });
    world.expect_nothing_left();
}

#[test]
fn no_pull_during_a_backup_or_just_before_one() {
    let world = world();
    let cron_job = world.sandbox().names().cron_job();
    let template = world.kubectl(&["get", "cronjob", &cron_job, "-o", "json"]);
    let template: Value = serde_json::from_str(&template).unwrap();
    let mut spec = template["spec"]["jobTemplate"]["spec"].clone();
    spec["template"]["spec"]["containers"][0]["command"] = json!(["sleep", "100000"]);
    world.create(&json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "running-backup",
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "controller": true, "blockOwnerDeletion": true,
                "name": cron_job, "uid": template["metadata"]["uid"],
            }],
        },
        "spec": spec,
    }));
    let active = "jsonpath={.status.active[*].name}";
    wait_until("the backup is active", || {
        let active = world.kubectl(&["get", "cronjob", &cron_job, "-o", active]);
        active.contains("running-backup")
    });
    refused(&world, &[], "backup job running-backup is running");
    world.kubectl(&[
        "delete",
        "job",
        "running-backup",
        "--wait",
        "--cascade=foreground",
    ]);
    wait_until("the volume is detached", || {
        let portworx = world.sandbox().portworx();
        portworx.in_use(&world.volume_name()).is_none()
    });

    let quiet = world.schedule();
    let mut date = std::process::Command::new("date");
    let soon = run(date.args(["-u", "-d", "8 minutes", "+%M %H * * *"])).expect_code(0);
    world.set_schedule(soon.stdout.trim());
    refused(&world, &[], "a backup starts in ");
    let scratch = world.scratch();
    world
        .pvc(scratch.path(), &[PULL, &["--window", "2m"]].concat())
        .expect_code(0);
    world.set_schedule(&quiet);
    world.expect_nothing_left();
}

#[test]
fn without_a_portworx_pod_that_is_ready_there_is_no_way() {
    let world = world();
    let portworx = world.sandbox().portworx();
    let ready = || {
        let phases = "jsonpath={.items[*].status.containerStatuses[0].ready}";
        world.kubectl(&[
            "get",
            "pods",
            "-n",
            "kube-system",
            "-l",
            "name=portworx",
            "-o",
            phases,
        ])
    };
    let set_down = |down| {
        for node in ["node1", "node2"] {
            portworx.set_down(node, down);
        }
    };
    set_down(true);
    wait_until("no pod is ready", || !ready().contains("true"));
    refused(&world, &[], "no Ready pod labelled name=portworx");
    set_down(false);
    wait_until("the pods are ready", || !ready().contains("false"));
    world.expect_nothing_left();
}

#[test]
fn who_may_not_use_the_pods_of_portworx_is_reported_so() {
    let world = world();
    let namespace = world.sandbox().namespace();
    world.create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "operator", "namespace": namespace },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "everything" },
    }));
    world.create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "everything" },
        "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }],
    }));
    let kubeconfig = world.sandbox().user_kubeconfig("operator").unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    refused(
        &world,
        &["--kubeconfig", kubeconfig],
        "in namespace \"kube-system\"",
    );
    world.expect_nothing_left();
}

#[test]
fn an_encrypted_volume_is_attached_only_with_its_key() {
    // Its own cluster: what is encrypted stays so.
    let world = World::start_on(Storage::Portworx, wa_sandbox::world::Profile::default());
    let volume = world.volume_name();
    let portworx = world.sandbox().portworx();
    portworx.encrypt(&volume);
    let scratch = world.scratch();
    world
        .pvc(scratch.path(), PULL)
        .expect_code(1)
        .expect_error(&["is encrypted", "--via debug"]);
    world.expect_nothing_left();
    portworx.give_key();
    world.pvc(scratch.path(), PULL).expect_code(0);
    world.expect_nothing_left();
}
