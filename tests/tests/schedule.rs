//! `kubectl wa-backup schedule`: what it shows of the nightly backup, what it changes, and an operator that sets it back.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use std::time::Duration;

use end_to_end::{Outcome, World, wait_until};
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

fn schedule(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    world.backup(scratch.path(), &[&["schedule"], arguments].concat())
}

fn cron_job(world: &World) -> Value {
    let name = world.sandbox().names().cron_job();
    let arguments = [
        "get",
        "cronjob",
        &name,
        "--show-managed-fields",
        "-o",
        "json",
    ];
    serde_json::from_str(&world.kubectl(&arguments)).unwrap()
}

fn patch(world: &World, patch: &Value) {
    let name = world.sandbox().names().cron_job();
    let patch = patch.to_string();
    world.kubectl(&["patch", "cronjob", &name, "--type=json", "-p", &patch]);
}

fn setting<'a>(shown: &'a Value, name: &str) -> &'a Value {
    let settings = shown["settings"].as_array().unwrap();
    settings.iter().find(|one| one["name"] == name).unwrap()
}

fn variable(cron_job: &Value, ending: &str) -> String {
    let env = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"];
    let mut env = env.as_array().unwrap().iter();
    let found = env.find(|one| one["name"].as_str().unwrap().ends_with(ending));
    found.unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn every_release_shows_its_seven_settings_and_how_the_last_backup_ended() {
    for profile in Profile::ALL {
        println!("{profile:?}");
        let world = World::start(profile);
        let shown = schedule(&world, &["show", "-o", "json"])
            .expect_code(0)
            .json();
        for (name, value, place) in [
            ("store.backup.suspend", "false", "spec.suspend"),
            (
                "store.backup.history.jobs.success",
                "30",
                "spec.successfulJobsHistoryLimit",
            ),
            (
                "store.backup.history.jobs.failed",
                "10",
                "spec.failedJobsHistoryLimit",
            ),
            (
                "store.backup.history.files.weekly_backup_day",
                "0",
                "WEEKLY_BACKUP_DAY",
            ),
            ("store.backup.history.files.keep_weekly", "4", "KEEP_WEEKLY"),
            ("store.backup.history.files.keep_daily", "6", "KEEP_DAILY"),
        ] {
            let setting = setting(&shown, name);
            assert_eq!(setting["value"], value, "{name}");
            assert_eq!(setting["default"], value, "{name}");
            assert!(
                setting["where"].as_str().unwrap().contains(place),
                "{setting}"
            );
        }
        let schedule = setting(&shown, "store.backup.schedule");
        assert_eq!(schedule["default"], "0 23 * * *");
        assert_eq!(schedule["value"], *world.schedule());
        assert_eq!(shown["next"].as_array().unwrap().len(), 3);
        assert!(shown["lastSuccess"]["job"].is_string(), "{shown}");
        assert_eq!(shown["warnings"], json!([]));
    }
}

#[test]
fn runs_are_reported_in_the_cron_jobs_zone_though_summer_time_begins_among_them() {
    let world = World::shared();
    patch(
        &world,
        &json!([
            {"op": "add", "path": "/spec/timeZone", "value": "Europe/Berlin"},
            {"op": "replace", "path": "/spec/schedule", "value": "30 23 1 1,4,7,10 *"},
        ]),
    );
    let shown = schedule(&world, &["show"]).expect_code(0).stdout;
    let machine = schedule(&world, &["show", "-o", "json"])
        .expect_code(0)
        .json();
    patch(
        &world,
        &json!([
            {"op": "remove", "path": "/spec/timeZone"},
            {"op": "replace", "path": "/spec/schedule", "value": quiet(&world)},
        ]),
    );
    assert!(shown.contains("NEXT RUNS (Europe/Berlin)"), "{shown}");
    for zone in ["23:30 +01:00", "23:30 +02:00"] {
        assert!(shown.contains(zone), "{zone}: {shown}");
    }
    let next: Vec<&str> = machine["next"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(next.iter().any(|time| time.contains("T22:30")), "{next:?}");
    assert!(next.iter().any(|time| time.contains("T21:30")), "{next:?}");
}

/// Not while tests run.
fn quiet(world: &World) -> String {
    let date = ["-u", "-d", "12 hours", "+0 %H * * *"];
    let date = end_to_end::run(world.command("date").args(date));
    date.expect_code(0).stdout.trim().to_owned()
}

#[test]
fn settings_are_changed_under_our_name_and_what_was_set_before_stays() {
    let world = World::shared();
    let before = cron_job(&world);
    let dry = [
        "set",
        "--keep-daily",
        "9",
        "--weekly-day",
        "3",
        "--dry-run=server",
    ];
    let outcome = schedule(&world, &dry).expect_code(0);
    assert!(
        outcome.stdout.contains("would be changed (dry run)"),
        "{}",
        outcome.stdout
    );
    assert_eq!(cron_job(&world), before);

    let set = [
        "set",
        "--keep-daily",
        "9",
        "--weekly-day",
        "3",
        "--watch",
        "0",
    ];
    let outcome = schedule(&world, &set).expect_code(0);
    assert!(outcome.stdout.contains("keep_daily"), "{}", outcome.stdout);
    let cron = [
        "set",
        "--cron",
        "15 3 * * 1-5",
        "--jobs-failed",
        "7",
        "--watch",
        "1s",
    ];
    let outcome = schedule(&world, &cron).expect_code(0);
    assert!(
        outcome.stdout.contains("not set it back so far"),
        "{}",
        outcome.stdout
    );
    let after = cron_job(&world);
    assert_eq!(after["spec"]["schedule"], "15 3 * * 1-5");
    assert_eq!(after["spec"]["failedJobsHistoryLimit"], 7);
    assert_eq!(
        variable(&after, "KEEP_DAILY"),
        "9",
        "what was set before stays"
    );
    assert_eq!(variable(&after, "WEEKLY_BACKUP_DAY"), "3");
    assert_eq!(variable(&after, "KEEP_WEEKLY"), "4", "and what was not set");
    let managers = after["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers
        .iter()
        .find(|one| one["manager"] == "kubectl-wa-backup");
    assert_eq!(ours.unwrap()["operation"], "Apply");
    // The rest of the CronJob is as it was.
    let env = "/spec/jobTemplate/spec/template/spec/containers/0/env";
    let count = |cron_job: &Value| cron_job.pointer(env).unwrap().as_array().unwrap().len();
    assert_eq!(count(&after), count(&before));

    let back = [
        "set",
        "--cron",
        &quiet(&world),
        "--jobs-failed",
        "10",
        "--keep-daily",
        "6",
        "--weekly-day",
        "0",
        "--watch",
        "0",
    ];
    schedule(&world, &back).expect_code(0);
    let again = schedule(&world, &["set", "--keep-daily", "6"]).expect_code(0);
    assert!(
        again.stdout.contains("nothing was changed"),
        "{}",
        again.stdout
    );
}

#[test]
fn what_cannot_be_set_is_reported_at_once_and_nothing_is_changed() {
    let world = World::shared();
    let env = "/spec/jobTemplate/spec/template/spec/containers/0/env";
    let before = cron_job(&world);
    let kept = before.pointer(env).unwrap().clone();
    patch(
        &world,
        &json!([{"op": "replace", "path": env, "value": []}]),
    );
    let changed = cron_job(&world);
    let outcome = schedule(
        &world,
        &["set", "--keep-weekly", "8", "--cron", "0 23 * * 7"],
    );
    let after = cron_job(&world);
    let shown = schedule(&world, &["show"]);
    patch(&world, &json!([{"op": "add", "path": env, "value": kept}]));
    outcome.expect_code(1).expect_error(&[
        "ends in KEEP_WEEKLY",
        "day of week",
        "nothing was changed",
    ]);
    assert_eq!(after, changed);
    let shown = shown.expect_code(0).stdout;
    assert!(shown.contains("not found"), "{shown}");
    for arguments in [&["set"][..], &["set", "--weekly-day", "7"]] {
        assert_ne!(schedule(&world, arguments).code, 0, "{arguments:?}");
    }
}

#[test]
fn a_suspended_schedule_has_no_next_run_until_it_is_resumed() {
    let world = World::shared();
    schedule(&world, &["suspend", "--watch", "0"]).expect_code(0);
    assert_eq!(cron_job(&world)["spec"]["suspend"], true);
    let shown = schedule(&world, &["show", "-o", "json"])
        .expect_code(0)
        .json();
    assert_eq!(shown["next"], json!([]));
    assert!(
        shown["warnings"][0].as_str().unwrap().contains("suspended"),
        "{shown}"
    );
    schedule(&world, &["resume", "--watch", "0"]).expect_code(0);
    assert_eq!(cron_job(&world)["spec"]["suspend"], false);
}

#[test]
fn an_operator_that_sets_it_back_is_noticed() {
    let world = World::start_as(|config| {
        config.variant.operator_reverts = true;
        config.variant.operator_period = Duration::from_secs(2);
    });
    let outcome = schedule(&world, &["set", "--keep-daily", "9", "-o", "json"]);
    let outcome = outcome
        .expect_code(1)
        .expect_error(&["keep_daily back from 9 to 6", "where the operator reads"]);
    let reverted = &outcome.json()["reverted"][0];
    assert_eq!(reverted["wanted"], "9");
    assert_eq!(reverted["found"], "6");
}

#[test]
fn a_running_pod_with_the_volume_tells_how_full_it_is() {
    let world = World::shared();
    let shown = schedule(&world, &["show", "-o", "json"])
        .expect_code(0)
        .json();
    assert_eq!(shown["volume"], Value::Null);
    world.start_pod_on_volume("sleeper");
    let shown = schedule(&world, &["show", "-o", "json"])
        .expect_code(0)
        .json();
    world.delete_pod("sleeper");
    assert!(
        shown["volume"]["usedBytes"].as_u64().unwrap() > 0,
        "{shown}"
    );
}

#[test]
fn the_run_that_was_missed_while_suspended_is_announced_and_started_on_resume() {
    let world = World::shared();
    let name = world.sandbox().names().cron_job();
    let started_at = |time: &str| {
        let status = json!({"status": {"lastScheduleTime": time}}).to_string();
        let patch = ["patch", "cronjob", &name, "--type=merge", "-p", &status];
        world.kubectl(&[&patch[..], &["--subresource=status"]].concat());
    };
    let before = world.kubectl(&["get", "jobs", "-o", "name"]);
    patch(
        &world,
        &json!([
            {"op": "add", "path": "/spec/suspend", "value": true},
            {"op": "add", "path": "/spec/timeZone", "value": "Etc/UTC"},
            {"op": "replace", "path": "/spec/schedule", "value": "0 0 1 1 *"},
        ]),
    );
    started_at("2020-01-01T00:00:00Z");
    let shown = schedule(&world, &["show"]).expect_code(0).stdout;
    let resumed = schedule(&world, &["resume", "--watch", "0", "-o", "json"]);
    let new_jobs = || {
        let jobs = world.kubectl(&["get", "jobs", "-o", "name"]);
        let mut jobs = jobs.lines().map(str::to_owned).collect::<Vec<_>>();
        jobs.retain(|job| !before.contains(job.as_str()));
        jobs
    };
    wait_until("its Job is there", || !new_jobs().is_empty());
    let jobs = new_jobs();
    let complete = ["--for=condition=Complete", "--timeout=60s"];
    world.kubectl(&[&["wait", &jobs[0]], &complete[..]].concat());
    // What was due in the meantime is not to be made up for.
    started_at(&jiff::Timestamp::now().to_string());
    patch(
        &world,
        &json!([
            {"op": "remove", "path": "/spec/timeZone"},
            {"op": "replace", "path": "/spec/schedule", "value": quiet(&world)},
        ]),
    );
    world.kubectl(&["delete", &jobs[0], "--wait"]);
    assert!(shown.contains("-01-01 00:00 +00:00 at once"), "{shown}");
    let resumed = resumed.expect_code(0).json();
    let starts = resumed["starts"].as_str().unwrap();
    assert!(starts.ends_with("-01-01T00:00:00Z"), "{resumed}");
    assert_eq!(jobs.len(), 1, "{jobs:?}");
}
