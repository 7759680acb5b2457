//! Watches over plain HTTP.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube_sandbox::meta::resources;
use serde_json::{Value, json};

use crate::support::{Cluster, NAMESPACE, client::Call, config_map, pod};

const PODS: &str = "/api/v1/namespaces/cpd/pods";

/// The events of a watch, one by one.
struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    async fn open(cluster: &Cluster, path: &str) -> Self {
        let response = cluster.open(Call::get(path)).await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event; `None` when the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.text = String::from(rest);
                return Some(event);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text
                .push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// Type and object name of the next event.
    async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch has ended");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["object"]["metadata"]["name"]),
        )
    }
}

fn brief(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    for version in ["", "&resourceVersion=0"] {
        let mut events = Events::open(&cluster, &format!("{PODS}?watch=true{version}")).await;
        assert_eq!(events.brief().await, brief("ADDED", "one"));
    }
}

#[tokio::test]
async fn a_watch_from_a_list_misses_nothing_and_repeats_nothing() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let list = cluster.call(Call::get(PODS)).await.json();
    cluster.store.create(&resources::PODS, pod("two")).unwrap();
    cluster
        .store
        .remove(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = Events::open(
        &cluster,
        &format!("{PODS}?watch=1&resourceVersion={version}"),
    )
    .await;
    assert_eq!(events.brief().await, brief("ADDED", "two"));
    assert_eq!(events.brief().await, brief("DELETED", "one"));
}

#[tokio::test]
async fn an_object_that_stops_matching_is_deleted_for_the_watch() {
    let cluster = Cluster::start().await;
    let mut events = Events::open(
        &cluster,
        &format!("{PODS}?watch=1&fieldSelector=status.phase%3DRunning"),
    )
    .await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    for phase in ["Running", "Running", "Failed"] {
        cluster
            .store
            .modify(&resources::PODS, NAMESPACE, "one", |pod| {
                pod["status"] =
                    json!({ "phase": phase, "startTime": uuid::Uuid::new_v4().to_string() });
            })
            .unwrap();
    }
    for event in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(events.brief().await, brief(event, "one"));
    }
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let path = format!(
        "{PODS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    );
    let mut events = Events::open(&cluster, &path).await;
    assert_eq!(events.brief().await, brief("ADDED", "one"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(
        bookmark["object"]["metadata"]["resourceVersion"],
        cluster.store.revision().to_string()
    );
    assert_eq!(events.next().await, None, "timeoutSeconds ends a watch");
}

#[tokio::test]
async fn a_version_that_is_no_longer_kept_is_expired() {
    let cluster = Cluster::start().await;
    let start = cluster.store.revision();
    cluster
        .store
        .create(&resources::CONFIG_MAPS, config_map("busy"))
        .unwrap();
    for count in 0..4_100 {
        cluster
            .store
            .modify(&resources::CONFIG_MAPS, NAMESPACE, "busy", |map| {
                map["data"]["count"] = json!(count);
            })
            .unwrap();
    }
    let mut events =
        Events::open(&cluster, &format!("{PODS}?watch=1&resourceVersion={start}")).await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["object"]["code"],
            &event["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert!(
        event["object"]["message"]
            .as_str()
            .unwrap()
            .starts_with(&format!("too old resource version: {start} ("))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn only_the_first_table_of_a_watch_has_headers() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    cluster.store.create(&resources::PODS, pod("two")).unwrap();
    let call = Call {
        method: "GET",
        path: "/api/v1/pods?watch=1",
        headers: Vec::new(),
        body: None,
    }
    .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let response = cluster.open(call).await.unwrap();
    let mut events = Events {
        body: response.into_body(),
        text: String::new(),
    };
    let headers = async |events: &mut Events| {
        let event = events.next().await.unwrap();
        assert_eq!(event["object"]["kind"], "Table");
        event["object"]["columnDefinitions"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(headers(&mut events).await, 9);
    assert_eq!(headers(&mut events).await, 0);
}
