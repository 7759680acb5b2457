//! Remote commands over the API server's exec WebSocket, with an end that cannot be mistaken.
//!
//! A [`Session`] is read by whoever calls [`Session::next`]; a task of its own sends standard input and pings, so that
//! neither direction can hold up the other. Subprotocols v5 and v4 are offered; the difference is that only v5 can
//! close standard input while the command runs.
//!
//! A peer is dead when no byte at all came from it for [`StreamOptions::silence_limit`], pongs included. That clock
//! runs only inside `next`: a caller that is busy writing to a slow disk does not make the peer look dead, because the
//! pongs wait in the socket meanwhile. Until the first output it may be silent longer, while the command is started.
//!
//! Memory per session is bounded by [`MESSAGE_LIMIT_BYTES`] for the largest message, 32 KiB of read buffer, and at most
//! eight frames of 32 KiB of unsent standard input.

mod end;
pub(crate) mod liveness;
mod refusal;
mod stream_error;
mod writer;

use std::{fmt, ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, Config, Resource,
    api::{AttachParams, Request},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};
use zeroize::Zeroizing;

pub use end::{End, Failure, Lost};
use liveness::{Liveness, Watched};
#[cfg(any(feature = "rustls", test))]
pub use refusal::certificate_error;
pub(crate) use refusal::told;
pub use refusal::{CredentialsError, OpenError, front_problem};
pub use stream_error::StreamError;
use writer::Outgoing;

/// The largest message accepted. Servers send at most 32 KiB; the rest is margin.
pub const MESSAGE_LIMIT_BYTES: usize = 1 << 20;

/// One TLS record and a half: larger buffers cost more to clear before each read than they save in reads.
const READ_BUFFER_BYTES: usize = 32 << 10;
const STDIN_FRAME_BYTES: usize = 32 << 10;
/// How many times the limit a peer may be silent before the first output: until the command reads its input, which on a
/// busy node takes a while, servers without v5 answer no pings either.
const PATIENCE_AT_START: u32 = 4;
const STDIN_FRAMES_QUEUED: usize = 8;

/// The channel is the first byte of each message.
mod channel {
    pub(super) const STDIN: u8 = 0;
    pub(super) const STDOUT: u8 = 1;
    pub(super) const STDERR: u8 = 2;
    pub(super) const STATUS: u8 = 3;
    /// Only in v5: the second byte names the channel that ends.
    pub(super) const CLOSE: u8 = 255;
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodContainer {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

impl fmt::Display for PodContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "container {} of pod {}/{}",
            self.container, self.namespace, self.pod
        )
    }
}

/// Time limits of a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOptions {
    /// How long connecting, authenticating and the handshake may take together.
    pub open_timeout: Duration,
    /// How often a ping is sent; often enough to keep proxies from closing an idle stream.
    pub ping_every: Duration,
    /// How long the peer may send no byte at all before it counts as dead; before the first output four times as long.
    pub silence_limit: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            open_timeout: Duration::from_secs(30),
            ping_every: Duration::from_secs(5),
            silence_limit: Duration::from_secs(15),
        }
    }
}

impl StreamOptions {
    /// With another [`open_timeout`](Self::open_timeout).
    #[must_use]
    pub fn with_open_timeout(self, open_timeout: Duration) -> Self {
        Self {
            open_timeout,
            ..self
        }
    }

    /// With another [`ping_every`](Self::ping_every).
    #[must_use]
    pub fn with_ping_every(self, ping_every: Duration) -> Self {
        Self { ping_every, ..self }
    }

    /// With another [`silence_limit`](Self::silence_limit).
    #[must_use]
    pub fn with_silence_limit(self, silence_limit: Duration) -> Self {
        Self {
            silence_limit,
            ..self
        }
    }
}

/// `config` without what breaks long streams: socket time-outs, which also hold after the upgrade, and the silent
/// repetition of requests, which would run a command twice. Build the [`Client`] for this crate from the result.
pub fn stream_config(config: &Config) -> Config {
    let mut config = config.clone();
    config.read_timeout = None;
    config.write_timeout = None;
    config.default_retry = false;
    config
}

/// Standard input cannot be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StdinError {
    /// The connection is gone; [`Session::next`] says why.
    #[error("the stream to the pod has ended")]
    Ended,
    /// The server speaks v4, in which standard input stays open until the command ends.
    #[error(
        "this API server cannot close standard input while the command runs; let the command count what it reads"
    )]
    NoHalfClose,
}

/// What a running command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// On standard output.
    Stdout(Bytes),
    /// On standard error.
    Stderr(Bytes),
}

/// Whether `name` can be that of a Kubernetes object (RFC 1123), and so stand in a URL as it is.
pub(crate) fn is_name(name: &str) -> bool {
    let labels_are_plain = name.split('.').all(|label| {
        let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends_well(label.as_bytes().first()) && ends_well(label.as_bytes().last())
    });
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    labels_are_plain && name.len() <= 253 && name.bytes().all(allowed)
}

/// A socket from which nothing was read yet, with this crate's limits; and what tells whether anything is heard from the peer.
pub(crate) async fn watched<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> (WebSocketStream<Watched<S>>, Arc<Liveness>) {
    let liveness = Liveness::new();
    let stream = Watched::new(stream, Arc::clone(&liveness));
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_frame_size(Some(MESSAGE_LIMIT_BYTES))
        .max_message_size(Some(MESSAGE_LIMIT_BYTES));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await;
    (socket, liveness)
}

/// A command running in a pod. Dropping it closes the connection, which ends the command's standard input; the
/// command itself is not killed by that.
pub struct Session {
    incoming: BoxStream<'static, Result<Message, tungstenite::Error>>,
    stdin: Stdin,
    writer: AbortHandle,
    liveness: Arc<Liveness>,
    silence_limit: Duration,
    has_output: bool,
    half_close: bool,
}

impl Session {
    /// Starts `command` with standard input, output and error attached.
    ///
    /// The arguments become part of the URL, which API servers write to their audit log: nothing secret in them.
    pub async fn open(
        client: &Client,
        target: &PodContainer,
        command: impl IntoIterator<Item = String>,
        options: &StreamOptions,
    ) -> Result<Self, OpenError> {
        for name in [&target.namespace, &target.pod] {
            if !is_name(name) {
                return Err(OpenError::InvalidName {
                    target: target.clone(),
                    name: name.clone(),
                });
            }
        }
        let refused = |cause: kube::Error| OpenError::Refused {
            target: target.clone(),
            cause: Box::new(cause),
        };
        let attach = AttachParams::default()
            .container(&target.container)
            .stdin(true)
            .stdout(true)
            .stderr(true);
        let request = Request::new(Pod::url_path(&(), Some(&target.namespace)))
            .exec(&target.pod, command, &attach)
            .map_err(|error| refused(kube::Error::BuildRequest(error)))?;
        let connection = timeout(options.open_timeout, client.connect(request))
            .await
            .map_err(|_| OpenError::TimedOut {
                target: target.clone(),
                limit: options.open_timeout,
            })?
            .map_err(refused)?;
        let half_close = connection.supports_stream_close();

        let (socket, liveness) = watched(connection.into_stream().into_inner()).await;
        let (sending, receiving) = socket.split();

        let (outgoing, messages) = mpsc::channel(STDIN_FRAMES_QUEUED);
        let writer =
            tokio::spawn(writer::write(sending, messages, options.ping_every)).abort_handle();
        Ok(Self {
            incoming: receiving.boxed(),
            stdin: Stdin(outgoing),
            writer,
            liveness,
            silence_limit: options.silence_limit,
            has_output: false,
            half_close,
        })
    }

    /// The next piece of output, never empty, or the end. After the end, every further call says that the stream is lost.
    ///
    /// Dropping the future loses nothing, but the clock of the peer's silence starts anew with the next call.
    pub async fn next(&mut self) -> ControlFlow<End, Output> {
        self.liveness.hear();
        let limit = if self.has_output {
            self.silence_limit
        } else {
            self.silence_limit.saturating_mul(PATIENCE_AT_START)
        };
        loop {
            let message = tokio::select! {
                biased;
                message = self.incoming.next() => message,
                () = self.liveness.silence(limit) => {
                    return ControlFlow::Break(End::Lost(Lost::Silent { limit }));
                }
            };
            let interpreted = match message {
                Some(Ok(message)) => self.interpret(message),
                Some(Err(error)) => Err(End::Lost(Lost::from_websocket(error))),
                None => Err(End::Lost(Lost::Eof)),
            };
            match interpreted {
                Ok(Some(output)) => {
                    self.has_output = true;
                    return ControlFlow::Continue(output);
                }
                Ok(None) => {}
                Err(end) => return ControlFlow::Break(end),
            }
        }
    }

    /// `None` for messages without output: pongs, and the empty frame that opens each stream.
    fn interpret(&self, message: Message) -> Result<Option<Output>, End> {
        let mut payload = match message {
            Message::Binary(payload) => payload,
            Message::Ping(_) | Message::Pong(_) => return Ok(None),
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (
                        frame.code.into(),
                        crate::text::printable(frame.reason.as_bytes()),
                    )
                });
                return Err(End::Lost(Lost::Closed { code, reason }));
            }
            Message::Text(_) | Message::Frame(_) => {
                return Err(End::Lost(Lost::Unexpected("a message that is not binary")));
            }
        };
        if payload.is_empty() {
            return Err(End::Lost(Lost::Unexpected("a message without a channel")));
        }
        let channel = payload.split_to(1)[0];
        match channel {
            channel::STDOUT | channel::STDERR | channel::STATUS if payload.is_empty() => Ok(None),
            channel::STDOUT => Ok(Some(Output::Stdout(payload))),
            channel::STDERR => Ok(Some(Output::Stderr(payload))),
            channel::STATUS => Err(End::from_status(&payload)),
            channel::CLOSE if self.half_close && payload.len() == 1 => Ok(None),
            unknown => Err(End::Lost(Lost::UnknownChannel(unknown))),
        }
    }

    /// Sends `data` to the command's standard input; returns when it is queued.
    ///
    /// A server stops answering pings while the command does not read its input: send no more than a pipe holds to a
    /// command that may not read.
    pub async fn write_stdin(&mut self, data: &[u8]) -> Result<(), StdinError> {
        self.stdin.write(data).await
    }

    /// From here on the command gets an empty line every few seconds, by which it knows that this side is there: of a
    /// connection that fell silent it hears nothing else. Whatever is written to it from now on must be whole lines.
    pub(crate) async fn send_heartbeats(&mut self) -> Result<(), StdinError> {
        self.stdin.queue(Outgoing::Heartbeats).await
    }

    /// Standard input, to be written to while [`next`](Self::next) is awaited.
    pub(crate) fn stdin(&self) -> Stdin {
        self.stdin.clone()
    }

    /// Ends the command's standard input.
    pub async fn close_stdin(&mut self) -> Result<(), StdinError> {
        if !self.half_close {
            return Err(StdinError::NoHalfClose);
        }
        self.stdin
            .send(Bytes::from_static(&[channel::CLOSE, channel::STDIN]))
            .await
    }
}

impl Drop for Session {
    /// A writer that waits for a peer that does not read would keep the connection open.
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// The standard input of a command. Writing fails once its [`Session`] is gone.
#[derive(Clone)]
pub(crate) struct Stdin(mpsc::Sender<Outgoing>);

impl Stdin {
    /// As [`Session::write_stdin`].
    pub(crate) async fn write(&self, data: &[u8]) -> Result<(), StdinError> {
        for chunk in data.chunks(STDIN_FRAME_BYTES) {
            let mut frame = Zeroizing::new(Vec::with_capacity(chunk.len() + 1));
            frame.push(channel::STDIN);
            frame.extend_from_slice(chunk);
            self.send(Bytes::from_owner(frame)).await?;
        }
        Ok(())
    }

    async fn send(&self, frame: Bytes) -> Result<(), StdinError> {
        self.queue(Outgoing::Message(Message::Binary(frame))).await
    }

    async fn queue(&self, outgoing: Outgoing) -> Result<(), StdinError> {
        self.0.send(outgoing).await.map_err(|_| StdinError::Ended)
    }
}
