//! Execs and logs that are refused, each in the way a real cluster does it.

use serde_json::{Value, json};

use crate::cluster::{Cluster, command, status_of};

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

async fn refused(cluster: &Cluster, path: &str, subprotocols: &str) -> (u16, String) {
    let Err(response) = cluster.open(path, subprotocols).await else {
        panic!("{path} was not refused");
    };
    let body = response.body().as_deref().unwrap_or_default();
    (
        response.status().as_u16(),
        String::from_utf8_lossy(body).into_owned(),
    )
}

fn exec_of(pod: &str, more: &str) -> String {
    format!(
        "/api/v1/namespaces/default/pods/{pod}/exec?{}{more}",
        command(&["true"])
    )
}

#[tokio::test]
async fn an_unknown_subprotocol_is_403_without_a_word() {
    let cluster = Cluster::start().await;
    assert_eq!(
        refused(&cluster, &exec_of("t", ""), "v9.channel.k8s.io").await,
        (403, String::new())
    );
}

#[tokio::test]
async fn a_missing_pod_is_404_and_a_wrong_container_400() {
    let cluster = Cluster::start().await;
    let (code, body) = refused(&cluster, &exec_of("nope", ""), V5).await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "pods \"nope\" not found",
        "reason": "NotFound", "details": {"name": "nope", "kind": "pods"}, "code": 404,
    });
    assert_eq!(
        (code, serde_json::from_str::<Value>(&body).unwrap()),
        (404, expected)
    );
    let (code, body) = refused(&cluster, &exec_of("t", "&container=nope"), V5).await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "container nope is not valid for pod t", "reason": "BadRequest", "code": 400,
    });
    assert_eq!(
        (code, serde_json::from_str::<Value>(&body).unwrap()),
        (400, expected)
    );
}

#[tokio::test]
async fn a_pod_of_several_containers_wants_one_named() {
    let cluster = Cluster::start().await;
    let container = |name: &str| json!({"name": name, "image": "local/host:1"});
    cluster.create_pod("two", &json!([container("a"), container("b")]));
    cluster.wait_for("two", "Running").await;
    let (code, body) = refused(&cluster, &exec_of("two", ""), V5).await;
    let message = "a container name must be specified for pod two, choose one of: [a b]";
    assert_eq!((code, body.contains(message)), (400, true), "{body}");
    assert!(
        cluster
            .open(&exec_of("two", "&container=b"), V5)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_ended_container_is_a_status_in_version_5_and_an_answer_of_the_kubelet_in_version_4() {
    let cluster = Cluster::start().await;
    cluster.create_pod(
        "done",
        &json!([{"name": "c", "image": "local/host:1", "command": ["true"]}]),
    );
    cluster.wait_for("done", "Succeeded").await;
    let mut exec = cluster.open(&exec_of("done", ""), V5).await.unwrap();
    let status = status_of(&exec.rest().await).unwrap();
    let message =
        r#"Internal error occurred: unable to upgrade connection: container not found ("c")"#;
    assert_eq!(status["message"], message);
    let (code, body) = refused(&cluster, &exec_of("done", ""), V4).await;
    assert_eq!(
        (code, body.trim_end()),
        (500, r#"container not found ("c")"#)
    );
}

#[tokio::test]
async fn a_pod_without_a_node_has_nowhere_to_run_anything() {
    let cluster = Cluster::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "local/host:1"}]},
    });
    cluster
        .store
        .create(&kube_sandbox::meta::resources::PODS, pod)
        .unwrap();
    let (code, body) = refused(&cluster, &exec_of("p", ""), V5).await;
    assert_eq!(
        (code, body.contains("pod p does not have a host assigned")),
        (400, true),
        "{body}"
    );
}
