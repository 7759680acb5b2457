//! Connects one process in a container with one client, whatever protocol they speak.
//!
//! Neither direction waits for the other, so that a client that does not read cannot keep its own input, or its pings,
//! from being read. Everything in between is bounded: a slow side slows the other one down.
//!
//! A process hears of a client that has gone as it does from containerd: by the end of its standard input, and by
//! nothing else. It is not killed and no terminal is hung up. Its outputs stay open and are not read any more: what still
//! fits in succeeds, and the next write waits for ever. Of a line that has only fallen silent it hears nothing at all.

use std::{io, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{
    faults::{Plan, Step, Trigger},
    status::Outcome,
};
use crate::meta::resources;
use crate::node::{ExecError, ExecRequest, Node, Process, Target};
use crate::store::DeleteOptions;

/// The most that is read from a process at once; real nodes send frames of 4 to 32 KiB.
const READ_BYTES: usize = 32 * 1024;
/// Reads on their way to the client: enough to keep both sides busy.
const READS_AHEAD: usize = 4;

/// How long a client may take to close its side after the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The numbers of Kubernetes' channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Stdout = 1,
    Stderr = 2,
    Status = 3,
}

/// What a client sends.
#[derive(Debug)]
pub(super) enum Input {
    Stdin(Bytes),
    StdinClosed,
    Resize(TerminalSize),
}

/// The size of a client's terminal in characters, as clients encode it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TerminalSize {
    width: u16,
    height: u16,
}

/// Bytes of a channel with the channel's number in front, as a WebSocket message holds them.
#[derive(Clone, Debug)]
pub(super) struct Frame(Bytes);

impl Frame {
    pub(super) fn new(channel: Channel, payload: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(1 + payload.len());
        frame.extend_from_slice(&[channel as u8]);
        frame.extend_from_slice(payload);
        Self(frame.freeze())
    }

    pub(super) fn into_message(self) -> Bytes {
        self.0
    }

    pub(super) fn payload(&self) -> Bytes {
        self.0.slice(1..)
    }
}

/// The sending half of a client's connection. Dropping it without `close` breaks the connection.
pub(super) trait Client: Send {
    /// Sends bytes of stdout or stderr.
    fn send(
        &mut self,
        channel: Channel,
        frame: Frame,
    ) -> impl Future<Output = io::Result<()>> + Send;
    /// Sends the status.
    fn finish(&mut self, outcome: &Outcome) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends the connection as the protocol wants it.
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// One exec: what to run where, and what is to go wrong.
pub(super) struct Session {
    pub(super) node: Node,
    pub(super) target: Target,
    pub(super) request: ExecRequest,
    pub(super) plan: Plan,
}

/// The receiving half of a client's connection: what it sends, and the task that reads it.
pub(super) struct Incoming {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) reader: JoinHandle<()>,
}

/// Why the session goes no further.
enum Stop {
    /// The client has gone, or a fault has done away with the connection.
    Gone,
    /// A fault: stay connected and say nothing.
    Stall,
    /// A fault: end properly without a status.
    WithoutStatus,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "an exec's client went away");
        Self::Gone
    }
}

impl Session {
    /// Runs to the end. When the client goes away the process keeps running, as on a node.
    pub(super) async fn run(mut self, mut client: impl Client, incoming: Incoming) {
        let Incoming { inputs, mut reader } = incoming;
        match self.serve(&mut client, inputs).await {
            Ok(()) | Err(Stop::WithoutStatus) => {
                if client.close().await.is_ok() {
                    // What the client still sends is read: closing on unread bytes would reset the connection, and
                    // the client could lose the status.
                    let _ = tokio::time::timeout(FAREWELL, &mut reader).await;
                }
                reader.abort();
            }
            Err(Stop::Gone) => reader.abort(),
            Err(Stop::Stall) => {
                reader.abort();
                std::future::pending::<()>().await;
            }
        }
    }

    async fn serve(
        &mut self,
        client: &mut impl Client,
        inputs: mpsc::Receiver<Input>,
    ) -> Result<(), Stop> {
        let process = self.node.exec(&self.target, &self.request).await;
        let outcome = match process {
            Ok(process) => self.transfer(client, process, inputs).await?,
            Err(error) => self.not_started(error),
        };
        Ok(client.finish(&outcome).await?)
    }

    fn not_started(&self, error: ExecError) -> Outcome {
        let container = self.target.container.clone();
        Outcome::NotStarted { error, container }
    }

    /// Carries bytes both ways until the process has ended and all its output is sent.
    async fn transfer(
        &mut self,
        client: &mut impl Client,
        mut process: Process,
        inputs: mpsc::Receiver<Input>,
    ) -> Result<Outcome, Stop> {
        let mut outputs = Outputs::from_process(&mut process);
        let mut feed: Feed = Box::pin(feed(inputs, process.stdin.take(), process.resizer()));
        let ended = tokio::select! {
            ended = self.forward(client, &mut outputs, &mut process) => ended,
            () = &mut feed => Err(Stop::Gone),
        };
        if let Err(stop) = &ended {
            // Containerd does not end the input of a terminal.
            let is_told = !matches!(stop, Stop::Stall) && !self.request.tty;
            let input = (!is_told).then_some(feed);
            tokio::spawn(outlive(process, outputs, input));
        }
        ended.map(Outcome::Exited)
    }

    /// Sends what the process puts out until it ends: its exit code.
    async fn forward(
        &mut self,
        client: &mut impl Client,
        outputs: &mut Outputs,
        process: &mut Process,
    ) -> Result<i32, Stop> {
        let steps = self.plan.begin();
        self.perform(client, steps).await?;
        while let Some((channel, bytes)) = outputs.frames.recv().await {
            if channel == Channel::Stdout && self.plan.is_active() {
                let steps = self.plan.steps(Frame(bytes).payload());
                self.perform(client, steps).await?;
            } else {
                client.send(channel, Frame(bytes)).await?;
            }
        }
        Ok(process.wait().await.unwrap_or(255))
    }

    async fn perform(&mut self, client: &mut impl Client, steps: Vec<Step>) -> Result<(), Stop> {
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if let Some(delay) = self.plan.delay(bytes.len()) {
                        tokio::time::sleep(delay).await;
                    }
                    client
                        .send(Channel::Stdout, Frame::new(Channel::Stdout, &bytes))
                        .await?;
                }
                Step::Fire(Trigger::Cut) => return Err(Stop::Gone),
                Step::Fire(Trigger::CloseWithoutStatus) => return Err(Stop::WithoutStatus),
                Step::Fire(Trigger::Stall) => return Err(Stop::Stall),
                Step::Fire(Trigger::DeletePod) => self.delete_pod(),
            }
        }
        Ok(())
    }

    fn delete_pod(&self) {
        let now = DeleteOptions {
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        let Target { namespace, pod, .. } = &self.target;
        if let Err(status) = self
            .node
            .store()
            .delete(&resources::PODS, namespace, pod, &now)
        {
            tracing::debug!(%status, "the pod to be deleted is gone already");
        }
    }
}

/// What a process puts out, read ahead by a little. Dropping it closes the outputs.
struct Outputs {
    frames: mpsc::Receiver<(Channel, Bytes)>,
    _pumps: JoinSet<()>,
}

impl Outputs {
    fn from_process(process: &mut Process) -> Self {
        let (sender, frames) = mpsc::channel(READS_AHEAD);
        let mut pumps = JoinSet::new();
        if let Some(stdout) = process.stdout.take() {
            pumps.spawn(pump(Channel::Stdout, stdout, sender.clone()));
        }
        if let Some(stderr) = process.stderr.take() {
            pumps.spawn(pump(Channel::Stderr, stderr, sender));
        }
        Self {
            frames,
            _pumps: pumps,
        }
    }
}

/// What carries a client's input to the process. While nobody polls it, the input is open and nothing comes.
type Feed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keeps open what a process without a client has open, until it ends.
async fn outlive(mut process: Process, outputs: Outputs, input: Option<Feed>) {
    if let Err(error) = process.wait().await {
        tracing::debug!(%error, "a process without a client could not be waited for");
    }
    drop((outputs, input));
}

/// Reads an output of the process to its end.
async fn pump(
    channel: Channel,
    mut output: impl tokio::io::AsyncRead + Unpin,
    frames: mpsc::Sender<(Channel, Bytes)>,
) {
    loop {
        let mut frame = BytesMut::with_capacity(1 + READ_BYTES);
        frame.extend_from_slice(&[channel as u8]);
        match output.read_buf(&mut frame).await {
            Ok(0) => return,
            Ok(_) if frames.send((channel, frame.freeze())).await.is_ok() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "an output of a process ended early");
                return;
            }
        }
    }
}

/// Writes what the client sends to the process, until the client has gone.
async fn feed(
    mut inputs: mpsc::Receiver<Input>,
    mut stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>,
    resizer: crate::node::Resizer,
) {
    while let Some(input) = inputs.recv().await {
        match input {
            Input::Stdin(bytes) => {
                let Some(open) = &mut stdin else { continue };
                // A process that does not read any more loses the rest; the client may go on sending.
                if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
                    stdin = None;
                }
            }
            Input::StdinClosed => stdin = None,
            Input::Resize(size) => resizer.resize(size.width, size.height),
        }
    }
}
