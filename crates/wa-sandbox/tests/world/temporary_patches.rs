//! The operator's temporary patches, as retraining meets them.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use wa_sandbox::world::{OperatorPace, OtherPatch, Profile, Variant, kinds};

use crate::support::World;

const OLD: &str = "oppy.ibm.com/temporary-patches";
const NEW: &str = "oper8.org/temporary-patches";
const PATCH: &str = "temporarypatches.assistant.watson.ibm.com";
const OPERATOR: [&str; 4] = [
    "scale",
    "deployment/ibm-watson-assistant-operator",
    "-n",
    "cpd-operators",
];
/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(20);

fn pace(period: Duration) -> OperatorPace {
    OperatorPace {
        delay: SOON,
        period,
        write_delay: SOON,
    }
}

/// An operator that is quick, and whose period is this.
fn every(period: Duration) -> Variant {
    let pace = pace(period);
    Variant {
        operator_delay: pace.delay,
        operator_period: pace.period,
        operator_write_delay: pace.write_delay,
        grace_seconds: 0,
        ..Variant::default()
    }
}

/// A patch of the training pods' replicas.
fn replicas(name: &str, count: u32) -> Value {
    let patch = json!({ "clu-training": { "deployment": { "training": { "spec": { "replicas": count } } } } });
    patch_of(name, "WatsonAssistantCluTraining", &patch)
}

/// A patch of a variable of store-admin.
fn variable(name: &str, variable: &str, value: &str) -> Value {
    let env = json!([{ "name": variable, "value": value }]);
    let patch = json!({ "store-admin": { "deployment": { "spec": { "template": { "spec": {
        "containers": [{ "name": "store-admin", "env": env }],
    } } } } } });
    patch_of(name, "WatsonAssistantStore", &patch)
}

fn patch_of(name: &str, kind: &str, patch: &Value) -> Value {
    json!({
        "apiVersion": "assistant.watson.ibm.com/v1", "kind": "TemporaryPatch",
        "metadata": { "name": name, "namespace": "cpd" },
        "spec": {
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": kind, "name": "wa",
            "patchType": "patchStrategicMerge", "patch": patch,
        },
    })
}

impl World {
    fn scale_operator(&self, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.ask(&[&OPERATOR[..], &[&replicas]].concat());
    }

    /// Waits until the operator has no pod.
    async fn operator_is_down(&self) {
        self.scale_operator(0);
        let pods = ["get", "pods", "-n", "cpd-operators", "-o", "name"];
        self.until(&pods, "").await;
    }

    fn delete_patch(&self, name: &str) {
        self.ask(&["delete", PATCH, name, "--wait=false"]);
    }

    /// The keys in an annotation of the custom resource; `None` where it has none.
    fn keys(&self, kind: &str, annotation: &str) -> Option<Vec<String>> {
        let part: Value = self.read(&["get", kind, "wa"]);
        let text = part["metadata"]["annotations"][annotation].as_str()?;
        let entries: Value = serde_json::from_str(text).unwrap();
        Some(entries.as_object().unwrap().keys().cloned().collect())
    }

    async fn until_key(&self, kind: &str, name: &str, listed: bool) {
        let names = self.sandbox.names().patch_annotations;
        self.until_true(name, || {
            let listed_in = |annotation: &&str| {
                let keys = self.keys(kind, annotation);
                keys.is_some_and(|keys| keys.iter().any(|key| key == name))
            };
            names
                .iter()
                .all(|annotation| listed_in(annotation) == listed)
        })
        .await;
    }

    /// A variable of the Deployment of store-admin.
    fn variable(&self, name: &str) -> Option<String> {
        let deployment = self.read(&["get", "deployment", "wa-store-admin"]);
        let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let found = env.as_array()?.iter().find(|one| one["name"] == name)?;
        found["value"].as_str().map(str::to_owned)
    }

    fn training_replicas(&self) -> Value {
        let deployment = self.read(&["get", "deployment", "wa-clu-training"]);
        deployment["spec"]["replicas"].clone()
    }

    /// What the condition `Ready` of the custom resource says: reason and message.
    fn ready(&self, kind: &str) -> (Value, Value) {
        let part = self.read(&["get", kind, "wa"]);
        let ready = &part["status"]["conditions"][0];
        (ready["reason"].clone(), ready["message"].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_at_once_and_the_effect_with_the_period_and_a_change_as_well() {
    let world = World::start(|config| config.variant = every(NEVER)).await;
    world.operator_is_up().await;
    world.create(&replicas("wa-more", 2));
    world
        .until_key("watsonassistantclutraining", "wa-more", true)
        .await;
    let patch = world.read(&["get", PATCH, "wa-more"]);
    assert_eq!(
        patch["metadata"]["finalizers"],
        json!(["finalizers.temporarypatch.assistant.watson.ibm.com"])
    );
    assert_eq!(world.training_replicas(), 1, "the key is not the effect");

    world.sandbox.set_operator_pace(pace(SOON));
    world
        .until_true("replicas", || world.training_replicas() == 2)
        .await;
    world.sandbox.set_operator_pace(pace(NEVER));
    let entries = world.keys("watsonassistantclutraining", NEW);
    let changed = r#"{"spec":{"patch":{"clu-training":{"deployment":{"training":{"spec":{"replicas":3}}}}}}}"#;
    world.ask(&["patch", PATCH, "wa-more", "--type=merge", "-p", changed]);
    // Another one that comes later is handled, and nothing of the change is seen.
    world.create(&replicas("wa-later", 4));
    world
        .until_key("watsonassistantclutraining", "wa-later", true)
        .await;
    assert_eq!(world.training_replicas(), 2);
    assert_eq!(entries, Some(vec!["wa-more".to_owned()]));

    // The later patch wins.
    world.sandbox.set_operator_pace(pace(SOON));
    world
        .until_true("replicas", || world.training_replicas() == 4)
        .await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_patch_takes_its_own_key_alone_and_leaves_an_empty_map_and_its_replicas() {
    let world = World::start(|config| config.variant = every(SOON)).await;
    world.create(&replicas("wa-more", 2));
    world.create(&variable("wa-variable", "AUTO_RETRAIN_ALL_ENABLED", "true"));
    world
        .until_true("replicas", || world.training_replicas() == 2)
        .await;
    let set = || world.variable("AUTO_RETRAIN_ALL_ENABLED");
    world
        .until_true("the variable", || set().as_deref() == Some("true"))
        .await;

    world.delete_patch("wa-more");
    world.delete_patch("wa-variable");
    for name in ["wa-more", "wa-variable"] {
        world
            .until(&["get", PATCH, name, "--ignore-not-found"], "")
            .await;
    }
    for annotation in [OLD, NEW] {
        assert_eq!(
            world.keys("watsonassistantclutraining", annotation),
            Some(vec![])
        );
        let others = world.keys("watsonassistantstore", annotation);
        assert_eq!(others, Some(vec!["wa-store-certificates".to_owned()]));
    }
    world
        .until_true("the variable's end", || set().is_none())
        .await;
    assert_eq!(
        world.training_replicas(),
        2,
        "the operator keeps what it finds"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_operator_is_down_a_patch_has_no_key_and_its_deletion_hangs() {
    let world = World::start(|config| config.variant = every(SOON)).await;
    world.create(&replicas("wa-more", 2));
    world
        .until_key("watsonassistantclutraining", "wa-more", true)
        .await;
    world.operator_is_down().await;
    // Of another custom resource: one key could be lost.
    world.create(&variable("wa-other", "A", "1"));
    world.delete_patch("wa-more");
    let hangs = world.kubectl(&["wait", PATCH, "wa-more", "--for=delete", "--timeout=1s"]);
    assert!(!hangs.status.success());
    let keys = world.keys("watsonassistantclutraining", NEW);
    assert_eq!(keys, Some(vec!["wa-more".to_owned()]));

    world.scale_operator(1);
    world
        .until(&["get", PATCH, "wa-more", "--ignore-not-found"], "")
        .await;
    world
        .until_key("watsonassistantclutraining", "wa-more", false)
        .await;
    world
        .until_key("watsonassistantstore", "wa-other", true)
        .await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_usual_recipe_leaves_fails_every_reconcile_until_the_key_is_gone() {
    let world = World::start(|config| {
        config.variant = Variant {
            patches: vec![OtherPatch::AddCustomWebhooksCert],
            ..every(SOON)
        };
    })
    .await;
    world.create(&variable("wa-variable", "AUTO_RETRAIN_ALL_ENABLED", "true"));
    let set = || world.variable("AUTO_RETRAIN_ALL_ENABLED");
    world.until_true("the variable", || set().is_some()).await;
    world.operator_is_down().await;
    // It clears the finalizers, deletes, and empties one of two annotations, all keys in it included.
    let none = r#"{"metadata":{"finalizers":null}}"#;
    world.ask(&["patch", PATCH, "wa-variable", "--type=merge", "-p", none]);
    world.ask(&["delete", PATCH, "wa-variable"]);
    let emptied = format!("{OLD}-");
    world.ask(&["annotate", "watsonassistantstore", "wa", &emptied]);
    world.scale_operator(1);

    let not_found = (json!("ConfigError"), json!("Patch not found [wa-variable]"));
    let stated = || world.ready("watsonassistantstore");
    world
        .until_true("the error", || stated() == not_found)
        .await;
    // The keys of patches that live come back; the dangling one stays where it was.
    let live = ["wa-add-custom-webhooks-cert", "wa-store-certificates"];
    world.until_key("watsonassistantstore", live[0], true).await;
    world.until_key("watsonassistantstore", live[1], true).await;
    assert_eq!(world.keys("watsonassistantstore", OLD).unwrap(), live);
    assert_eq!(set().as_deref(), Some("true"), "nothing is rendered");
    world.ask(&["scale", "deployment/wa-store", "--replicas=1"]);
    // Another part of the instance is not concerned.
    world.create(&replicas("wa-more", 2));
    world
        .until_true("replicas", || world.training_replicas() == 2)
        .await;
    let store = world.read(&["get", "deployment", "wa-store"]);
    assert_eq!(store["spec"]["replicas"], 1, "it is not scaled either");

    let mut entries =
        world.read(&["get", "watsonassistantstore", "wa"])["metadata"]["annotations"][NEW].take();
    let mut map: Value = serde_json::from_str(entries.as_str().unwrap()).unwrap();
    map.as_object_mut().unwrap().remove("wa-variable");
    entries = map.to_string().into();
    let kept = format!("{NEW}={}", entries.as_str().unwrap());
    world.ask(&[
        "annotate",
        "--overwrite",
        "watsonassistantstore",
        "wa",
        &kept,
    ]);
    world
        .until_true("the variable's end", || set().is_none())
        .await;
    world
        .until_true("recovery", || stated().0 == "Stable")
        .await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_patches_at_once_on_one_custom_resource_a_key_is_lost_and_comes_back_with_the_period()
 {
    let slow = Duration::from_secs(3);
    let world = World::start(|config| {
        config.variant = Variant {
            operator_write_delay: slow,
            ..every(NEVER)
        };
    })
    .await;
    world.operator_is_up().await;
    let store = world.sandbox.store();
    let written = store.watch(
        &kinds::ASSISTANT_CLU_TRAININGS,
        Some("cpd"),
        Some(store.revision()),
    );
    let both = [replicas("wa-a", 2), replicas("wa-b", 3)];
    world.create(&json!({ "apiVersion": "v1", "kind": "List", "items": both }));
    // Each write is of what was there before the other.
    let states: Vec<_> = written.take(2).collect().await;
    for state in states {
        let state = state.unwrap().object;
        let text = state["metadata"]["annotations"][NEW].as_str().unwrap();
        let keys: Value = serde_json::from_str(text).unwrap();
        assert_eq!(keys.as_object().unwrap().len(), 1, "{keys}");
    }

    world.sandbox.set_operator_pace(OperatorPace {
        write_delay: SOON,
        ..pace(Duration::from_millis(300))
    });
    world
        .until_key("watsonassistantclutraining", "wa-a", true)
        .await;
    world
        .until_key("watsonassistantclutraining", "wa-b", true)
        .await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_s_change_of_an_annotation_is_undone_when_the_operator_writes_what_it_read() {
    let slow = Duration::from_secs(3);
    let world = World::start(|config| {
        config.variant = Variant {
            operator_write_delay: slow,
            ..every(NEVER)
        };
    })
    .await;
    world.operator_is_up().await;
    let overwrite = |text: &str| {
        let changed = format!("{NEW}={text}");
        world.ask(&[
            "annotate",
            "--overwrite",
            "watsonassistantstore",
            "wa",
            &changed,
        ]);
    };
    world.create(&variable("wa-variable", "A", "1"));
    // Its finalizer is there just before it is read.
    let finalizer = || {
        let patch = world.read(&["get", PATCH, "wa-variable"]);
        patch["metadata"]["finalizers"].is_array()
    };
    world.until_true("the finalizer", finalizer).await;
    overwrite("{}");
    world.ask(&["annotate", "watsonassistantstore", "wa", "mine=kept"]);
    world
        .until_key("watsonassistantstore", "wa-variable", true)
        .await;
    let keys = world.keys("watsonassistantstore", NEW).unwrap();
    assert_eq!(keys, ["wa-store-certificates", "wa-variable"]);
    let part = world.read(&["get", "watsonassistantstore", "wa"]);
    assert_eq!(part["metadata"]["annotations"]["mine"], "kept");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_may_not_be_patched_is_passed_over_in_silence() {
    let world = World::start(|config| config.variant = every(SOON)).await;
    world.create(&patch_of("wa-ignored", "WatsonAssistantRedis", &json!({})));
    world.create(&replicas("wa-more", 2));
    world
        .until_key("watsonassistantclutraining", "wa-more", true)
        .await;
    let finalizers = || world.read(&["get", PATCH, "wa-ignored"])["metadata"]["finalizers"].clone();
    world
        .until_true("the finalizer", || finalizers().is_array())
        .await;
    for kind in ["watsonassistant", "watsonassistantstore"] {
        let keys = world.keys(kind, NEW).unwrap_or_default();
        assert!(!keys.contains(&"wa-ignored".to_owned()));
    }
    world.ask(&["delete", PATCH, "wa-ignored", "--timeout=60s"]);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_has_one_annotation_and_its_entries_say_no_kind() {
    let world = World::start(|config| {
        config.profile = Profile::V4_8_5;
        config.variant = every(SOON);
    })
    .await;
    world.create(&replicas("wa-more", 2));
    world
        .until_true("replicas", || world.training_replicas() == 2)
        .await;
    assert_eq!(world.keys("watsonassistantclutraining", NEW), None);
    let part = world.read(&["get", "watsonassistantclutraining", "wa"]);
    let entries = part["metadata"]["annotations"][OLD].as_str().unwrap();
    let entry = &serde_json::from_str::<Value>(entries).unwrap()["wa-more"];
    assert_eq!(entry["api_version"], "assistant.watson.ibm.com/v1");
    assert!(
        entry["timestamp"].is_string() && entry["kind"].is_null(),
        "{entry}"
    );
    world.ask(&["delete", PATCH, "wa-more", "--timeout=60s"]);
    assert_eq!(world.keys("watsonassistantclutraining", OLD), Some(vec![]));
    world.sandbox.stop().await;
}
