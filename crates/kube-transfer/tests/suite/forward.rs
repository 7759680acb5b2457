//! A port of a pod over a line that ends well and badly.

use std::time::Duration;

use kube_transfer::exec::{Lost, StreamOptions};
use kube_transfer::forward::{Forward, ForwardError, PodPort};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{ApiServer, Behaviour, Step, Subprotocol, close, frame};

const PORT: u16 = 6443;

/// What each forwarded port begins with, in pieces that no server is bound to.
fn beginning() -> Vec<Step> {
    let [low, high] = PORT.to_le_bytes();
    vec![frame(0, &[low]), frame(1, &[low, high]), frame(0, &[high])]
}

/// What arrives here, and how the connection ended, after `sent` was sent.
async fn carried(steps: Vec<Step>, sent: &[u8]) -> (String, Result<(), ForwardError>) {
    let steps = [beginning(), steps].concat();
    let server = ApiServer::start(Behaviour::Play(Subprotocol::V4, steps)).await;
    let target = PodPort {
        namespace: "default".to_owned(),
        pod: "t".to_owned(),
        port: PORT,
    };
    let options = StreamOptions::default()
        .with_ping_every(Duration::from_millis(50))
        .with_silence_limit(Duration::from_millis(250));
    let forward = Forward::open(&server.client(), &target, &options).await;
    let path = "/api/v1/namespaces/default/pods/t/portforward?&ports=6443";
    assert_eq!(server.requests(), [path]);
    let (mut here, there) = tokio::io::duplex(1 << 16);
    let carried = tokio::spawn(forward.expect("a connection").carry(there));
    here.write_all(sent).await.expect("room");
    let mut arrived = String::new();
    here.read_to_string(&mut arrived).await.expect("text");
    (arrived, carried.await.expect("no panic"))
}

#[tokio::test]
async fn bytes_are_carried_both_ways_until_the_pod_ends() {
    let steps = vec![
        Step::Expect(b"\0ping".to_vec()),
        frame(0, b"po"),
        frame(0, b"ng"),
        close(),
    ];
    let (arrived, ended) = carried(steps, b"ping").await;
    assert_eq!(arrived, "pong");
    ended.expect("a proper end");
}

#[tokio::test]
async fn what_the_node_says_of_a_port_is_reported_without_what_drives_a_terminal() {
    let steps = vec![frame(1, b"connection refused \x1b[2J"), Step::Listen];
    let (arrived, ended) = carried(steps, b"").await;
    assert_eq!(arrived, "");
    assert_eq!(
        ended.expect_err("an error").to_string(),
        "cannot connect with port 6443 of pod default/t: connection refused \\u{1b}[2J"
    );
}

#[tokio::test]
async fn a_line_that_breaks_or_falls_silent_ends_the_connection() {
    let lost = async |steps| match carried(steps, b"").await {
        (_, Err(ForwardError::Lost { how, .. })) => how,
        (_, other) => panic!("{other:?}"),
    };
    assert!(matches!(lost(vec![frame(0, b"po")]).await, Lost::Eof));
    assert!(matches!(
        lost(vec![Step::Freeze]).await,
        Lost::Silent { .. }
    ));
    assert!(matches!(
        lost(vec![frame(2, b"?"), Step::Listen]).await,
        Lost::UnknownChannel(2)
    ));
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_refused_before_anything_is_sent() {
    let server = ApiServer::start(Behaviour::Ignore).await;
    let target = PodPort {
        namespace: "default".to_owned(),
        pod: "../x".to_owned(),
        port: PORT,
    };
    let opened = Forward::open(&server.client(), &target, &StreamOptions::default()).await;
    assert!(matches!(opened, Err(ForwardError::InvalidName { .. })));
    assert!(server.requests().is_empty());
}
