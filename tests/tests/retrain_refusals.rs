//! What keeps a retraining from beginning or ending, and what earlier ones have left.

use std::time::Duration;

use end_to_end::{Objects, World, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::json;
use wa_sandbox::world::{OperatorPace, OtherPatch, kinds};

const IMPATIENT: [&str; 3] = ["--timeout", "3m", "--force"];
const PATCHES: &str = "temporarypatches.assistant.watson.ibm.com";
const OPERATOR: [&str; 4] = [
    "deployment",
    "ibm-watson-assistant-operator",
    "-n",
    "cpd-operators",
];

fn world() -> World {
    World::start_as(|config| {
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.retrain_speed = 600;
        config.variant.patches = vec![OtherPatch::AddCustomWebhooksCert, OtherPatch::FixCluCerts];
    })
}

fn scale_operator(world: &World, replicas: &str) {
    world.kubectl(&[&["scale"][..], &OPERATOR, &[replicas]].concat());
    let ready = || {
        let path = "jsonpath={.spec.replicas}/{.status.readyReplicas}";
        world.kubectl(&[&["get"][..], &OPERATOR, &["-o", path]].concat())
    };
    let wanted = if replicas.ends_with('0') { "0/" } else { "1/1" };
    wait_until("the operator is scaled", || ready() == wanted);
}

#[test]
fn without_its_operator_nothing_is_begun_and_nothing_is_undone() {
    let world = world();
    world.retrain(&["check"]).expect_code(0);
    world.retrain(&["scale", "--replicas", "2"]).expect_code(0);
    scale_operator(&world, "--replicas=0");
    let scaled = Objects::from_world(&world);
    let finish = world.retrain(&["finish"]).expect_code(4);
    finish.expect_error(&["is scaled to 0", "wa-restore status"]);
    let check = world.retrain(&["check"]).expect_code(1);
    assert!(check.stdout.contains("is scaled to 0"), "{}", check.stdout);
    let start = world.retrain(&["start", "--yes"]);
    start.expect_code(1).expect_error(&["is scaled to 0"]);
    scaled.assert_same_as(&Objects::from_world(&world));
    scale_operator(&world, "--replicas=1");
    world.retrain(&["finish"]).expect_code(0);
    assert_eq!(world.replicas(), [1; 5]);
}

#[test]
fn what_is_not_healthy_or_not_allowed_is_reported_all_at_once_and_nothing_is_changed() {
    let world = world();
    let store = world.sandbox().store();
    let break_store =
        |object: &mut serde_json::Value| object["status"]["phase"] = "Rejected".into();
    let (namespace, name) = ("openshift-storage", "noobaa-default-backing-store");
    store
        .modify(&kinds::BACKING_STORES, namespace, name, break_store)
        .unwrap();
    let forbidden = Effect::Forbid {
        verb: "create".to_owned(),
        group: "assistant.watson.ibm.com".to_owned(),
        resource: "temporarypatches".to_owned(),
        subresource: String::new(),
    };
    world.fault(Matcher::default(), None, forbidden);
    let before = Objects::from_world(&world);
    let run = ["run", "--replicas", "2", "--yes"];
    world.retrain(&run).expect_code(1).expect_error(&[
        "2 problems stand in the way",
        "create temporarypatches.assistant.watson.ibm.com",
        "noobaa-default-backing-store",
    ]);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn what_an_operator_does_not_do_in_time_is_done_by_hand_and_nothing_else() {
    let world = world();
    let before = Objects::from_world(&world);
    world.retrain(&["scale", "--replicas", "2"]).expect_code(0);
    world.retrain(&["start", "--yes"]).expect_code(0);
    let an_hour = Duration::from_hours(1);
    world.sandbox().set_operator_pace(OperatorPace {
        delay: an_hour,
        period: an_hour,
        ..OperatorPace::default()
    });
    let finish = ["finish", "--yes", "--timeout", "4s", "--force"];
    world.retrain(&finish).expect_code(0).expect_error(&[
        "the operator has not removed what belongs to TemporaryPatch wa-clu-replicas",
        "has not given deployment wa-store-admin its variables back",
    ]);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn a_patch_that_never_takes_effect_is_reported_and_can_be_undone() {
    let world = World::start_as(|config| {
        config.variant.operator_period = Duration::from_hours(1);
    });
    let before = Objects::from_world(&world);
    let scale = ["scale", "--replicas", "2", "--timeout", "3s", "--force"];
    let outcome = world.retrain(&scale).expect_code(5);
    outcome.expect_error(&["waited 3.0s", "wa-retrain finish"]);
    world
        .retrain(&["scale", "--replicas", "2", "--timeout", "3s"])
        .expect_code(1)
        .expect_error(&["at least 25m"]);
    world.retrain(&["finish"]).expect_code(0);
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn patches_of_others_that_come_and_go_at_the_same_time_cost_nobody_a_key() {
    let world = World::start_as(|config| {
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.operator_write_delay = Duration::from_millis(800);
    });
    let patch = |name: &str| {
        json!({
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
            "metadata": { "name": name, "namespace": "cpd" },
            "spec": {
                "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistantCluTraining", "name": "wa",
                "patchType": "patchStrategicMerge",
                "patch": { "clu-training": { "deployment": { "training": { "metadata": { "labels": { "a": "b" } } } } } },
            },
        })
    };
    let before = Objects::from_world(&world);
    let mut scaling = end_to_end::start(&mut world.retrain_command(&["scale", "--replicas", "2"]));
    wait_until("the patch is there", || {
        world
            .kubectl(&["get", PATCHES, "-o", "name"])
            .contains("clu-training-replicas")
    });
    world.create(&patch("wa-somebody"));
    assert!(scaling.wait().unwrap().success());
    let finish = [&["finish"][..], &IMPATIENT].concat();
    let mut finishing = end_to_end::start(&mut world.retrain_command(&finish));
    world.kubectl(&["delete", PATCHES, "wa-somebody"]);
    assert!(finishing.wait().unwrap().success());
    world.retrain(&["doctor", "--fix", "--yes"]).expect_code(0);
    // The operator acts on what somebody else has deleted when it looks again.
    wait_until("the label of the other patch is gone", || {
        let deployment = ["get", "deployment", "wa-clu-training", "-o"];
        let label = ["jsonpath={.metadata.labels.a}"];
        let shown = world.kubectl(&[&deployment[..], &label].concat());
        shown.is_empty()
    });
    before.assert_same_as(&Objects::from_world(&world));
}

#[test]
fn doctor_finds_and_removes_what_ibms_recipe_leaves() {
    let world = world();
    world.retrain(&["doctor"]).expect_code(0);
    let plan = [
        "plan",
        "--replicas",
        "1",
        "--manifests",
        "--at",
        "2030-01-02T03:04Z",
        "-o",
        "json",
    ];
    let list = world.retrain(&plan).expect_code(0).json();
    let job = list["items"].as_array().unwrap().last().unwrap();
    let name = "wa-store-admin-env-vars";
    assert_eq!(job["metadata"]["name"], name);
    world.create(job);
    let variables = || {
        let path =
            "jsonpath={.spec.template.spec.containers[?(@.name=='store-admin')].env[*].name}";
        world.kubectl(&["get", "deployment", "wa-store-admin", "-o", path])
    };
    wait_until("store-admin has its variables", || {
        variables().contains("AUTO_RETRAIN_ALL_ENABLED")
    });
    // IBM's page, step by step; the others' key in that annotation is lost with it.
    world.kubectl(&[
        "patch",
        PATCHES,
        name,
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":[]}}"#,
    ]);
    world.kubectl(&[
        "delete",
        PATCHES,
        name,
        "--wait=false",
        "--ignore-not-found",
    ]);
    let null = r#"{"metadata":{"annotations":{"oppy.ibm.com/temporary-patches":null}}}"#;
    world.kubectl(&[
        "patch",
        "watsonassistantstore",
        "wa",
        "--type=merge",
        "-p",
        null,
    ]);

    let doctor = world.retrain(&["doctor"]).expect_code(3);
    for part in [
        name,
        "oper8.org/temporary-patches",
        "Patch not found",
        "keeps the operator from rendering",
    ] {
        assert!(doctor.stdout.contains(part), "{}", doctor.stdout);
    }
    let refused = world.retrain(&["scale", "--replicas", "2"]);
    refused.expect_code(1).expect_error(&["doctor --fix"]);
    world.retrain(&["doctor", "--fix"]).expect_code(4);
    world.retrain(&["doctor", "--fix", "--yes"]).expect_code(0);
    wait_until("the operator has rendered it anew", || {
        !variables().contains("AUTO_RETRAIN_ALL_ENABLED")
    });
    wait_until("everything is back", || {
        world.retrain(&["doctor"]).code == 0
    });
}
