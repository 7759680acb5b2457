//! Streams played from a script or from a recording of a real cluster.

use std::{path::Path, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::Subprotocol;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Message),
    /// Bytes on the socket, below the WebSocket.
    Raw(Vec<u8>),
    /// Waits for this message of the client; its pings are answered meanwhile.
    Expect(Vec<u8>),
    Sleep(Duration),
    /// Reads, and answers pings, until the client is gone.
    Listen,
    /// Neither reads nor sends any more.
    Freeze,
    /// Resets the connection; without it, the end of the script closes the connection.
    Reset,
}

pub(crate) fn frame(channel: u8, payload: &[u8]) -> Step {
    let mut message = vec![channel];
    message.extend_from_slice(payload);
    Step::Send(Message::Binary(message.into()))
}

pub(crate) fn close() -> Step {
    Step::Send(Message::Close(Some(CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    })))
}

pub(crate) async fn play(mut socket: WebSocketStream<TcpStream>, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Send(message) => socket.send(message).await.expect("a client that listens"),
            Step::Raw(bytes) => socket
                .get_mut()
                .write_all(&bytes)
                .await
                .expect("a client that listens"),
            Step::Expect(expected) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(message))) => break assert_eq!(message, expected),
                    Some(Ok(Message::Ping(_))) => {}
                    other => panic!("expected {expected:?} of the client, got {other:?}"),
                }
            },
            Step::Sleep(duration) => sleep(duration).await,
            Step::Listen => while let Some(Ok(_)) = socket.next().await {},
            Step::Freeze => std::future::pending().await,
            Step::Reset => socket.get_ref().set_zero_linger().expect("a TCP socket"),
        }
    }
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .with_extension("json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a recording is JSON")
}

/// A recorded stream as steps, with the subprotocol that was agreed on.
pub(crate) fn recorded(name: &str) -> (Subprotocol, Vec<Step>) {
    let recording = fixture(name);
    let subprotocol = match recording["handshake"]["subprotocol"].as_str() {
        Some("v4.channel.k8s.io") => Subprotocol::V4,
        _ => Subprotocol::V5,
    };
    let steps = recording["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .map(recorded_step)
        .collect();
    (subprotocol, steps)
}

fn recorded_step(recorded: &Value) -> Step {
    if recorded["opcode"] == 8 {
        return close();
    }
    let length = usize::try_from(recorded["len"].as_u64().expect("a length")).expect("a small one");
    let payload = match recorded["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        // Recorded by size only; the one such status is that of success.
        None if recorded["channel"] == 3 => br#"{"metadata":{},"status":"Success"}"#.to_vec(),
        None => vec![b'x'; length],
    };
    assert_eq!(payload.len(), length, "a recording is complete");
    let channel = u8::try_from(recorded["channel"].as_u64().expect("a channel")).expect("one byte");
    if recorded["dir"] == "client" {
        Step::Expect([&[channel], payload.as_slice()].concat())
    } else {
        frame(channel, &payload)
    }
}

/// A recorded refusal: HTTP status and body.
pub(crate) fn refusal(name: &str) -> (u16, String) {
    let response = &fixture(name)["response"];
    let status = response["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .expect("a status");
    (status, response["body"].to_string())
}
