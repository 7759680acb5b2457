//! Faults that concern whole requests.

use kube_sandbox::faults::{Effect, Fault, Matcher};
use serde_json::json;

use crate::support::{Cluster, client::Call};

const PODS: &str = "/api/v1/namespaces/cpd/pods";

fn fault(effect: Effect) -> Fault {
    Fault {
        on: Matcher::default(),
        times: None,
        effect,
    }
}

#[tokio::test]
async fn an_error_is_answered_as_often_as_asked() {
    let cluster = Cluster::start().await;
    let on = Matcher {
        verb: Some("list".into()),
        resource: Some("pods".into()),
        ..Matcher::default()
    };
    let effect = Effect::Status {
        code: 429,
        message: "slow down".into(),
        retry_after: Some(2),
    };
    cluster.faults.inject(Fault {
        on,
        times: Some(2),
        effect,
    });
    assert_eq!(
        cluster.call(Call::get("/version")).await.status,
        200,
        "the matcher does not hit this"
    );
    for _ in 0..2 {
        let answer = cluster.call(Call::get(PODS)).await;
        assert_eq!(
            (answer.status, &answer.headers["retry-after"]),
            (429, &"2".parse().unwrap())
        );
        assert_eq!(answer.json()["reason"], "TooManyRequests");
    }
    assert_eq!(cluster.call(Call::get(PODS)).await.status, 200);
}

#[tokio::test]
async fn an_expired_token_is_no_longer_accepted() {
    let cluster = Cluster::start().await;
    cluster.faults.inject(fault(Effect::ExpireToken));
    assert_eq!(
        cluster.call(Call::get(PODS)).await.json()["message"],
        "Unauthorized"
    );
    cluster.faults.clear();
    assert_eq!(cluster.call(Call::get(PODS)).await.status, 200);
}

#[tokio::test]
async fn a_permission_taken_away_is_missing_in_reviews_too() {
    let cluster = Cluster::start().await;
    cluster.faults.inject(fault(Effect::Forbid {
        verb: "create".into(),
        group: String::new(),
        resource: "pods".into(),
        subresource: "exec".into(),
    }));
    let review = |subresource: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "verb": "create", "resource": "pods", "subresource": subresource } },
        })
    };
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let allowed = cluster
        .call(Call::send("POST", path, &review("exec")))
        .await
        .json()["status"]["allowed"]
        .take();
    assert_eq!(allowed, false);
    let allowed = cluster
        .call(Call::send("POST", path, &review("")))
        .await
        .json()["status"]["allowed"]
        .take();
    assert_eq!(allowed, true);
    let exec =
        Call::get("/api/v1/namespaces/cpd/pods/x/exec?command=true").header("Upgrade", "websocket");
    let refused = cluster.call(exec).await;
    assert_eq!(
        refused.status, 403,
        "a WebSocket opens with GET and still needs create: {}",
        refused.text
    );
}

#[tokio::test]
async fn a_server_that_is_gone_refuses_and_cuts_connections() {
    let cluster = Cluster::start().await;
    let watch = cluster
        .open(Call::get(&format!("{PODS}?watch=1")))
        .await
        .unwrap();
    cluster.faults.inject(fault(Effect::RefuseConnections));
    let cut = http_body_util::BodyExt::collect(watch.into_body()).await;
    assert!(
        cut.is_err(),
        "the watch must not end as if it were complete"
    );
    let mut refused = cluster.open(Call::get("/version")).await;
    while refused.is_ok() {
        // A connection may still have been waiting in the listener's queue.
        refused = cluster.open(Call::get("/version")).await;
    }
    cluster.faults.clear();
    while cluster.open(Call::get("/version")).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn administrators_change_faults_over_http() {
    let cluster = Cluster::start().await;
    let sent = json!({ "on": { "resource": "pods" }, "times": 1, "effect": { "type": "status", "code": 503 } });
    let list = cluster
        .call(Call::send("POST", "/_sandbox/faults", &sent))
        .await;
    assert_eq!(list.json()[0]["effect"]["code"], 503);
    assert_eq!(cluster.call(Call::get(PODS)).await.status, 503);
    assert_eq!(
        cluster.call(Call::get("/_sandbox/faults")).await.json(),
        json!([])
    );
    let nonsense = json!({ "effect": { "type": "explode" } });
    assert_eq!(
        cluster
            .call(Call::send("POST", "/_sandbox/faults", &nonsense))
            .await
            .status,
        400
    );
    let stranger = Call::get("/_sandbox/faults").header("Authorization", "Bearer auditors-token");
    assert_eq!(cluster.call(stranger).await.status, 403);
}
