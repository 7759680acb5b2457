//! Runs against an API server in this process.

mod holders;
mod waiting;

use anyhow::ensure;
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;
use serde_json::{Value, json};

use std::sync::{Arc, Mutex};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::*;
use crate::cluster::Cluster;
use crate::cluster::fake_api::{FakeApi, NAMESPACE};
use crate::report::EventLog;
use crate::report::Reporter;

const PLUGIN: &str = "wa-test";
const LIMIT: Duration = Duration::from_secs(5);

/// A ConfigMap; one called `stubborn` cannot be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made(pub(super) String);

impl Change for Made {
    fn describe(&self) -> String {
        format!("configmap {}", self.0)
    }

    async fn undo(&self, undoing: Undoing<'_>) -> anyhow::Result<()> {
        ensure!(!self.0.ends_with("stubborn"), "it does not want to");
        Ok(undoing.delete::<ConfigMap>(&self.0, LIMIT).await?)
    }

    fn manual_commands(&self, namespace: &str, _run: &str) -> String {
        format!("kubectl delete configmap {} -n {namespace}", self.0)
    }
}

pub(super) struct World {
    pub(super) api: FakeApi,
    cluster: Cluster,
    exit_hooks: ExitHooks,
    log: Arc<EventLog>,
}

impl World {
    pub(super) fn new() -> Self {
        let api = FakeApi::default();
        Self {
            cluster: api.cluster(),
            api,
            exit_hooks: ExitHooks::default(),
            log: Arc::default(),
        }
    }

    pub(super) fn reporter(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.log) as Arc<dyn Reporter>
    }

    pub(super) async fn begin(&self) -> Arc<Run<Made>> {
        Run::begin(
            &self.exit_hooks,
            &self.reporter(),
            &self.cluster,
            PLUGIN,
            "a test".to_owned(),
        )
        .await
        .unwrap()
    }

    pub(super) async fn make(&self, run: &Run<Made>, suffix: &str) -> ConfigMap {
        let name = run.name(suffix);
        let recorded = run.record(Made(name.clone())).await.unwrap();
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        recorded.create(&self.cluster, object).await.unwrap()
    }

    pub(super) fn lease(&self, run: &Run<Made>) -> Value {
        self.api.state().objects[&format!("leases/{}", run.run_name())].clone()
    }

    /// Stores a change of the Lease that is not the run's own.
    fn change_lease(&self, run: &Run<Made>, change: impl FnOnce(&mut Value)) {
        let mut lease = self.lease(run);
        change(&mut lease);
        self.api.put("leases", lease);
    }

    async fn others(&self) -> Vec<Result<Found<Made>, RunError>> {
        Run::others(&self.cluster, PLUGIN).await.unwrap()
    }
}

pub(super) fn record_of(lease: &Value) -> Value {
    let json = lease["metadata"]["annotations"]["kubectl-wa/record"].as_str();
    serde_json::from_str(json.unwrap()).unwrap()
}

fn set_record(lease: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut record = record_of(lease);
    change(&mut record);
    lease["metadata"]["annotations"]["kubectl-wa/record"] = record.to_string().into();
}

fn hold_by(holder: &Holder) -> impl FnOnce(&mut Value) {
    let holder = serde_json::to_value(holder).unwrap();
    |lease| set_record(lease, |record| record["holder"] = holder)
}

#[tokio::test]
async fn a_change_is_in_the_lease_before_it_is_made() {
    let world = World::new();
    let run = world.begin().await;
    let api = world.api.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let at_creation = Arc::clone(&seen);
    let lease = format!("leases/{}", run.run_name());
    world.api.intercept(move |method, path, _| {
        if method == Method::POST && path == "configmaps" {
            let record = record_of(&api.state().objects[&lease]);
            at_creation.lock().unwrap().push(record["changes"].clone());
        }
        None
    });
    let object = world.make(&run, "a").await;
    world.make(&run, "b").await;
    let (a, b) = (run.name("a"), run.name("b"));
    assert_eq!(*seen.lock().unwrap(), [json!([a]), json!([a, b])]);
    assert_eq!(object.metadata.labels.unwrap()[RUN_LABEL], run.run_name());
    let owner = &object.metadata.owner_references.unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.name.as_str()),
        ("Lease", run.run_name())
    );
    assert_eq!(owner.uid, world.lease(&run)["metadata"]["uid"]);
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_not_made() {
    let world = World::new();
    let run = world.begin().await;
    world
        .api
        .intercept(|method, _, _| (method == Method::PUT).then_some(StatusCode::FORBIDDEN));
    let error = run.record(Made(run.name("a"))).await.unwrap_err();
    assert!(error.to_string().contains("update lease"), "{error}");
    run.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn the_last_change_is_undone_first_and_the_lease_goes_last() {
    let world = World::new();
    let run = world.begin().await;
    for suffix in ["a", "b", "c"] {
        world.make(&run, suffix).await;
    }
    world.api.state().changes.clear();
    run.finish().await.unwrap();
    let expected = ["c", "b", "a"].map(|suffix| format!("DELETE configmaps/{}", run.name(suffix)));
    let changes = world.api.state().changes.clone();
    assert_eq!(changes[..3], expected);
    assert_eq!(changes[3..], [format!("DELETE leases/{}", run.run_name())]);
    assert_eq!(world.log.steps().len(), 3);
    run.finish().await.unwrap();
    assert_eq!(world.api.state().changes.len(), 4, "done once");
}

#[tokio::test]
async fn every_change_is_undone_though_one_cannot_be_and_that_one_stays_on_record() {
    let world = World::new();
    let run = world.begin().await;
    for suffix in ["a", "stubborn", "c"] {
        world.make(&run, suffix).await;
    }
    let left = run.finish().await.unwrap_err();
    let stubborn = run.name("stubborn");
    assert_eq!(world.api.names("configmaps"), [stubborn.as_str()]);
    assert_eq!(record_of(&world.lease(&run))["changes"], json!([stubborn]));
    let text = left.to_string();
    for part in [
        format!("configmap {stubborn}: it does not want to"),
        format!("kubectl delete configmap {stubborn} -n {NAMESPACE}"),
        format!("kubectl wa-test cleanup -n {NAMESPACE}"),
    ] {
        assert!(text.contains(&part), "{part:?} is not in:\n{text}");
    }
    assert_eq!(run.finish().await.unwrap_err(), left);
    assert_eq!(
        run.left(),
        Some(run.left_behind(vec![run.leftover(&Made(stubborn), "not undone yet")]))
    );

    let found = world.others().await.pop().unwrap().unwrap();
    assert_eq!(found.state, RunState::Dead, "it was given up");
    assert_eq!(found.changes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_a_while_is_waited_for() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    // The change's undoing meets it, and then the deletion of the Lease.
    let mut failing = [("configmaps", 12), ("leases", 12)];
    world.api.intercept(move |method, path, _| {
        let (_, left) = failing
            .iter_mut()
            .find(|(kind, _)| path.starts_with(kind))?;
        let fails = method != Method::PUT && *left > 0;
        fails.then(|| {
            *left -= 1;
            StatusCode::SERVICE_UNAVAILABLE
        })
    });
    run.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
    let warnings = world.log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("trying again"), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_stays_away_is_waited_for_once_and_not_for_each_change() {
    let world = World::new();
    let run = world.begin().await;
    for suffix in ["a", "b", "c"] {
        world.make(&run, suffix).await;
    }
    world
        .api
        .intercept(|_, _, _| Some(StatusCode::SERVICE_UNAVAILABLE));
    let began = tokio::time::Instant::now();
    let left = run.finish().await.unwrap_err();
    assert_eq!(left.leftovers.len(), 3);
    let took = began.elapsed();
    let limit = Duration::from_mins(2);
    assert!(
        took >= limit && took < limit + Duration::from_secs(30),
        "{took:?}"
    );
}

#[tokio::test]
async fn what_is_gone_already_counts_as_undone() {
    let world = World::new();
    let run = world.begin().await;
    run.record(Made(run.name("never-made"))).await.unwrap();
    run.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn an_object_that_another_run_made_is_not_deleted() {
    let world = World::new();
    let run = world.begin().await;
    run.record(Made("theirs".to_owned())).await.unwrap();
    let labels = json!({RUN_LABEL: "wa-test-00000000"});
    world.api.put(
        "configmaps",
        json!({"metadata": {"name": "theirs", "labels": labels}}),
    );
    let left = run.finish().await.unwrap_err();
    assert!(
        left.to_string().contains("does not carry the label"),
        "{left}"
    );
    assert_eq!(world.api.names("configmaps"), ["theirs"]);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_looked_at_and_not_repeated() {
    let world = World::new();
    let run = world.begin().await;
    let api = world.api.clone();
    world.api.intercept(move |method, path, body| {
        let create = method == Method::POST && path == "configmaps";
        create.then(|| {
            api.put("configmaps", body.clone());
            StatusCode::GATEWAY_TIMEOUT
        })
    });
    world.make(&run, "a").await;
    let creations = |state: &[String]| state.iter().filter(|one| *one == "POST configmaps").count();
    assert_eq!(creations(&world.api.state().changes), 1);
    run.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn a_conflict_is_read_again_and_the_change_recorded_all_the_same() {
    let world = World::new();
    let run = world.begin().await;
    world.change_lease(&run, |lease| {
        lease["metadata"]["labels"]["note"] = "mine".into();
    });
    run.record(Made("a".to_owned())).await.unwrap();
    let lease = world.lease(&run);
    assert_eq!(record_of(&lease)["changes"], json!(["a"]));
    assert_eq!(
        lease["metadata"]["labels"]["note"], "mine",
        "not overwritten"
    );
}

#[tokio::test]
async fn what_is_being_made_when_the_command_is_interrupted_is_undone_too() {
    let world = World::new();
    let run = world.begin().await;
    let name = run.name("a");
    let recorded = run.record(Made(name.clone())).await.unwrap();
    let (going, go) = tokio::sync::oneshot::channel::<()>();
    let api = world.api.clone();
    let labels = json!({RUN_LABEL: run.run_name()});
    let mut making = Box::pin(recorded.make(async move {
        go.await.unwrap();
        api.put(
            "configmaps",
            json!({"metadata": {"name": name, "labels": labels}}),
        );
    }));
    assert!(futures::poll!(making.as_mut()).is_pending());
    drop(making);
    let mut undoing = Box::pin(run.finish());
    for _ in 0..10 {
        assert!(futures::poll!(undoing.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    going.send(()).unwrap();
    undoing.await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn names_are_labels_and_belong_to_their_run() {
    let world = World::new();
    let (run, other) = (world.begin().await, world.begin().await);
    assert_ne!(run.name("helper"), other.name("helper"));
    let long = run.name(&format!("Store.Dump_{}-", "x".repeat(31)));
    assert!(crate::cluster::is_label(&long), "{long}");
    assert!(crate::cluster::is_label(&run.name(&"y".repeat(80))));
}

#[tokio::test]
async fn a_run_that_may_not_begin_leaves_nothing_to_undo() {
    let world = World::new();
    world
        .api
        .intercept(|method, _, _| (method == Method::POST).then_some(StatusCode::FORBIDDEN));
    let reporter = world.reporter();
    let begun = Run::<Made>::begin(
        &world.exit_hooks,
        &reporter,
        &world.cluster,
        PLUGIN,
        String::new(),
    )
    .await;
    assert!(matches!(begun.unwrap_err(), RunError::Cluster { .. }));
    assert_eq!(world.exit_hooks.run().await, []);
}

#[tokio::test]
async fn a_command_that_is_interrupted_while_its_run_begins_leaves_no_lease() {
    let world = World::new();
    let reporter = world.reporter();
    let begin = Run::<Made>::begin(
        &world.exit_hooks,
        &reporter,
        &world.cluster,
        PLUGIN,
        String::new(),
    );
    let mut begin = Box::pin(begin);
    while world.exit_hooks.is_empty() {
        // Polled until the Lease is being created, and no further.
        assert!(futures::poll!(begin.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(begin);
    assert_eq!(world.exit_hooks.run().await, []);
    assert_eq!(world.api.names("leases"), [""; 0]);
}

#[tokio::test]
async fn what_a_command_did_not_finish_is_undone_at_its_end() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    drop(run);
    assert_eq!(world.exit_hooks.run().await, []);
    assert_eq!(world.api.state().objects.len(), 0);
}
