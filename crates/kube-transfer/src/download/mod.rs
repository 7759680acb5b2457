//! A command's standard output, delivered whole or not at all.
//!
//! The command runs under a small POSIX shell script, which hashes its output on the way out. When the command has ended,
//! the script reports exit code and SHA-256 on standard error, in a line that begins with a random word that only this
//! side and the script know. What is still under way has arrived when the hash of all that came is the reported one. The
//! script waits for that, because a node may drop what was not read of a process that has exited. When this side dies
//! instead, or is not heard of for 50 s, the script ends the command.
//!
//! Hashing and writing happen on a thread of their own, with at most 2 MiB waiting for it; a slow sink slows down the
//! sender. The container needs `sh`, `tee`, `sleep`, and `sha256sum` or `openssl`; no file is written in it.

mod error;
pub(crate) mod report;
mod worker;

use std::{io, ops::ControlFlow};

use tokio::time::timeout;
use transfer_proof::{Differs, Proof};

pub use crate::pod::TransferOptions;
use crate::{
    Sha256Digest,
    batch::Batch,
    exec::{End, Output, Session, StreamError},
    pod::PodHandle,
    remote_command::RemoteCommand,
    script,
};
pub use error::DownloadError;
use report::{PodReport, Stderr};
use worker::{Worker, WorkerGone};

/// Where downloaded data goes. Used on a thread of its own, so it may block.
pub trait Sink: Send + 'static {
    /// What a finished sink becomes.
    type Finished: Send + 'static;

    /// Takes the next bytes, all of them; 4 to 32 KiB at a time, so buffer what is dear to call.
    fn write(&mut self, data: &[u8]) -> io::Result<()>;

    /// Called once, after everything was verified: the place to sync and rename. Dropped without it, the data is
    /// incomplete or wrong.
    fn finish(self) -> io::Result<Self::Finished>;
}

/// Proof of a complete transfer: exists only when pod and this side agree on every byte.
#[derive(Debug)]
pub struct Delivered<T> {
    proof: Proof,
    stderr: String,
    output: T,
}

impl<T> Delivered<T> {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.proof.bytes()
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.proof.sha256()
    }

    /// The last 16 KiB of what the command printed on standard error, control characters escaped.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// What the sink became.
    pub fn output(&self) -> &T {
        &self.output
    }

    /// What the sink became, by value.
    pub fn into_output(self) -> T {
        self.output
    }

    /// What the sink became, and the proof alone, for what completes a file.
    pub fn into_parts(self) -> (T, Proof) {
        (self.output, self.proof)
    }
}

impl PodHandle {
    /// Runs a command and streams its standard output into `sink`.
    ///
    /// `progress` is called with the number of bytes received so far, for every frame: it must be cheap. Dropping the
    /// future ends the connection, upon which the pod kills the command. Nothing is tried again: that is the caller's
    /// decision, for which [`DownloadError::is_transient`] helps.
    pub async fn download<S: Sink>(
        &self,
        command: &RemoteCommand,
        sink: S,
        progress: impl FnMut(u64),
    ) -> Result<Delivered<S::Finished>, DownloadError> {
        download(self, command, sink, progress).await
    }
}

async fn download<S: Sink>(
    pod: &PodHandle,
    command: &RemoteCommand,
    sink: S,
    progress: impl FnMut(u64),
) -> Result<Delivered<S::Finished>, DownloadError> {
    let options = &pod.options;
    let nonce = script::nonce();
    let mut session = Session::open(
        &pod.client,
        &pod.container,
        command.exec_argv(),
        &options.stream,
    )
    .await
    .map_err(StreamError::from)?;
    // When the stream is gone already, reading from it tells why.
    let _ = session.write_stdin(&command.preface(&nonce)).await;
    let _ = session.send_heartbeats().await;
    let running = RunningDownload {
        session,
        worker: Worker::start(sink).map_err(DownloadError::Sink)?,
        batch: Batch::default(),
        stderr: Stderr::new(nonce.clone()),
        received: 0,
        differs: None,
        options,
    };
    running.complete(&nonce, progress).await
}

struct RunningDownload<'a, T> {
    session: Session,
    worker: Worker<T>,
    batch: Batch,
    stderr: Stderr,
    received: u64,
    /// The pod's hash and the one of what has come so far, once the pod has reported and not all has come.
    differs: Option<Differs>,
    options: &'a TransferOptions,
}

/// Why receiving stopped; the whole error needs the transfer's parts.
enum Stop {
    Error(DownloadError),
    CommandFailed { code: i32 },
    WorkerGone,
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        Self::Error(error.into())
    }
}

impl From<WorkerGone> for Stop {
    fn from(WorkerGone: WorkerGone) -> Self {
        Self::WorkerGone
    }
}

impl<T: Send + 'static> RunningDownload<'_, T> {
    async fn complete(
        mut self,
        nonce: &str,
        progress: impl FnMut(u64),
    ) -> Result<Delivered<T>, DownloadError> {
        let proof = match self.receive(nonce, progress).await {
            Ok(proof) => proof,
            Err(stop) => return Err(self.fail(stop).await),
        };
        let output = self.worker.finish().await.map_err(DownloadError::Sink)?;
        Ok(Delivered {
            proof,
            stderr: self.stderr.tail(),
            output,
        })
    }

    /// The error for the caller, who then finds the sink closed.
    async fn fail(mut self, stop: Stop) -> DownloadError {
        match stop {
            Stop::Error(error) => {
                self.worker.abandon().await;
                error
            }
            Stop::CommandFailed { code } => {
                self.worker.abandon().await;
                DownloadError::Command {
                    code,
                    stderr: self.stderr.tail(),
                }
            }
            Stop::WorkerGone => DownloadError::Sink(self.worker.failure().await),
        }
    }

    /// Receives until everything that the pod reported has come and the shell has exited.
    async fn receive(&mut self, nonce: &str, mut progress: impl FnMut(u64)) -> Result<Proof, Stop> {
        let reported = loop {
            match self.reported()? {
                Some(reported) => break reported,
                None => self.step(&mut progress).await?,
            }
        };
        let proof = loop {
            self.flush().await?;
            match self.worker.measured().await?.prove(reported) {
                Ok(proof) => break proof,
                Err(differs) => self.differs = Some(differs),
            }
            self.step(&mut progress).await?;
        };
        let _ = self
            .session
            .write_stdin(format!("{nonce}\n").as_bytes())
            .await;
        self.await_exit().await?;
        Ok(proof)
    }

    async fn flush(&mut self) -> Result<(), WorkerGone> {
        let batch = std::mem::take(&mut self.batch);
        self.worker.write(batch).await
    }

    /// Takes one piece of output.
    async fn step(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), Stop> {
        match self.next().await? {
            ControlFlow::Continue(Output::Stdout(data)) => {
                self.received += data.len() as u64;
                progress(self.received);
                self.batch.push(data);
                if self.batch.is_full() {
                    self.flush().await?;
                }
                Ok(())
            }
            ControlFlow::Continue(Output::Stderr(data)) => {
                self.stderr.push(&data);
                Ok(())
            }
            ControlFlow::Break(end) => Err(Stop::Error(self.premature(end))),
        }
    }

    /// Waits for the exit of the shell, which has nothing more to say.
    async fn await_exit(&mut self) -> Result<(), Stop> {
        self.differs = None;
        loop {
            match self.next().await? {
                ControlFlow::Continue(Output::Stdout(_)) => {
                    return Err(Stop::Error(DownloadError::Unaccounted {
                        detail: "it sent more than it had reported".to_owned(),
                    }));
                }
                ControlFlow::Continue(Output::Stderr(data)) => self.stderr.push(&data),
                ControlFlow::Break(End::Exited { code: 0 }) => return Ok(()),
                ControlFlow::Break(end) => return Err(Stop::Error(self.premature(end))),
            }
        }
    }

    async fn next(&mut self) -> Result<ControlFlow<End, Output>, Stop> {
        let limit = match self.stderr.report() {
            None => self.options.stall_limit,
            Some(_) => self.options.settle_limit,
        };
        timeout(limit, self.session.next()).await.map_err(|_| {
            let stalled = StreamError::Stalled {
                after: limit,
                bytes: self.received,
            };
            Stop::Error(self.hash_differs().unwrap_or(stalled.into()))
        })
    }

    /// The SHA-256 that the pod reported, if it has; an error when it reported a failure.
    fn reported(&self) -> Result<Option<Sha256Digest>, Stop> {
        match self.stderr.report() {
            None => Ok(None),
            Some(PodReport::Ran { code: 0, sha256 }) => Ok(Some(*sha256)),
            Some(PodReport::Ran { code, .. }) => Err(Stop::CommandFailed { code: *code }),
            Some(PodReport::Missing(tool)) => {
                Err(Stop::from(StreamError::MissingTool { tool: tool.clone() }))
            }
            Some(PodReport::Ended) => Err(Stop::from(StreamError::Ended {
                bytes: self.received,
            })),
            Some(PodReport::Unusable(line)) => Err(Stop::Error(DownloadError::Unaccounted {
                detail: format!("its report is {line:?}"),
            })),
        }
    }

    fn hash_differs(&self) -> Option<DownloadError> {
        let Differs { reported, computed } = self.differs?;
        Some(DownloadError::HashDiffers {
            reported,
            computed,
            received: self.received,
        })
    }

    /// The error for an end that came before everything was accounted for.
    fn premature(&mut self, end: End) -> DownloadError {
        if let (End::Exited { .. }, Some(differs)) = (&end, self.hash_differs()) {
            return differs;
        }
        StreamError::from_end(end, self.received, || self.stderr.tail()).into()
    }
}
