//! A connection to a port of a pod, through the API server.
//!
//! Each connection is a WebSocket of its own, with Kubernetes' channels for one port: one for bytes, one for what went
//! wrong. No side can be closed alone; when either ends, both have ended. The protocol does not say whether everything
//! arrived, so that is for what is spoken over it.
//!
//! A peer is dead when no byte at all came from it for a while, pongs included. It sends none while the pod does not read,
//! so that while is a long one.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Sink, SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Request;
use kube::{Client, Resource};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::exec::liveness::Liveness;
use crate::exec::{Lost, StreamOptions, is_name, told, watched};
use crate::limit::{deadline, period};
use crate::text::printable;

/// The channel of bytes. The one after it is for what went wrong.
const DATA: u8 = 0;
/// Each channel begins with the number of the port.
const PORT_BYTES: usize = 2;
/// What is sent at once, as most servers do.
const FRAME_BYTES: usize = 32 << 10;
/// How much of what a node says is told.
const TOLD_BYTES: usize = 1000;
/// How long the last message may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many times the limit the peer may be silent: it answers no pings while the pod does not read.
const PATIENCE: u32 = 4;

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for PodPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "port {} of pod {}/{}",
            self.port, self.namespace, self.pod
        )
    }
}

/// Why there is no connection to a port, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// A name that would lead elsewhere as part of a URL.
    #[error("cannot connect with {target}: {name:?} is not the name of a pod or a namespace")]
    InvalidName {
        /// What was to be connected with.
        target: PodPort,
        /// The part that is no name.
        name: String,
    },
    /// The API server was not reached, or refused. The message tells the cause, which is no source for the reason that
    /// [`OpenError`](crate::exec::OpenError) gives.
    #[error("cannot connect with {target}: {}", told(.cause))]
    Refused {
        /// What was to be connected with.
        target: PodPort,
        /// What the API server or the connection said.
        cause: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("cannot connect with {target}: the API server did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// What was to be connected with.
        target: PodPort,
        /// How long was waited.
        limit: Duration,
    },
    /// The node has no connection with the port: mostly, nothing listens there.
    #[error("cannot connect with {target}: {message}")]
    Pod {
        /// What was to be connected with.
        target: PodPort,
        /// What the node says.
        message: String,
    },
    /// The line to the API server broke.
    #[error("the connection with {target} was lost")]
    Lost {
        /// What was connected with.
        target: PodPort,
        /// How.
        #[source]
        how: Lost,
    },
    /// This side of the connection broke.
    #[error("this side of the connection with {target} broke")]
    Local {
        /// What was connected with.
        target: PodPort,
        /// How.
        #[source]
        how: io::Error,
    },
}

/// A connection that is open. Dropping it closes it.
pub struct Forward {
    target: PodPort,
    sending: Box<dyn Sink<Message, Error = tungstenite::Error> + Send + Unpin>,
    receiving: BoxStream<'static, Result<Message, tungstenite::Error>>,
    liveness: Arc<Liveness>,
    options: StreamOptions,
}

impl Forward {
    /// Opens a connection. That something listens at the port is not known yet.
    pub async fn open(
        client: &Client,
        target: &PodPort,
        options: &StreamOptions,
    ) -> Result<Self, ForwardError> {
        for name in [&target.namespace, &target.pod] {
            if !is_name(name) {
                return Err(ForwardError::InvalidName {
                    target: target.clone(),
                    name: name.clone(),
                });
            }
        }
        let refused = |cause| ForwardError::Refused {
            target: target.clone(),
            cause: Box::new(cause),
        };
        let request = Request::new(Pod::url_path(&(), Some(&target.namespace)))
            .portforward(&target.pod, &[target.port])
            .map_err(|error| refused(kube::Error::BuildRequest(error)))?;
        let connection = timeout(options.open_timeout, client.connect(request))
            .await
            .map_err(|_| ForwardError::TimedOut {
                target: target.clone(),
                limit: options.open_timeout,
            })?
            .map_err(refused)?;
        let (socket, liveness) = watched(connection.into_stream().into_inner()).await;
        let (sending, receiving) = socket.split();
        Ok(Self {
            target: target.clone(),
            sending: Box::new(sending),
            receiving: receiving.boxed(),
            liveness,
            options: options.clone(),
        })
    }

    /// Carries bytes between `local` and the port until either side ends.
    pub async fn carry(
        self,
        local: impl AsyncRead + AsyncWrite + Send,
    ) -> Result<(), ForwardError> {
        let Self {
            target,
            mut sending,
            receiving,
            liveness,
            options,
        } = self;
        let (from_here, to_here) = tokio::io::split(local);
        let ended = tokio::select! {
            ended = send(from_here, &mut sending, options.ping_every) => ended,
            ended = receive(receiving, to_here, &liveness, options.silence_limit) => ended,
        };
        // The peer may be gone; then there is nobody to tell.
        let _ = timeout(FAREWELL, sending.send(Message::Close(None))).await;
        ended.map_err(|ended| match ended {
            Ended::Told(message) => ForwardError::Pod { target, message },
            Ended::Lost(how) => ForwardError::Lost { target, how },
            Ended::Local(how) => ForwardError::Local { target, how },
        })
    }
}

/// Why nothing is carried any more.
enum Ended {
    /// The node said why.
    Told(String),
    Lost(Lost),
    Local(io::Error),
}

/// Sends what comes from this side, and pings, until this side ends or the line breaks.
async fn send(
    mut local: impl AsyncRead + Unpin,
    socket: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    ping_every: Duration,
) -> Result<(), Ended> {
    let every = period(ping_every);
    let mut ping = interval_at(deadline(Instant::now(), every), every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = BytesMut::new();
    loop {
        if buffer.is_empty() {
            buffer.reserve(1 + FRAME_BYTES);
            buffer.put_u8(DATA);
        }
        let message = tokio::select! {
            read = local.read_buf(&mut buffer) => match read.map_err(Ended::Local)? {
                0 => return Ok(()),
                _ => Message::Binary(buffer.split().freeze()),
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        let sent = socket.send(message).await;
        sent.map_err(|error| Ended::Lost(Lost::from_websocket(error)))?;
    }
}

/// Passes on what comes from the pod until it ends.
async fn receive(
    mut messages: BoxStream<'static, Result<Message, tungstenite::Error>>,
    mut local: impl AsyncWrite + Unpin,
    liveness: &Liveness,
    silence_limit: Duration,
) -> Result<(), Ended> {
    let limit = silence_limit.saturating_mul(PATIENCE);
    // How much of a channel's beginning, the number of the port, is still to come.
    let mut beginning = [PORT_BYTES; 2];
    loop {
        let message = tokio::select! {
            biased;
            message = messages.next() => message,
            () = liveness.silence(limit) => return Err(Ended::Lost(Lost::Silent { limit })),
        };
        let mut payload = match message {
            Some(Ok(Message::Binary(payload))) => payload,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) => break,
            Some(Ok(_)) => return Err(unexpected("a message that is not binary")),
            Some(Err(error)) => return Err(Ended::Lost(Lost::from_websocket(error))),
            None => return Err(Ended::Lost(Lost::Eof)),
        };
        if payload.is_empty() {
            return Err(unexpected("a message without a channel"));
        }
        let channel = payload.get_u8();
        let Some(missing) = beginning.get_mut(usize::from(channel)) else {
            return Err(Ended::Lost(Lost::UnknownChannel(channel)));
        };
        let number = payload.split_to(payload.len().min(*missing));
        *missing -= number.len();
        if channel == DATA {
            local.write_all(&payload).await.map_err(Ended::Local)?;
        } else if !payload.is_empty() {
            payload.truncate(TOLD_BYTES);
            return Err(Ended::Told(printable(&payload)));
        }
        // The local side may have kept this one for long.
        liveness.hear();
    }
    local.shutdown().await.map_err(Ended::Local)
}

fn unexpected(what: &'static str) -> Ended {
    Ended::Lost(Lost::Unexpected(what))
}
