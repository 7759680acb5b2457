//! The frames of an exec, held to recordings of a real cluster (`exec-*.json`).

use std::time::Duration;

use futures::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::cluster::{Cluster, Received, bytes_of, command, shell, shell_with_stdin, status_of};

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

fn frame(channel: u8, text: &str) -> Received {
    Received::Frame(channel, text.as_bytes().to_vec())
}

fn normal_end() -> Received {
    Received::Close(1000, String::new())
}

#[tokio::test]
async fn an_exec_begins_with_an_empty_frame_and_ends_with_a_status_and_code_1000() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell("echo out; sleep 0.05; echo err >&2"), V5)
        .await
        .unwrap();
    let expected = [
        frame(1, ""),
        frame(1, "out\n"),
        frame(2, "err\n"),
        frame(3, r#"{"metadata":{},"status":"Success"}"#),
        normal_end(),
    ];
    assert_eq!(exec.rest().await, expected);
}

#[tokio::test]
async fn a_client_that_offers_both_versions_gets_its_first_choice() {
    let cluster = Cluster::start().await;
    let exec = cluster
        .exec(&command(&["true"]), "v5.channel.k8s.io, v4.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(exec.subprotocol, V5);
}

#[tokio::test]
async fn a_failure_carries_the_exit_code() {
    let cluster = Cluster::start().await;
    for (script, code) in [("echo partial; exit 3", "3"), ("kill -9 $$", "137")] {
        let mut exec = cluster.exec(&shell(script), V5).await.unwrap();
        let expected = json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code}]},
        });
        assert_eq!(status_of(&exec.rest().await), Some(expected));
    }
}

#[tokio::test]
async fn a_missing_program_is_an_internal_error_on_the_status_channel() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&command(&["no-such-binary"]), V5)
        .await
        .unwrap();
    let received = exec.rest().await;
    assert_eq!((received.len(), &received[0]), (3, &frame(1, "")));
    // The recorded one has this length as well.
    assert_eq!(bytes_of(3, &received).len(), 778);
    let status = status_of(&received).unwrap();
    assert_eq!(
        (&status["reason"], &status["code"]),
        (&json!("InternalError"), &json!(500))
    );
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Internal error occurred: Internal error occurred: error executing command in container: failed to exec in \
             container: failed to start exec \""
        ) && message.ends_with(
            "\": OCI runtime exec failed: exec failed: unable to start container process: exec: \"no-such-binary\": \
             executable file not found in $PATH"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn version_5_can_close_stdin() {
    let cluster = Cluster::start().await;
    let mut exec = cluster.exec(&shell_with_stdin("cat"), V5).await.unwrap();
    exec.send(0, b"hello\n").await;
    exec.send(255, &[0]).await;
    let expected = [
        frame(1, ""),
        frame(1, "hello\n"),
        frame(3, r#"{"metadata":{},"status":"Success"}"#),
        normal_end(),
    ];
    assert_eq!(exec.rest().await, expected);
}

#[tokio::test]
async fn version_4_cannot_close_stdin_and_words_its_status_without_metadata() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell_with_stdin("head -c 6; sleep 0.05; echo done"), V4)
        .await
        .unwrap();
    exec.send(255, &[0]).await;
    exec.send(0, b"hello\n").await;
    let expected = [
        frame(1, ""),
        frame(1, "hello\n"),
        frame(1, "done\n"),
        frame(3, r#"{"status":"Success"}"#),
        normal_end(),
    ];
    assert_eq!(exec.rest().await, expected);
}

#[tokio::test]
async fn a_terminal_sends_carriage_returns_and_takes_sizes() {
    let cluster = Cluster::start().await;
    let query = shell_with_stdin("stty size; read line; stty size; echo hi >&2")
        .replace("tty=false", "tty=true");
    let mut exec = cluster.exec(&query, V5).await.unwrap();
    assert_eq!(exec.receive().await, frame(1, ""));
    assert_eq!(exec.receive().await, frame(1, "0 0\r\n"));
    exec.send(4, br#"{"Width":100,"Height":40}"#).await;
    exec.send(0, b"x\n").await;
    let rest = exec.rest().await;
    assert_eq!(bytes_of(1, &rest), b"x\r\n40 100\r\nhi\r\n");
    assert_eq!(
        (bytes_of(2, &rest).len(), rest.last()),
        (0, Some(&normal_end()))
    );
}

#[tokio::test]
async fn bulk_output_is_complete_and_comes_in_frames_of_at_most_32_kib() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell("head -c 3000000 /dev/zero | tr '\\0' x"), V5)
        .await
        .unwrap();
    let received = exec.rest().await;
    let longest = received
        .iter()
        .map(|one| {
            if let Received::Frame(1, bytes) = one {
                bytes.len()
            } else {
                0
            }
        })
        .max();
    assert!(longest <= Some(32 * 1024), "{longest:?}");
    let bytes = bytes_of(1, &received);
    assert_eq!(
        (bytes.len(), bytes.iter().all(|byte| *byte == b'x')),
        (3_000_000, true)
    );
}

#[tokio::test]
async fn a_ping_is_answered_in_the_middle_of_bulk_output() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell("exec cat /dev/zero"), V5)
        .await
        .unwrap();
    exec.receive().await;
    exec.socket.send(Message::Ping("now".into())).await.unwrap();
    while exec.receive().await != Received::Pong {}
}

#[tokio::test]
async fn input_that_nobody_reads_does_not_keep_output_from_flowing() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell_with_stdin("echo out; exec sleep 1000"), V5)
        .await
        .unwrap();
    // More than a pipe and every buffer on the way hold.
    let message = vec![b'x'; 32 * 1024];
    let flood = tokio::time::timeout(Duration::from_millis(300), async {
        loop {
            exec.send(0, &message).await;
        }
    });
    assert!(flood.await.is_err(), "somebody buffers without end");
    assert_eq!(
        (exec.receive().await, exec.receive().await),
        (frame(1, ""), frame(1, "out\n"))
    );
}

#[tokio::test]
async fn the_death_of_the_pod_ends_its_execs_with_137() {
    let cluster = Cluster::start().await;
    let mut exec = cluster
        .exec(&shell("echo up; exec sleep 1000"), V5)
        .await
        .unwrap();
    exec.receive().await;
    assert_eq!(exec.receive().await, frame(1, "up\n"));
    cluster.node.stop().await;
    let status = status_of(&exec.rest().await).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "137");
}
