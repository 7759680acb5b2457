//! The thread that writes what the streams receive, each range at its place.

use std::{
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError, mpsc as blocking},
    thread,
};

use rangemap::RangeSet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::partial::Files;
use crate::batch::{Batch, QUEUE_BYTES};

enum Work {
    Write {
        offset: u64,
        batch: Batch,
        _permit: OwnedSemaphorePermit,
    },
    /// All of this range was given before.
    Held(Range<u64>),
}

/// A stream's way to the thread. The thread ends when all are gone.
#[derive(Clone)]
pub(super) struct Store {
    queue: mpsc::UnboundedSender<Work>,
    budget: Arc<Semaphore>,
    held: Arc<Mutex<RangeSet<u64>>>,
}

/// The thread has ended with an error, which its outcome holds.
#[derive(Debug)]
pub(super) struct StoreGone;

impl Store {
    /// Starts the thread. `frontier` hears up to where the file is here without a gap; the receiver of the outcome
    /// hears of the thread's end.
    pub(super) fn start(
        files: Arc<Files>,
        held: RangeSet<u64>,
        frontier: blocking::Sender<u64>,
    ) -> io::Result<(Self, oneshot::Receiver<io::Result<()>>)> {
        let (queue, work) = mpsc::unbounded_channel();
        let (report, outcome) = oneshot::channel();
        let held = Arc::new(Mutex::new(held));
        let store = Self {
            queue,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
            held: Arc::clone(&held),
        };
        thread::Builder::new()
            .name("fetch-store".to_owned())
            .spawn(move || {
                let result = process(work, &files, &held, &frontier);
                // Whoever waits for the outcome may want the lock of the files next.
                drop(files);
                let _ = report.send(result);
            })?;
        Ok((store, outcome))
    }

    /// Hands over data for `offset`; waits while the thread has [`QUEUE_BYTES`] to do.
    pub(super) async fn write(&self, offset: u64, batch: Batch) -> Result<(), StoreGone> {
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(batch.permits())
            .await
            .map_err(|_| StoreGone)?;
        let work = Work::Write {
            offset,
            batch,
            _permit: permit,
        };
        self.queue.send(work).map_err(|_| StoreGone)
    }

    /// Says that all of `range` was handed over.
    pub(super) fn hold(&self, range: Range<u64>) -> Result<(), StoreGone> {
        self.queue.send(Work::Held(range)).map_err(|_| StoreGone)
    }

    /// What has been written, though perhaps not synced.
    pub(super) fn held(&self) -> Held {
        Held(Arc::clone(&self.held))
    }
}

/// What has been written, also after the store is gone.
pub(super) struct Held(Arc<Mutex<RangeSet<u64>>>);

impl Held {
    pub(super) fn now(&self) -> RangeSet<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn process(
    mut work: mpsc::UnboundedReceiver<Work>,
    files: &Files,
    held: &Mutex<RangeSet<u64>>,
    frontier: &blocking::Sender<u64>,
) -> io::Result<()> {
    while let Some(work) = work.blocking_recv() {
        match work {
            Work::Write {
                mut offset, batch, ..
            } => {
                for frame in batch.into_frames() {
                    files.data().write_all_at(&frame, offset)?;
                    offset += frame.len() as u64;
                }
            }
            Work::Held(range) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.insert(range);
                // A reader that is gone has told why itself.
                let _ = frontier.send(contiguous(&held));
            }
        }
    }
    Ok(())
}

/// Up to where there is no gap.
pub(super) fn contiguous(held: &RangeSet<u64>) -> u64 {
    held.first()
        .filter(|range| range.start == 0)
        .map_or(0, |range| range.end)
}
