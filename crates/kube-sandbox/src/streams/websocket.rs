//! Exec over WebSocket, versions 5 and 4 of Kubernetes' remote command protocol.
//!
//! Left out: versions 1 to 3 and the base64 variants, which no supported client asks for.

use std::io;

use axum::{body::Body, extract::Request, response::Response};
use bytes::{Buf, Bytes};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    offered,
    session::{Channel, Client, Frame, Incoming, Input, Session},
    status::{Outcome, Version, not_running},
};

pub(super) const SUBPROTOCOL: &str = "sec-websocket-protocol";
const V5: &str = "v5.channel.k8s.io";
/// The version that forwarded ports have too.
pub(super) const V4: &str = "v4.channel.k8s.io";
/// The largest message taken from a client; clients send what they read at once, 32 KiB and thereabouts.
const LARGEST_MESSAGE_BYTES: usize = 4 << 20;
/// Messages of a client waiting for the process to read them.
const INPUTS_AHEAD: usize = 8;

const STDIN: u8 = 0;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the handshake and leaves the session running, or refuses it.
pub(super) fn open(session: Session, mut request: Request, knows_v5: bool) -> Response {
    let headers = request.headers();
    let version = offered(headers, SUBPROTOCOL).find_map(|offer| match offer {
        V5 if knows_v5 => Some(Version::V5),
        V4 => Some(Version::V4),
        _ => None,
    });
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let (Some(version), Some(key)) = (version, key) else {
        return refusal();
    };
    if version == Version::V4 && !session.node.is_running(&session.target) {
        return from_kubelet(&not_running(&session.target.container));
    }
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => serve(session, connection, version).await,
            Err(error) => tracing::debug!(%error, "an exec's connection was not upgraded"),
        }
    });
    let subprotocol = match version {
        Version::V5 => V5,
        Version::V4 => V4,
    };
    switching(subprotocol, &accept)
}

/// Agrees to go on as a WebSocket with that subprotocol.
pub(super) fn switching(subprotocol: &'static str, accept: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SUBPROTOCOL, HeaderValue::from_static(subprotocol));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// A handshake without a subprotocol both sides know: 403, no body, nothing else.
pub(super) fn refusal() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An error of the kubelet, which the API server passes on as it is.
pub(super) fn from_kubelet(message: &str) -> Response {
    let mut response = Response::new(Body::from(format!("{message}\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// The server's side of an upgraded connection.
pub(super) async fn socket(connection: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_MESSAGE_BYTES))
        .max_frame_size(Some(LARGEST_MESSAGE_BYTES));
    WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await
}

async fn serve(session: Session, connection: Upgraded, version: Version) {
    let (sink, stream) = socket(connection).await.split();
    let mut client = WebSocketClient { sink, version };
    let (sender, inputs) = mpsc::channel(INPUTS_AHEAD);
    let reader = tokio::spawn(read(stream, version, sender));

    // Tells the client that the connection stands: an empty message on the lowest channel it may read.
    let first = match &session.request {
        request if request.stdout => Channel::Stdout,
        request if request.stderr => Channel::Stderr,
        _ => Channel::Status,
    };
    if client.send(first, Frame::new(first, &[])).await.is_ok() {
        session.run(client, Incoming { inputs, reader }).await;
    }
}

struct WebSocketClient {
    sink: SplitSink<Socket, Message>,
    version: Version,
}

impl WebSocketClient {
    async fn write(&mut self, message: Message) -> io::Result<()> {
        self.sink.send(message).await.map_err(|error| match error {
            Error::Io(error) => error,
            other => io::Error::other(other),
        })
    }
}

impl Client for WebSocketClient {
    async fn send(&mut self, _channel: Channel, frame: Frame) -> io::Result<()> {
        self.write(Message::Binary(frame.into_message())).await
    }

    async fn finish(&mut self, outcome: &Outcome) -> io::Result<()> {
        let status = outcome.to_json(self.version).to_string();
        let frame = Frame::new(Channel::Status, status.as_bytes());
        self.send(Channel::Status, frame).await
    }

    async fn close(&mut self) -> io::Result<()> {
        let normal = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        self.write(Message::Close(Some(normal))).await
    }
}

/// Reads what the client sends until it goes away. Pings are answered on the way.
async fn read(mut stream: SplitStream<Socket>, version: Version, inputs: mpsc::Sender<Input>) {
    while let Some(message) = stream.next().await {
        let payload = match message {
            Ok(Message::Binary(payload)) => payload,
            Ok(Message::Text(text)) => Bytes::from(text),
            Ok(Message::Close(_)) => return,
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "an exec's client went away");
                return;
            }
        };
        if let Some(input) = understand(payload, version) {
            // Read on after the end of the process, until the client has heard of it.
            let _ = inputs.send(input).await;
        }
    }
}

fn understand(mut message: Bytes, version: Version) -> Option<Input> {
    let channel = message.try_get_u8().ok()?;
    match channel {
        // An empty message opens the channel; only version 5 can close one.
        STDIN => (!message.is_empty()).then_some(Input::Stdin(message)),
        RESIZE => serde_json::from_slice(&message).ok().map(Input::Resize),
        CLOSE if version == Version::V5 => (message[..] == [STDIN]).then_some(Input::StdinClosed),
        _ => None,
    }
}
