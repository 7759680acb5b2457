//! One SPDY connection that carries one exec.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    sync::{Mutex, mpsc, oneshot},
};

use super::{
    frame::{self, Received},
    headers::{Decoder, Encoder},
};
use crate::streams::{
    session::{Channel, Client, Frame, Incoming, Input, Session},
    status::{Outcome, Version},
};

/// How long a client may take to open all its streams.
const OPENING: Duration = Duration::from_secs(30);
/// Messages of a client waiting for the process to read them.
const INPUTS_AHEAD: usize = 8;
/// The longest encoded terminal size that is waited for.
const LONGEST_RESIZE_BYTES: usize = 256;

type Connection = TokioIo<Upgraded>;
type Writer = Arc<Mutex<WriteHalf<Connection>>>;

/// What a stream is for, by the header `streamType` it was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Error,
    Stdin,
    Stdout,
    Stderr,
    Resize,
}

impl Role {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "stdin" => Self::Stdin,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "resize" => Self::Resize,
            _ => return None,
        })
    }
}

/// Runs the session over the upgraded connection.
pub(super) async fn serve(session: Session, connection: Upgraded) {
    let (reader, writer) = tokio::io::split(TokioIo::new(connection));
    let writer = Arc::new(Mutex::new(writer));
    let request = &session.request;
    let wanted = [
        (Role::Error, true),
        (Role::Stdin, request.stdin),
        (Role::Stdout, request.stdout),
        (Role::Stderr, request.stderr),
        (Role::Resize, request.tty),
    ];
    let (sender, inputs) = mpsc::channel(INPUTS_AHEAD);
    let (all_open, opened) = oneshot::channel();
    let reader = Reader {
        connection: BufReader::new(reader),
        writer: Arc::clone(&writer),
        decoder: Decoder::new(),
        missing: wanted
            .iter()
            .filter(|(_, wanted)| *wanted)
            .map(|(role, _)| *role)
            .collect(),
        roles: HashMap::new(),
        all_open: Some(all_open),
        inputs: sender,
        resize: BytesMut::new(),
    };
    let reader = tokio::spawn(async move {
        if let Err(error) = reader.run().await {
            tracing::debug!(%error, "an exec's client went away");
        }
    });
    match tokio::time::timeout(OPENING, opened).await {
        Ok(Ok(streams)) => {
            let client = SpdyClient { writer, streams };
            session.run(client, Incoming { inputs, reader }).await;
        }
        Ok(Err(_)) | Err(_) => reader.abort(),
    }
}

struct SpdyClient {
    writer: Writer,
    streams: HashMap<Role, u32>,
}

impl SpdyClient {
    async fn write(&self, role: Role, bytes: &[u8], fin: bool) -> io::Result<()> {
        let Some(stream) = self.streams.get(&role) else {
            return Ok(());
        };
        let mut writer = self.writer.lock().await;
        writer
            .write_all(&frame::data_header(*stream, bytes.len(), fin))
            .await?;
        writer.write_all(bytes).await?;
        writer.flush().await
    }
}

impl Client for SpdyClient {
    async fn send(&mut self, channel: Channel, frame: Frame) -> io::Result<()> {
        let role = match channel {
            Channel::Stdout => Role::Stdout,
            Channel::Stderr => Role::Stderr,
            Channel::Status => Role::Error,
        };
        self.write(role, &frame.payload(), false).await
    }

    async fn finish(&mut self, outcome: &Outcome) -> io::Result<()> {
        let status = outcome.to_json(Version::V4).to_string();
        self.write(Role::Error, status.as_bytes(), false).await
    }

    async fn close(&mut self) -> io::Result<()> {
        for role in [Role::Stdout, Role::Stderr, Role::Error] {
            self.write(role, &[], true).await?;
        }
        let last = self.streams.values().copied().max().unwrap_or_default();
        let mut writer = self.writer.lock().await;
        writer.write_all(&frame::go_away(last)).await?;
        writer.shutdown().await
    }
}

/// Reads what the client sends until it goes away, and answers what the protocol wants answered.
struct Reader {
    connection: BufReader<ReadHalf<Connection>>,
    writer: Writer,
    decoder: Decoder,
    /// Streams that the client has yet to open.
    missing: Vec<Role>,
    roles: HashMap<u32, Role>,
    all_open: Option<oneshot::Sender<HashMap<Role, u32>>>,
    inputs: mpsc::Sender<Input>,
    resize: BytesMut,
}

impl Reader {
    async fn run(mut self) -> io::Result<()> {
        let mut encoder = Encoder::new()?;
        while let Some(received) = frame::read(&mut self.connection).await? {
            match received {
                Received::Open {
                    stream,
                    headers,
                    fin,
                } => {
                    let kind = self
                        .decoder
                        .find(&headers, "streamtype")?
                        .unwrap_or_default();
                    let headers = encoder.encode("streamtype", &kind)?;
                    self.reply(frame::reply(stream, &headers)).await?;
                    self.open(stream, &kind);
                    if fin {
                        self.take(stream, Bytes::new(), true).await;
                    }
                }
                Received::Headers { headers } => {
                    self.decoder.find(&headers, "")?;
                }
                Received::Data { stream, bytes, fin } => self.take(stream, bytes, fin).await,
                Received::Reset { stream } => self.take(stream, Bytes::new(), true).await,
                // Those with an even number would be answers to pings from here.
                Received::Ping { id } if id % 2 == 1 => self.reply(frame::pong(id)).await?,
                Received::GoAway => return Ok(()),
                Received::Ping { .. } | Received::Other => {}
            }
        }
        Ok(())
    }

    async fn reply(&mut self, frame: Bytes) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        writer.write_all(&frame).await?;
        writer.flush().await
    }

    fn open(&mut self, stream: u32, kind: &str) {
        let Some(role) = Role::parse(kind).filter(|role| self.missing.contains(role)) else {
            return;
        };
        self.missing.retain(|missing| *missing != role);
        self.roles.insert(stream, role);
        if self.missing.is_empty()
            && let Some(all_open) = self.all_open.take()
        {
            let streams = self
                .roles
                .iter()
                .map(|(stream, role)| (*role, *stream))
                .collect();
            // Nobody waits any more when it took too long.
            let _ = all_open.send(streams);
        }
    }

    async fn take(&mut self, stream: u32, bytes: Bytes, fin: bool) {
        match self.roles.get(&stream) {
            Some(Role::Stdin) => {
                if !bytes.is_empty() {
                    self.forward(Input::Stdin(bytes)).await;
                }
                if fin {
                    self.forward(Input::StdinClosed).await;
                }
            }
            Some(Role::Resize) => self.take_resize(&bytes).await,
            _ => {}
        }
    }

    /// Sizes are JSON objects, one a line, which need not come in one piece.
    async fn take_resize(&mut self, bytes: &[u8]) {
        self.resize.extend_from_slice(bytes);
        while let Some(end) = self.resize.iter().position(|byte| *byte == b'\n') {
            let line = self.resize.split_to(end + 1);
            if let Ok(size) = serde_json::from_slice(&line) {
                self.forward(Input::Resize(size)).await;
            }
        }
        if self.resize.len() > LONGEST_RESIZE_BYTES {
            self.resize.clear();
        }
    }

    async fn forward(&mut self, input: Input) {
        // Read on after the end of the process, until the client has heard of it.
        let _ = self.inputs.send(input).await;
    }
}
