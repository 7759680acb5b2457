//! Scaling for retraining, starting it, and undoing both, beside patches of other people.

use std::time::{Duration, Instant};

use end_to_end::{Objects, Outcome, World, run, start, wait_until};
use serde_json::json;
use wa_sandbox::world::{OperatorPace, OtherPatch, Profile, RetrainFault};

/// What does not wait as long as a real operator may take.
const IMPATIENT: [&str; 3] = ["--timeout", "3m", "--force"];
const PATCHES: &str = "temporarypatches.assistant.watson.ibm.com";

/// A world in which patches take effect within seconds, with the patches of other people that train nothing.
fn world(profile: Profile) -> World {
    World::start_as(|config| {
        config.profile = profile;
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.retrain_speed = 600;
        config.variant.patches = OtherPatch::ALL.to_vec();
        config
            .variant
            .patches
            .retain(|one| *one != OtherPatch::StoreAdminAutoTrain);
    })
}

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &IMPATIENT].concat()
}

/// Scales, starts, watches and finishes, and everything is as it was before.
#[track_caller]
fn runs_and_leaves_everything_as_it_was(profile: Profile) {
    let world = world(profile);
    let before = Objects::from_world(&world);
    let run = [
        "run",
        "--replicas",
        "4",
        "--in",
        "15s",
        "--yes",
        "--interval",
        "300ms",
    ];
    let outcome = world.retrain(&with(&run)).expect_code(0);
    for part in ["24 (100 %)", "done"] {
        assert!(outcome.stdout.contains(part), "{}", outcome.everything());
    }
    // The report is of what there is, not of what there was meanwhile.
    let training = outcome
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("wa-clu-training"));
    let replicas = training.and_then(|line| line.split_whitespace().next());
    assert_eq!(replicas, Some("1"), "{}", outcome.stdout);
    before.assert_same_as(&Objects::from_world(&world));
    world.retrain(&["status"]).expect_code(7);
    let again = world.retrain(&["finish"]).expect_code(0);
    assert!(again.stdout.contains("Nothing to undo"), "{}", again.stdout);
}

#[test]
fn a_run_on_a_release_with_two_annotations_leaves_everything_as_it_was() {
    runs_and_leaves_everything_as_it_was(Profile::V5_2_1);
}

#[test]
fn a_run_on_a_release_with_the_older_annotation_leaves_everything_as_it_was() {
    runs_and_leaves_everything_as_it_was(Profile::V4_8_5);
}

#[test]
fn scaling_changes_five_deployments_and_reverting_leaves_everything_as_it_was() {
    let world = world(Profile::V5_2_1);
    let before = Objects::from_world(&world);
    let planned = world.retrain(&["scale", "--replicas", "4", "--dry-run"]);
    assert!(
        planned
            .expect_code(0)
            .stdout
            .contains("wa-clu-training-replicas")
    );
    before.assert_same_as(&Objects::from_world(&world));

    let outcome = world.retrain(&["scale", "--replicas", "4"]).expect_code(0);
    assert_eq!(
        world.replicas(),
        [4, 2, 2, 1, 1],
        "{}",
        outcome.everything()
    );
    assert!(outcome.stdout.contains("undo all"), "{}", outcome.stdout);
    // Another number is counted from the recorded one, not from the present one.
    world.retrain(&["scale", "--replicas", "2"]).expect_code(0);
    assert_eq!(world.replicas(), [2, 1, 1, 1, 1]);
    let shown = world.retrain(&["finish", "--dry-run"]).expect_code(0);
    assert!(
        shown.stdout.contains("wa-clu-training back to 1"),
        "{}",
        shown.stdout
    );
    world.retrain(&["scale", "--revert"]).expect_code(0);
    assert_eq!(world.replicas(), [1; 5]);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn commands_one_by_one_share_a_journal_and_the_first_originals_stand_until_finish() {
    let world = world(Profile::V5_2_1);
    let before = Objects::from_world(&world);
    let quiet = world.retrain(&with(&["start", "--in", "40m"]));
    quiet.expect_code(4).expect_error(&["--yes"]);
    before.assert_same_as(&Objects::from_world(&world));

    let json = ["-o", "json"];
    let scaled = world.retrain(&with(&[&["scale", "--replicas", "3"], &json[..]].concat()));
    scaled
        .expect_code(0)
        .expect_shape("kubectl wa-retrain scale");
    let start = ["start", "--in", "10s", "--yes"];
    let started = world.retrain(&with(&[&start[..], &json].concat()));
    started
        .expect_code(0)
        .expect_shape("kubectl wa-retrain start");
    world
        .retrain(&with(&["start", "--in", "40m", "--yes"]))
        .expect_code(1)
        .expect_error(&["was started already"]);
    let watched = world.retrain(&["status", "--watch", "--interval", "300ms"]);
    let watched = watched.expect_code(0);
    assert!(
        watched.stdout.contains("24 (100 %)"),
        "{}",
        watched.everything()
    );
    // Scaling goes first, and the job's patch stays.
    let revert = [&["scale", "--revert"], &json[..]].concat();
    let planned = world.retrain(&with(&[&revert[..], &["--dry-run"]].concat()));
    planned
        .expect_code(0)
        .expect_shape("kubectl wa-retrain finish");
    let reverted = world.retrain(&with(&revert)).expect_code(0);
    reverted.expect_shape("kubectl wa-retrain scale");
    assert_eq!(world.replicas(), [1; 5]);
    world.kubectl(&["get", PATCHES, "wa-store-admin-env-vars"]);
    world.retrain(&with(&["finish"])).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_rollout_that_ends_after_the_time_of_the_job_has_it_started_later() {
    let world = world(Profile::V5_2_1);
    let before = Objects::from_world(&world);
    let pace = |period| OperatorPace {
        period: Duration::from_secs(period),
        ..OperatorPace::default()
    };
    world.sandbox().set_operator_pace(pace(3600));
    let starting = start(&mut world.retrain_command(&with(&["start", "--in", "3s", "--yes"])));
    let schedule = || {
        let path = "jsonpath={.spec.patch.store-admin.deployment.spec.template.spec.containers[0].env[1].value}";
        let get = ["get", PATCHES, "wa-store-admin-env-vars", "-o", path];
        run(world.command("kubectl").args(get)).stdout
    };
    wait_until("the patch is there", || !schedule().is_empty());
    let made = Instant::now();
    // The operator's next round comes after that.
    wait_until("its time is past", || {
        made.elapsed() > Duration::from_secs(5)
    });
    world.sandbox().set_operator_pace(pace(1));
    let outcome: Outcome = starting.wait_with_output().unwrap().into();
    let outcome = outcome
        .expect_code(0)
        .expect_error(&["the patch is made anew"]);
    assert!(
        outcome.stdout.contains("Training begins"),
        "{}",
        outcome.stdout
    );
    world.retrain(&with(&["finish", "--yes"])).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_stall_and_a_gap_end_with_what_is_missing_and_what_to_do() {
    let world = world(Profile::V5_2_1);
    let before = Objects::from_world(&world);
    let run = |more: &[&str]| {
        let run = ["run", "--in", "8s", "--yes", "--interval", "300ms"];
        world.retrain(&with(&[&run[..], more].concat()))
    };
    let faults = |faults: &[RetrainFault]| world.sandbox().set_retrain_faults(faults).unwrap();
    faults(&[RetrainFault::StallAfter(12)]);
    let stalled = run(&["--stall", "15s"]).expect_code(3);
    let stalled =
        stalled.expect_error(&["12 of 24 models (50 %) are not trained", "scale --replicas"]);
    assert!(stalled.stdout.contains("stalled"), "{}", stalled.stdout);
    // So that somebody can look, nothing was undone.
    world.kubectl(&["get", PATCHES, "wa-store-admin-env-vars"]);
    let asked = world.retrain(&with(&["finish"])).expect_code(4);
    asked.expect_error(&["not confirmed"]);
    world.retrain(&with(&["finish", "--yes"])).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));

    faults(&[RetrainFault::Gap(1)]);
    let gap = run(&["--settle", "4s", "--stall", "1h"]).expect_code(3);
    gap.expect_error(&["1 of 24 models", "trained in the background"]);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_patch_of_somebody_else_with_the_same_name_is_shown_and_never_changed() {
    let world = world(Profile::V5_2_1);
    let patch = json!({
        "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
        "metadata": { "name": "wa-clu-replicas", "namespace": "cpd" },
        "spec": {
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistantClu", "name": "wa",
            "patchType": "patchStrategicMerge",
            "patch": { "clu-embedding": { "deployment": { "spec": { "replicas": 1 } } } },
        },
    });
    world.create(&patch);
    let key = || world.kubectl(&["get", "watsonassistantclu", "wa", "-o", "yaml"]);
    wait_until("the operator has taken it up", || {
        key().contains("wa-clu-replicas")
    });
    let before = Objects::from_world(&world);
    world
        .retrain(&with(&["scale", "--replicas", "2"]))
        .expect_code(1)
        .expect_error(&["wa-clu-replicas", "--adopt"]);
    before.assert_same_as(&Objects::from_world(&world));
    world
        .retrain(&with(&["scale", "--replicas", "2", "--adopt"]))
        .expect_code(0);
    world.retrain(&with(&["finish"])).expect_code(0);
    let left = world.kubectl(&["get", PATCHES, "-o", "name"]);
    assert!(
        !left.contains("wa-clu-replicas") && left.contains("wa-fix-clu-certs"),
        "{left}"
    );
}
