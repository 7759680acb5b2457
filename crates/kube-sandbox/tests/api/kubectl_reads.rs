//! A real kubectl that looks: get, describe, wait, auth.

use kube_sandbox::meta::resources;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Cluster, NAMESPACE, config_map, deployment, pod};

#[tokio::test(flavor = "multi_thread")]
async fn discovery_shows_every_kind() {
    let cluster = Cluster::start().await;
    let list = cluster
        .kubectl(&["api-resources", "-o", "name"])
        .await
        .ok()
        .to_owned();
    for name in [
        "pods",
        "deployments.apps",
        "cronjobs.batch",
        "temporarypatches.assistant.watson.ibm.com",
    ] {
        assert!(
            list.lines().any(|line| line == name),
            "{name} is missing:\n{list}"
        );
    }
    assert!(!list.contains("volumesnapshots"));
    assert!(cluster.kubectl(&["version"]).await.ok().contains("v1.36"));
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_tables_and_documents() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    cluster
        .store
        .create(&resources::DEPLOYMENTS, deployment("web"))
        .unwrap();

    let table = cluster.kubectl(&["get", "pods"]).await;
    let words: Vec<&str> = table.ok().split_whitespace().collect();
    assert_eq!(
        words[..9],
        [
            "NAME", "READY", "STATUS", "RESTARTS", "AGE", "one", "0/1", "Pending", "0"
        ]
    );
    assert!(
        cluster
            .kubectl(&["get", "deploy", "-o", "wide"])
            .await
            .ok()
            .contains("app=web")
    );
    assert!(
        cluster
            .kubectl(&["get", "all"])
            .await
            .ok()
            .contains("deployment.apps/web")
    );
    assert!(
        cluster
            .kubectl(&["get", "po", "-A"])
            .await
            .ok()
            .contains(NAMESPACE)
    );
    assert_eq!(
        cluster
            .kubectl(&["get", "po", "-l", "app in (one,two),app!=two", "-o", "name"])
            .await
            .ok(),
        "pod/one\n"
    );
    assert_eq!(
        cluster
            .kubectl(&[
                "get",
                "po",
                "--field-selector",
                "status.phase=Running",
                "-o",
                "name"
            ])
            .await
            .ok(),
        ""
    );
    assert_eq!(
        cluster
            .kubectl(&[
                "get",
                "po",
                "one",
                "-o",
                "jsonpath={.spec.containers[0].image}"
            ])
            .await
            .ok(),
        "x:1"
    );
    let yaml = cluster.kubectl(&["get", "po", "one", "-o", "yaml"]).await;
    assert!(
        yaml.ok().contains("terminationGracePeriodSeconds: 30"),
        "{yaml:?}"
    );
    let list: Value = serde_json::from_str(
        cluster
            .kubectl(&["get", "po,deploy", "-o", "json"])
            .await
            .ok(),
    )
    .unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(
        cluster
            .kubectl(&["get", "po", "two"])
            .await
            .error()
            .contains("Error from server (NotFound): pods \"two\" not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_chunks() {
    let cluster = Cluster::start().await;
    for number in 0..7 {
        cluster
            .store
            .create(
                &resources::CONFIG_MAPS,
                config_map(&format!("map-{number}")),
            )
            .unwrap();
    }
    let names = cluster
        .kubectl(&["get", "cm", "--chunk-size=3", "-o", "name"])
        .await;
    assert_eq!(names.ok().lines().count(), 7);
    assert_eq!(cluster.asked("continue="), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_watch_follows_changes() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let mut kubectl = cluster
        .command("admin", &["get", "pods", "-w"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(kubectl.stdout.take().unwrap()).lines();
    let mut next = async || lines.next_line().await.unwrap().expect("kubectl ended");
    assert!(next().await.starts_with("NAME"));
    assert!(next().await.contains("Pending"));
    cluster
        .store
        .modify(&resources::PODS, NAMESPACE, "one", |pod| {
            pod["status"]["phase"] = json!("Running");
        })
        .unwrap();
    assert!(next().await.contains("Running"));
    kubectl.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_events() {
    let cluster = Cluster::start().await;
    let one = cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "generateName": "one.", "namespace": NAMESPACE },
        "involvedObject": { "kind": "Pod", "namespace": NAMESPACE, "name": "one", "uid": one["metadata"]["uid"] },
        "type": "Warning", "reason": "FailedScheduling", "message": "no node wants it", "count": 1,
        "source": { "component": "default-scheduler" }, "firstTimestamp": one["metadata"]["creationTimestamp"],
        "lastTimestamp": one["metadata"]["creationTimestamp"],
    });
    cluster.store.create(&resources::EVENTS, event).unwrap();
    let described = cluster.kubectl(&["describe", "pod", "one"]).await;
    assert!(described.ok().contains("no node wants it"), "{described:?}");
    assert!(described.ok().contains("FailedScheduling"));
    assert!(
        cluster
            .kubectl(&["get", "events"])
            .await
            .ok()
            .contains("pod/one")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_sees_conditions_and_deletions() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let late = cluster
        .kubectl(&["wait", "pod/one", "--for=condition=Ready", "--timeout=1s"])
        .await;
    assert!(
        late.error().contains("timed out waiting for the condition"),
        "{late:?}"
    );
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    let before = cluster.asked("watch=");
    let waiting = cluster
        .command(
            "admin",
            &["wait", "pod/one", "--for=condition=Ready", "--timeout=20s"],
        )
        .spawn()
        .unwrap();
    cluster.asked_again("watch=", before).await;
    cluster
        .store
        .modify(&resources::PODS, NAMESPACE, "one", |pod| {
            pod["status"]["conditions"] = ready;
        })
        .unwrap();
    assert!(waiting.wait_with_output().await.unwrap().status.success());
    let before = cluster.asked("watch=");
    let waiting = cluster
        .command(
            "admin",
            &["wait", "pod/one", "--for=delete", "--timeout=20s"],
        )
        .spawn()
        .unwrap();
    cluster.asked_again("watch=", before).await;
    cluster
        .store
        .remove(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    assert!(waiting.wait_with_output().await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_reported_and_kept() {
    let cluster = Cluster::start().await;
    assert_eq!(
        cluster
            .kubectl(&["auth", "can-i", "create", "pods/exec"])
            .await
            .ok(),
        "yes\n"
    );
    assert_eq!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "get", "pods"])
            .await
            .ok(),
        "yes\n"
    );
    assert_eq!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "get", "secrets"])
            .await
            .stdout,
        "no\n"
    );
    assert!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "--list"])
            .await
            .ok()
            .contains("[get list watch]")
    );
    assert_eq!(
        cluster
            .kubectl(&["auth", "can-i", "get", "pods", "--as=alice"])
            .await
            .stdout,
        "no\n"
    );
    let refused = cluster.kubectl_as("auditor", &["get", "secrets"]).await;
    assert!(refused.error().contains(
        "Error from server (Forbidden): secrets is forbidden: User \"auditor\" cannot list resource \"secrets\" in API group \"\" \
         in the namespace \"cpd\""
    ));
    let refused = cluster
        .kubectl_as("auditor", &["get", "pods", "--as=admin"])
        .await;
    assert!(
        refused
            .error()
            .contains("cannot impersonate resource \"users\""),
        "{refused:?}"
    );
}
