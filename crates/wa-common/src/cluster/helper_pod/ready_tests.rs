//! Waiting, with a clock that runs as fast as it is waited for.

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::super::fake_api::FakeApi;
use super::*;
use crate::report::EventLog;

const POD: &str = "wa-pvc-1-helper";
const LIMIT: Duration = Duration::from_mins(5);

fn put(api: &FakeApi, status: &Value) {
    let metadata = json!({"name": POD, "uid": "1"});
    api.put("pods", json!({"metadata": metadata, "status": status}));
}

fn container(state: &Value, phase: &str) -> Value {
    json!({"phase": phase, "containerStatuses": [{
        "name": HELPER_CONTAINER, "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": state,
    }]})
}

/// Changes the pod at the `n`th look at it.
fn at_look(api: &FakeApi, n: u32, change: impl Fn(&FakeApi) + Send + 'static) {
    let (world, mut looks) = (api.clone(), 0);
    api.intercept(move |method, path, _| {
        if method == Method::GET && path == format!("pods/{POD}") {
            looks += 1;
            if looks == n {
                change(&world);
            }
        }
        None
    });
}

async fn wait(api: &FakeApi, log: &EventLog) -> Result<PodContainer, NotReady> {
    ready(&api.cluster(), POD, LIMIT, log).await
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_takes_its_time_is_waited_for_and_its_wait_explained() {
    let (api, log) = (FakeApi::default(), EventLog::default());
    put(&api, &json!({"phase": "Pending"}));
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"uid": "1"}, "reason": "Pulling",
        "message": "Pulling image \"x\"", "lastTimestamp": "2026-11-22T20:23:00Z",
    });
    api.put("events", event);
    at_look(&api, 60, |api| {
        put(api, &container(&json!({"running": {}}), "Running"));
    });
    let target = wait(&api, &log).await.unwrap();
    assert_eq!(
        (target.pod.as_str(), target.container.as_str()),
        (POD, HELPER_CONTAINER)
    );
    assert_eq!(
        log.steps(),
        [format!("waiting for pod {POD}: Pulling image \"x\"")],
        "reported once"
    );
}

#[tokio::test(start_paused = true)]
async fn an_obstacle_ends_the_wait_when_its_time_is_over_and_not_before() {
    let (api, log) = (FakeApi::default(), EventLog::default());
    let backing_off = json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}});
    put(&api, &container(&backing_off, "Pending"));
    let started = Instant::now();
    let error = wait(&api, &log).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("ImagePullBackOff: no such host"),
        "{error}"
    );
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_obstacle_that_passes_is_no_obstacle() {
    let (api, log) = (FakeApi::default(), EventLog::default());
    let backing_off = json!({"waiting": {"reason": "ErrImagePull", "message": "no such host"}});
    put(&api, &container(&backing_off, "Pending"));
    at_look(&api, 15, |api| {
        put(api, &container(&json!({"running": {}}), "Running"));
    });
    wait(&api, &log).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_somebody_deletes_is_not_waited_for() {
    let (api, log) = (FakeApi::default(), EventLog::default());
    put(&api, &json!({"phase": "Pending"}));
    at_look(&api, 3, |api| api.state().objects.clear());
    let error = wait(&api, &log).await.unwrap_err();
    assert!(matches!(error, NotReady::Gone { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_and_says_what_was_waited_for() {
    let (api, log) = (FakeApi::default(), EventLog::default());
    put(&api, &json!({"phase": "Pending"}));
    let error = wait(&api, &log).await.unwrap_err().to_string();
    assert!(
        error.contains("after 5m0s") && error.contains("a node to start it"),
        "{error}"
    );
}
