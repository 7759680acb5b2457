//! Retraining on clusters that are not plain: an autoscaler, several pods of store-admin, logs that rotate, kinds that are
//! not there or are passed over.

use std::time::Duration;

use end_to_end::{Objects, World};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::Value;
use wa_sandbox::world::{OperatorPace, RetrainFault, Variant};

const RUN: [&str; 9] = [
    "run",
    "--in",
    "12s",
    "--yes",
    "--interval",
    "300ms",
    "--timeout",
    "3m",
    "--force",
];

fn world(adjust: impl FnOnce(&mut Variant)) -> World {
    World::start_as(|config| {
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.retrain_speed = 600;
        adjust(&mut config.variant);
    })
}

#[test]
fn what_an_autoscaler_governs_is_not_scaled() {
    let world = world(|variant| variant.autoscaled = vec!["tfmm".to_owned()]);
    let before = Objects::from_world(&world);
    for command in ["scale", "run"] {
        let refused = world.retrain(&[command, "--replicas", "5", "--yes"]);
        refused
            .expect_code(1)
            .expect_error(&["HorizontalPodAutoscaler wa-tfmm governs wa-tfmm"]);
    }
    before.assert_same_as(&Objects::from_world(&world));
    // What scales nothing is not stopped.
    world.retrain(&RUN).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn of_several_pods_of_store_admin_the_one_that_trains_is_followed() {
    let world = world(|variant| variant.store_admin_replicas = 3);
    let before = Objects::from_world(&world);
    let report: Value = world
        .retrain(&[&RUN[..], &["-o", "json"]].concat())
        .expect_code(0)
        .json();
    assert_eq!(report["progress"]["affected"], 24, "{report:#}");
    assert_eq!(report["progress"]["retrained"], 24, "{report:#}");
    assert_eq!(report["storeAdmin"], "3 of 3 ready", "{report:#}");
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_log_that_rotates_meanwhile_loses_no_count() {
    let world = world(|variant| variant.retrain_speed = 60);
    world.sandbox().set_log_file_bytes(400);
    world
        .sandbox()
        .set_retrain_faults(&[RetrainFault::Affected(24)])
        .unwrap();
    let report = world
        .retrain(&[&RUN[..], &["-o", "json"]].concat())
        .expect_code(0)
        .json();
    assert_eq!(report["progress"]["retrained"], 24, "{report:#}");
}

#[test]
fn a_cluster_that_does_not_serve_temporary_patches_is_told_apart_from_one_without_rights() {
    let world = world(|_| ());
    let before = Objects::from_world(&world);
    let not_found = Effect::Status {
        code: 404,
        message: "the server could not find the requested resource".to_owned(),
        retry_after: None,
    };
    let group = Matcher {
        path: Some("/apis/assistant.watson.ibm.com/v1".to_owned()),
        ..Matcher::default()
    };
    world.fault(group, None, not_found);
    let check = world.retrain(&["check"]).expect_code(1);
    assert!(
        check.stdout.contains("temporary patches"),
        "{}",
        check.stdout
    );
    world.retrain(&RUN).expect_code(1);
    world.sandbox().faults().clear();
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_kind_whose_patches_are_passed_over_is_reported_and_the_patch_can_be_taken_back() {
    let world = world(|_| ());
    let before = Objects::from_world(&world);
    let an_hour = Duration::from_hours(1);
    world.sandbox().set_operator_pace(OperatorPace {
        delay: an_hour,
        period: an_hour,
        ..OperatorPace::default()
    });
    let scale = ["scale", "--replicas", "2", "--timeout", "3s", "--force"];
    let outcome = world.retrain(&scale).expect_code(5);
    outcome.expect_error(&["wa-clu-training-replicas", "wa-retrain finish"]);
    world.sandbox().set_operator_pace(OperatorPace {
        period: Duration::from_secs(2),
        ..OperatorPace::default()
    });
    let finish = ["finish", "--timeout", "30s", "--force"];
    world.retrain(&finish).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));
}
