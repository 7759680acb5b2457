//! `kubectl wa-backup trigger`: a Job of the CronJob on demand, its ends, and what is left of it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use end_to_end::{Outcome, Request, World, run, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

const CREATES_LEASE: Request = ("POST", "/leases");
const RECORDS: Request = ("PUT", "/leases/");
const CREATES_JOB: Request = ("POST", "/jobs");
const READS_LOG: Request = ("GET", "/log");

/// The CronJob with another script, another field of its Jobs, or another policy; as it was when this is dropped.
struct Changed<'a> {
    world: &'a World,
    before: Value,
}

impl<'a> Changed<'a> {
    fn cron_job(world: &'a World, change: impl FnOnce(&mut Value)) -> Self {
        let name = world.sandbox().names().cron_job();
        let before = world.kubectl(&["get", "cronjob", &name, "-o", "json"]);
        let before: Value = serde_json::from_str(&before).unwrap();
        let mut spec = before["spec"].clone();
        change(&mut spec);
        let changed = Self { world, before };
        changed.set(&spec).expect_code(0);
        changed
    }

    fn script(world: &'a World, script: &str) -> Self {
        Self::cron_job(world, |spec| set_script(spec, script))
    }

    fn set(&self, spec: &Value) -> Outcome {
        let name = self.world.sandbox().names().cron_job();
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]).to_string();
        let mut kubectl = self.world.command("kubectl");
        run(kubectl.args(["patch", "cronjob", &name, "--type=json", "-p", &patch]))
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.set(&self.before["spec"]);
    }
}

fn job_spec(spec: &mut Value) -> &mut Value {
    &mut spec["jobTemplate"]["spec"]
}

fn set_script(spec: &mut Value, script: &str) {
    let container = &mut job_spec(spec)["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/bash", "-c", script]);
}

fn script_of(world: &World) -> String {
    let name = world.sandbox().names().cron_job();
    let path = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].command[2]}";
    world.kubectl(&["get", "cronjob", &name, "-o", path])
}

fn trigger(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    world.backup(scratch.path(), &[&["trigger"], arguments].concat())
}

fn jobs_on_demand(world: &World) -> Vec<String> {
    let jobs = world.kubectl(&["get", "jobs", "-l", "kubectl-wa/run", "-o", "name"]);
    jobs.lines().map(str::to_owned).collect()
}

/// The pod of the only Job on demand, when it runs.
#[track_caller]
fn running_pod(world: &World) -> String {
    let mut found = String::new();
    wait_until("the pod of the job runs", || {
        let jobs = jobs_on_demand(world);
        let Some(job) = jobs.first().and_then(|job| job.split_once('/')) else {
            return false;
        };
        let selector = format!("job-name={}", job.1);
        let pods = ["get", "pods", "-l", &selector, "-o"];
        let running = "jsonpath={.items[?(@.status.phase==\"Running\")].metadata.name}";
        found = world.kubectl(&[&pods[..], &[running]].concat());
        !found.is_empty()
    });
    found
}

#[track_caller]
fn expect_nothing_left(world: &World) {
    assert_eq!(jobs_on_demand(world), [""; 0]);
    world.expect_nothing_left();
}

#[test]
fn a_backup_is_taken_now_its_log_is_shown_and_its_job_is_removed() {
    let world = World::shared();
    let before = world.dumps();
    let outcome = trigger(&world, &["--wait"]).expect_code(0);
    assert!(outcome.stdout.contains(" complete"), "{}", outcome.stdout);
    outcome.expect_error(&["Backing up", "undone", "job wa-backup-"]);
    let after = world.dumps();
    assert!(!before.contains(&after[0]), "{after:?}");
    expect_nothing_left(&world);
}

#[test]
fn every_release_has_a_cron_job_that_can_be_triggered_and_fetched_from() {
    for profile in Profile::ALL {
        println!("{profile:?}");
        let world = World::start(profile);
        let scratch = world.scratch();
        let arguments = ["trigger", "--pull", "--to", "sets", "-o", "json"];
        let outcome = world.backup(scratch.path(), &arguments).expect_code(0);
        let outcome = outcome.json();
        assert_eq!(outcome["outcome"], "complete");
        let newest = &world.dumps()[0];
        assert_eq!(outcome["sets"][0]["volume"]["file"], **newest);
        let set = world.only_set(&scratch.path().join("sets"));
        world
            .backup(scratch.path(), &["verify", set.to_str().unwrap()])
            .expect_code(0);
        expect_nothing_left(&world);
    }
}

#[test]
fn the_job_is_the_one_that_kubectl_would_make() {
    let world = World::shared();
    let name = format!("cronjob/{}", world.sandbox().names().cron_job());
    let dry = ["create", "job", "x", "--from", &name, "--dry-run=client"];
    let by_kubectl = world.kubectl(&[&dry[..], &["-o", "json"]].concat());
    let by_kubectl: Value = serde_json::from_str(&by_kubectl).unwrap();
    trigger(&world, &["--keep-job", "--wait"]).expect_code(0);
    let job = jobs_on_demand(&world).remove(0);
    let ours: Value = serde_json::from_str(&world.kubectl(&["get", &job, "-o", "json"])).unwrap();
    world.kubectl(&["delete", &job, "--wait"]);
    for path in [
        "/metadata/annotations",
        "/metadata/ownerReferences/0/uid",
        "/metadata/ownerReferences/0/controller",
        "/spec/backoffLimit",
        "/spec/template/spec/containers/0/env",
        "/spec/template/spec/volumes",
    ] {
        let of_kubectl = by_kubectl.pointer(path);
        assert_eq!(ours.pointer(path), of_kubectl, "{path}");
    }
    let labels = by_kubectl["metadata"]["labels"].as_object().unwrap();
    let ours_is = |label: &str| label == "app.kubernetes.io/managed-by";
    for (label, value) in labels.iter().filter(|(label, _)| !ours_is(label)) {
        assert_eq!(&ours["metadata"]["labels"][label], value);
    }
    expect_nothing_left(&world);
}

#[test]
fn a_job_that_is_not_waited_for_is_left_to_the_cluster() {
    let world = World::shared();
    let outcome = trigger(&world, &["-o", "json"]).expect_code(0).json();
    assert_eq!(outcome["outcome"], "started");
    assert_eq!(outcome["jobAfterwards"], "removedByCluster");
    let job = format!("job/{}", outcome["job"].as_str().unwrap());
    world.kubectl(&["wait", &job, "--for=condition=Complete", "--timeout=60s"]);
    let ttl = "jsonpath={.spec.ttlSecondsAfterFinished}";
    assert_eq!(world.kubectl(&["get", &job, "-o", ttl]), "86400");
    world.cleanup(0);
    assert_eq!(jobs_on_demand(&world).len(), 1, "it is nobody's leftover");
    world.kubectl(&["delete", &job, "--wait"]);
    world.expect_no_strangers();
}

#[test]
fn the_ends_of_a_job_are_different() {
    let world = World::shared();
    let ended = |arguments: &[&str]| {
        let outcome = trigger(&world, &[&["--wait", "-o", "json"], arguments].concat());
        let outcome = outcome.expect_code(1);
        expect_nothing_left(&world);
        (outcome.json(), outcome.stderr)
    };

    let changed = Changed::script(&world, "echo the disk is full >&2; exit 3");
    let (outcome, said) = ended(&[]);
    assert_eq!(outcome["outcome"], "failed");
    assert!(said.contains("the disk is full"), "{said}");
    assert!(said.contains("exit code 3"), "{said}");
    drop(changed);

    let changed = Changed::cron_job(&world, |spec| {
        set_script(spec, "exec sleep 1000");
        job_spec(spec)["activeDeadlineSeconds"] = 2.into();
        job_spec(spec)["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    });
    let (outcome, said) = ended(&[]);
    assert_eq!(outcome["outcome"], "deadlineExceeded");
    assert!(said.contains("deadline"), "{said}");
    drop(changed);
}

#[test]
fn a_job_that_is_deleted_and_one_that_is_evicted_are_distinguished_from_one_that_failed() {
    let world = World::shared();
    let _changed = Changed::cron_job(&world, |spec| {
        set_script(spec, "exec sleep 1000");
        job_spec(spec)["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    });
    let scratch = world.scratch();
    for (name, act) in [
        ("deleted", &["delete", "job", "--wait=false"][..]),
        ("evicted", &["annotate", "pod"]),
    ] {
        let mut running = world.start_backup(scratch.path(), &["trigger", "--wait", "-o", "json"]);
        running.until(READS_LOG);
        let pod = running_pod(&world);
        let job = jobs_on_demand(&world).remove(0);
        let job = job.split_once('/').unwrap().1;
        let object = if name == "deleted" { job } else { &pod };
        let mut command = act.to_vec();
        command.push(object);
        command.extend((name == "evicted").then_some("kube-sandbox/evict=memory"));
        world.kubectl(&command);
        let outcome = running.end().expect_code(1);
        assert_eq!(outcome.json()["outcome"], *name, "{}", outcome.stderr);
        expect_nothing_left(&world);
    }
}

#[test]
fn a_job_that_hangs_goes_on_after_the_wait_and_is_not_removed() {
    let world = World::shared();
    let _changed = Changed::cron_job(&world, |spec| {
        set_script(spec, "exec sleep 1000");
        job_spec(spec)["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    });
    let outcome = trigger(&world, &["--wait", "--timeout", "1s", "-o", "json"]);
    let outcome = outcome
        .expect_code(5)
        .expect_error(&["still runs", "kubectl delete job"]);
    assert_eq!(outcome.json()["outcome"], "timedOut");
    let jobs = jobs_on_demand(&world);
    assert_eq!(jobs.len(), 1);
    // And nobody else starts one beside it.
    trigger(&world, &[])
        .expect_code(4)
        .expect_error(&[&jobs[0].replace('/', " ").replace(".batch", ""), "Forbid"]);
    world.kubectl(&["delete", &jobs[0], "--wait"]);
    expect_nothing_left(&world);
}

#[test]
fn a_running_nightly_job_is_respected_as_the_cron_job_says() {
    let world = World::shared();
    world.start_job_on_volume("nightly");
    for policy in ["Forbid", "Replace"] {
        let _changed = Changed::cron_job(&world, |spec| {
            spec["concurrencyPolicy"] = policy.into();
        });
        trigger(&world, &["--wait"])
            .expect_code(4)
            .expect_error(&["job nightly", policy]);
        assert_eq!(jobs_on_demand(&world), [""; 0]);
    }
    let _changed = Changed::cron_job(&world, |spec| {
        spec["concurrencyPolicy"] = "Allow".into();
    });
    trigger(&world, &["--wait"])
        .expect_code(0)
        .expect_error(&["job nightly is taking a backup at the same time"]);
    assert_eq!(jobs_on_demand(&world), [""; 0]);
    assert_eq!(world.objects_of_runs(), [""; 0]);
}

#[test]
fn a_suspended_cron_job_can_be_triggered_and_a_dry_run_starts_nothing() {
    let world = World::shared();
    let _changed = Changed::cron_job(&world, |spec| spec["suspend"] = true.into());
    let outcome = trigger(&world, &["--dry-run"]).expect_code(0);
    assert!(
        outcome.stdout.contains("would be started"),
        "{}",
        outcome.stdout
    );
    assert_eq!(jobs_on_demand(&world), [""; 0]);
    trigger(&world, &["--wait"]).expect_code(0);
    expect_nothing_left(&world);
}

#[test]
fn exactly_the_dump_of_its_own_job_is_fetched_though_another_finished_in_between() {
    let world = World::shared();
    let scratch = world.scratch();
    let script = script_of(&world);
    // Ours names its dump, and writes it when the other has finished.
    let slow = script.replace(
        "pg_dump --format",
        "until [ -e go ]; do sleep 0.1; done\nrm go\npg_dump --format",
    );
    assert_ne!(slow, script);
    let changed = Changed::cron_job(&world, |spec| {
        set_script(spec, &slow);
        spec["concurrencyPolicy"] = "Allow".into();
    });
    let arguments = ["trigger", "--pull", "--to", "sets", "-o", "json"];
    let mut running = world.start_backup(scratch.path(), &arguments);
    running.until_said("Backing up");
    changed.set(&changed.before["spec"]).expect_code(0);
    let begun = std::time::Instant::now();
    wait_until("the other's dump has another name", || {
        begun.elapsed().as_secs() >= 2
    });
    let nightly = ["create", "job", "nightly", "--from"];
    let cron_job = format!("cronjob/{}", world.sandbox().names().cron_job());
    world.kubectl(&[&nightly[..], &[&cron_job]].concat());
    world.kubectl(&[
        "wait",
        "job/nightly",
        "--for=condition=Complete",
        "--timeout=60s",
    ]);
    let of_nightly = world.dumps()[0].clone();
    std::fs::write(world.volume_directory().join("go"), "").unwrap();
    let outcome = running.end().expect_code(0).json();
    let fetched = outcome["sets"][0]["volume"]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    world.kubectl(&["delete", "job/nightly", "--wait"]);
    assert_ne!(fetched, of_nightly);
    assert_eq!(fetched, world.dumps()[1], "the one that was begun before");
    assert_eq!(outcome["sets"].as_array().unwrap().len(), 1);
    expect_nothing_left(&world);
}

#[test]
fn what_a_killed_trigger_left_is_removed_by_the_cleanup_of_either_plugin() {
    let world = World::shared();
    let scratch = world.scratch();
    let _changed = Changed::cron_job(&world, |spec| {
        set_script(spec, "exec sleep 1000");
        job_spec(spec)["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    });
    for (number, step) in [CREATES_LEASE, RECORDS, CREATES_JOB, READS_LOG]
        .into_iter()
        .enumerate()
    {
        println!("{step:?}");
        let mut running = world.start_backup(scratch.path(), &["trigger", "--wait"]);
        running.until(step);
        running.signal(Signal::KILL);
        running.end();
        let plugin = ["kubectl-wa-backup", "kubectl-wa-pvc"][number % 2];
        let mut dry = world.command(end_to_end::binary(plugin));
        run(dry.args(["cleanup", "--dry-run"])).expect_code(0);
        let mut cleanup = world.command(end_to_end::binary(plugin));
        let outcome = run(cleanup.arg("cleanup")).expect_code(0);
        if step == READS_LOG {
            assert!(
                outcome.stdout.contains("job wa-backup-"),
                "{}",
                outcome.stdout
            );
        }
        expect_nothing_left(&world);
    }
}

#[test]
fn a_signal_removes_the_job() {
    let world = World::shared();
    let scratch = world.scratch();
    let _changed = Changed::cron_job(&world, |spec| {
        set_script(spec, "exec sleep 1000");
        job_spec(spec)["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    });
    let mut running = world.start_backup(scratch.path(), &["trigger", "--wait"]);
    running.until(READS_LOG);
    running.signal(Signal::INT);
    running.end().expect_code(130);
    expect_nothing_left(&world);
}
