//! What retraining would change, and that planning changes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::io::Write as _;
use std::process::Stdio;

use end_to_end::World;
use serde_json::{Value, json};

const PATCHES: [&str; 4] = [
    "wa-clu-training-replicas",
    "wa-clu-runtime-replicas",
    "wa-clu-replicas",
    "wa-store-admin-env-vars",
];
const KIND: &str = "temporarypatches.assistant.watson.ibm.com";

fn patch(group: &str, name: &str, patch: &Value) -> Value {
    json!({
        "apiVersion": format!("{group}/v1"), "kind": "TemporaryPatch",
        "metadata": { "name": name, "namespace": "cpd" },
        "spec": {
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistantStore", "name": "wa",
            "patchType": "patchStrategicMerge", "patch": patch,
        },
    })
}

fn obstacles(world: &World) -> Vec<String> {
    let plan = world
        .retrain(&["plan", "--replicas", "10", "-o", "json"])
        .expect_code(0)
        .json();
    let obstacles = plan["obstacles"].as_array().unwrap();
    obstacles
        .iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_plan_shows_old_and_new_and_changes_nothing() {
    let world = World::shared();
    let before = world.sandbox().requests().len();
    let outcome = world
        .retrain(&["plan", "--replicas", "10", "--at", "2030-01-02T03:04:05Z"])
        .expect_code(0);
    for part in [
        "2030-01-02 03:04 UTC",
        "AUTO_RETRAIN_ALL_CRON_SCHEDULE: not set → 5 4 3 2 1 ? 2030",
        "BATCH_RETRAIN_ALL_SIZE: not set → 20",
        "WAIT_TIME_BETWEEN_BATCH_RETRAIN_IN_SECONDS_FOR_RETRAIN_ALL: not set → 40",
    ] {
        assert!(
            outcome.stdout.contains(part),
            "no {part:?} in:\n{}",
            outcome.stdout
        );
    }
    let row = |deployment: &str| {
        let line = outcome
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{deployment} ")))
            .unwrap();
        line.split_whitespace()
            .skip(1)
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("wa-clu-training"),
        ["1", "10", "wa-clu-training-replicas"]
    );
    assert_eq!(row("wa-tfmm"), ["1", "5", "wa-clu-runtime-replicas"]);
    assert_eq!(
        row("wa-dragonfly-clu-mm"),
        ["1", "3", "wa-clu-runtime-replicas"]
    );
    assert_eq!(row("wa-clu-triton-serving"), ["1", "2", "wa-clu-replicas"]);
    for line in outcome
        .stdout
        .lines()
        .filter(|line| !line.starts_with("note:"))
    {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for request in &world.sandbox().requests()[before..] {
        assert_eq!(request.method, "GET", "{request:?}");
    }
}

#[test]
fn the_manifests_are_what_kubectl_creates_and_a_second_plan_refuses_to_overwrite_them() {
    let world = World::shared();
    let arguments = ["plan", "--replicas", "31", "--manifests"];
    let yaml = world.retrain(&arguments).expect_code(0).stdout;
    let mut kubectl = world
        .command("kubectl")
        .args(["create", "--validate=false", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    kubectl
        .stdin
        .take()
        .unwrap()
        .write_all(yaml.as_bytes())
        .unwrap();
    assert!(kubectl.wait().unwrap().success(), "{yaml}");
    let env: Value = serde_json::from_str(&world.kubectl(&[
        "get",
        KIND,
        PATCHES[3],
        "-o",
        "jsonpath={.spec.patch.store-admin.deployment.spec.template.spec.containers[0].env}",
    ]))
    .unwrap();
    for variable in env.as_array().unwrap() {
        assert!(variable["value"].is_string(), "{variable}");
    }
    let again = world.retrain(&arguments);
    let found = obstacles(&world);
    world.kubectl(&[&["delete", KIND][..], &PATCHES[..]].concat());

    let again = again.expect_code(4);
    assert_eq!(again.stdout, "");
    for name in PATCHES {
        assert!(
            found
                .iter()
                .any(|one| one.contains(&format!("{name} already"))),
            "{found:?}"
        );
        assert!(again.stderr.contains(name), "{}", again.stderr);
    }
}

#[test]
fn patches_of_others_stand_in_the_way_by_what_they_do() {
    let world = World::shared();
    assert_eq!(obstacles(&world), Vec::<String>::new());
    let variables = json!({ "store-admin": { "deployment": { "spec": { "template": { "spec": { "containers": [
        { "name": "store-admin", "env": [{ "name": "AUTO_RETRAIN_ALL_ENABLED", "value": "true" }] },
    ] } } } } } });
    world.create(&patch(
        "assistant.watson.ibm.com",
        "wa-store-admin-auto-train",
        &variables,
    ));
    // A kind of the same name, of another product.
    world.create(&patch(
        "discovery.watson.ibm.com",
        "wa-clu-replicas",
        &variables,
    ));
    let found = obstacles(&world);
    world.kubectl(&["delete", KIND, "wa-store-admin-auto-train"]);
    world.kubectl(&[
        "delete",
        "temporarypatches.discovery.watson.ibm.com",
        "wa-clu-replicas",
    ]);
    assert_eq!(
        found,
        ["TemporaryPatch wa-store-admin-auto-train sets AUTO_RETRAIN_ALL_ENABLED=true"]
    );
}

#[test]
fn an_autoscaler_is_reported_where_it_governs_a_deployment_and_not_where_its_name_is_alike() {
    let world = World::shared();
    for (name, target) in [
        ("wa-clu-training-wa-dwf", "wa-clu-training-wa-dwf"),
        ("quiet", "wa-tfmm"),
    ] {
        world.create(&json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": name, "namespace": "cpd" },
            "spec": { "maxReplicas": 4, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target } },
        }));
    }
    let found = obstacles(&world);
    world.kubectl(&["delete", "hpa", "wa-clu-training-wa-dwf", "quiet"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("quiet governs wa-tfmm"), "{found:?}");
}

#[test]
fn a_key_whose_patch_is_gone_stands_in_the_way() {
    let world = World::shared();
    let key = "oper8.org/temporary-patches";
    let left = format!(
        r#"{key}={{"wa-gone":{{"timestamp":"2026-01-12T09:14:03","api_version":"assistant.watson.ibm.com/v1"}}}}"#
    );
    world.kubectl(&["annotate", "watsonassistantclu", "wa", &left]);
    let found = obstacles(&world);
    world.kubectl(&["annotate", "watsonassistantclu", "wa", &format!("{key}-")]);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in [key, "WatsonAssistantClu wa", "wa-gone"] {
        assert!(found[0].contains(part), "{found:?}");
    }
}
