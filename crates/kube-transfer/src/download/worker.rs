//! The thread that hashes and writes, so that neither takes time from the network.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use transfer_proof::{Hasher, Measured};

use super::Sink;
use crate::batch::{Batch, QUEUE_BYTES};

/// How long a sink may take for what it was given before the transfer broke.
const ABANDONED_WITHIN: Duration = Duration::from_secs(5);

enum Work {
    Write(Batch, OwnedSemaphorePermit),
    Measure(oneshot::Sender<Measured>),
    Finish,
}

/// A handle of the thread. When it is dropped, the thread drops the sink unfinished.
pub(super) struct Worker<T> {
    queue: mpsc::UnboundedSender<Work>,
    budget: Arc<Semaphore>,
    outcome: oneshot::Receiver<io::Result<T>>,
}

/// The thread has ended; [`Worker::failure`] says why.
pub(super) struct WorkerGone;

impl<T: Send + 'static> Worker<T> {
    pub(super) fn start(sink: impl Sink<Finished = T>) -> io::Result<Self> {
        let (queue, work) = mpsc::unbounded_channel();
        let (report, outcome) = oneshot::channel();
        thread::Builder::new()
            .name("download".to_owned())
            .spawn(move || {
                if let Some(result) = process(work, sink) {
                    let _ = report.send(result);
                }
            })?;
        Ok(Self {
            queue,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
            outcome,
        })
    }

    /// Hands over a batch; waits while the thread has [`QUEUE_BYTES`] to do.
    pub(super) async fn write(&self, batch: Batch) -> Result<(), WorkerGone> {
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(batch.permits())
            .await
            .map_err(|_| WorkerGone)?;
        self.queue
            .send(Work::Write(batch, permit))
            .map_err(|_| WorkerGone)
    }

    /// Size and SHA-256 of everything handed over so far.
    pub(super) async fn measured(&self) -> Result<Measured, WorkerGone> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Work::Measure(reply))
            .map_err(|_| WorkerGone)?;
        answer.await.map_err(|_| WorkerGone)
    }

    /// Finishes the sink.
    pub(super) async fn finish(self) -> io::Result<T> {
        // When the thread is gone already, its outcome is waiting.
        let _ = self.queue.send(Work::Finish);
        self.outcome.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Returns when the thread has dropped the sink unfinished, or hangs in it.
    pub(super) async fn abandon(self) {
        drop(self.queue);
        // Nothing is reported then: the end of the report is the thread's.
        let _ = timeout(ABANDONED_WITHIN, self.outcome).await;
    }

    /// Why the thread ended early.
    pub(super) async fn failure(self) -> io::Error {
        drop(self.queue);
        match self.outcome.await {
            Ok(Err(error)) => error,
            _ => panicked(),
        }
    }
}

fn panicked() -> io::Error {
    io::Error::other("the writing thread panicked")
}

/// `None` when the transfer was given up.
fn process<S: Sink>(
    mut work: mpsc::UnboundedReceiver<Work>,
    mut sink: S,
) -> Option<io::Result<S::Finished>> {
    let mut hasher = Hasher::default();
    loop {
        match work.blocking_recv()? {
            Work::Write(batch, _permit) => {
                for frame in batch.into_frames() {
                    hasher.update(&frame);
                    if let Err(error) = sink.write(&frame) {
                        return Some(Err(error));
                    }
                }
            }
            Work::Measure(reply) => {
                let _ = reply.send(hasher.measured());
            }
            Work::Finish => return Some(sink.finish()),
        }
    }
}
