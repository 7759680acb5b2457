//! Streams that fail on purpose: what a client must be able to tell from success.

use std::time::{Duration, Instant};

use futures::SinkExt;
use kube_sandbox::faults::Effect;
use kube_sandbox::meta::resources;
use tokio_tungstenite::tungstenite::Message;

use crate::cluster::{Cluster, Exec, Received, bytes_of, shell, status_of};

const V5: &str = "v5.channel.k8s.io";

async fn million_bytes(cluster: &Cluster) -> Exec {
    cluster
        .exec(&shell("head -c 1000000 /dev/zero"), V5)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cut_connection_ends_after_exactly_the_bytes_asked_for() {
    let cluster = Cluster::start().await;
    for bytes in [0, 1, 4_097, 65_536, 999_999, 1_000_000] {
        cluster.break_exec(Effect::CutAfter { bytes });
        let received = million_bytes(&cluster).await.rest().await;
        assert_eq!(received.last(), Some(&Received::Lost), "{bytes}");
        assert_eq!(
            (bytes_of(1, &received).len() as u64, status_of(&received)),
            (bytes, None)
        );
    }
    let received = million_bytes(&cluster).await.rest().await;
    assert_eq!(
        bytes_of(1, &received).len(),
        1_000_000,
        "the fault is spent"
    );
}

#[tokio::test]
async fn a_stream_can_end_properly_without_a_status() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::CloseWithoutStatus { after_bytes: 5_000 });
    let received = million_bytes(&cluster).await.rest().await;
    assert_eq!(received.last(), Some(&Received::Close(1000, String::new())));
    assert_eq!(
        (bytes_of(1, &received).len(), status_of(&received)),
        (5_000, None)
    );
}

#[tokio::test]
async fn a_stalled_stream_stays_open_and_answers_no_ping() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::StallAfter { bytes: 10 });
    let mut exec = million_bytes(&cluster).await;
    let mut stdout = 0;
    while stdout < 10 {
        if let Received::Frame(1, bytes) = exec.receive().await {
            stdout += bytes.len();
        }
    }
    exec.socket
        .send(Message::Ping("anybody".into()))
        .await
        .unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), exec.receive()).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn a_shortened_stream_reports_success_all_the_same() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::ShortenStdout { bytes: 100 });
    let received = million_bytes(&cluster).await.rest().await;
    assert_eq!(bytes_of(1, &received).len(), 999_900);
    assert_eq!(status_of(&received).unwrap()["status"], "Success");
}

#[tokio::test]
async fn a_slow_stream_is_slow_and_complete() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::Throttle {
        bytes_per_second: 4_000_000,
    });
    let begin = Instant::now();
    let received = million_bytes(&cluster).await.rest().await;
    assert_eq!(bytes_of(1, &received).len(), 1_000_000);
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_knows_no_version_5_takes_version_4_or_nothing() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::RefuseV5);
    let exec = cluster
        .exec(&shell("true"), "v5.channel.k8s.io, v4.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(exec.subprotocol, "v4.channel.k8s.io");
    cluster.break_exec(Effect::RefuseV5);
    let Err(refused) = cluster.exec(&shell("true"), V5).await else {
        panic!("accepted")
    };
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn a_pod_deleted_in_the_middle_takes_its_exec_with_it() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::DeletePodAfter { bytes: 50_000 });
    let mut exec = cluster
        .exec(&shell("exec cat /dev/zero"), V5)
        .await
        .unwrap();
    let received = exec.rest().await;
    assert!(bytes_of(1, &received).len() >= 50_000);
    assert_eq!(
        status_of(&received).unwrap()["details"]["causes"][0]["message"],
        "137"
    );
    assert!(cluster.store.get(&resources::PODS, "default", "t").is_err());
}
