//! The streams, the threads and the pod's hash at work together.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
    time::Duration,
};

use rangemap::RangeSet;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval},
};
use transfer_proof::Measured;

use super::{
    FetchError, FetchEvent, FetchOptions, Partial, PartialError, hashes,
    notice::Notice,
    partial::Files,
    pool::Pool,
    read_back::{DigestReceiver, ReadBack, ReadBackError},
    store::{Store, contiguous},
    stream::{self, Shared, Stopped},
};
use crate::{Sha256Digest, download::Sink, file::FileHandle};

const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// A record needs a sync of the data, which takes time from writing it.
const RECORD_EVERY: Duration = Duration::from_secs(3);

/// Of the whole file.
pub(super) struct Digests {
    /// By the pod.
    pub(super) reported: Sha256Digest,
    /// Of what arrived.
    pub(super) computed: Measured,
}

pub(super) struct RunningFetch<T> {
    shared: Arc<Shared>,
    bytes: u64,
    streams: JoinSet<Result<(), Stopped>>,
    notices: mpsc::UnboundedReceiver<Notice>,
    notifier: mpsc::UnboundedSender<Notice>,
    stored: oneshot::Receiver<io::Result<()>>,
    digest: DigestReceiver,
    read_back: ReadBack<T>,
    recorder: Recorder,
}

impl<T: Send + 'static> RunningFetch<T> {
    pub(super) fn start(
        file: &FileHandle,
        partial: &Partial,
        sink: impl Sink<Finished = T>,
        options: &FetchOptions,
    ) -> Result<Self, FetchError> {
        let bytes = partial.version().bytes;
        let files = partial.files();
        let (frontier, frontier_heard) = blocking::channel();
        let _ = frontier.send(contiguous(partial.held()));
        let reader = files.reader().map_err(FetchError::Store)?;
        let (read_back, digest) =
            ReadBack::start(reader, bytes, frontier_heard, sink).map_err(FetchError::Store)?;
        let (store, stored) = Store::start(Arc::clone(&files), partial.held().clone(), frontier)
            .map_err(FetchError::Store)?;
        let shared = Arc::new(Shared {
            file: file.clone(),
            options: options.clone(),
            pool: Pool::new(bytes, partial.held(), options.streams),
            store,
            arrived: AtomicU64::new(partial.held_bytes()),
        });
        let (notifier, notices) = mpsc::unbounded_channel();
        let mut streams = JoinSet::new();
        for index in 0..shared.pool.streams() {
            streams.spawn(stream::run(index, Arc::clone(&shared), notifier.clone()));
        }
        Ok(Self {
            shared,
            bytes,
            streams,
            notices,
            notifier,
            stored,
            digest,
            read_back,
            recorder: Recorder::new(files),
        })
    }

    /// Receives until the whole file is here, and hashed here and there.
    pub(super) async fn receive(
        &mut self,
        observe: &mut impl FnMut(FetchEvent<'_>),
    ) -> Result<Digests, FetchError> {
        let shared = Arc::clone(&self.shared);
        let bytes = self.bytes;
        let notifier = self.notifier.clone();
        let ask = || {
            shared.options.retries.patiently(
                FetchError::is_transient,
                |_, error| drop(notifier.send(Notice::AskingAgain(error))),
                || hashes::of_source(&shared.file, bytes),
            )
        };
        let mut reported_digest = pin!(ask());
        let mut ask_later = false;
        let mut tick = interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        let (mut reported, mut computed) = (None, None);
        loop {
            tokio::select! {
                Some(notice) = self.notices.recv() => notice.tell(observe),
                Some(ended) = self.streams.join_next() => {
                    let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                    if let Err(stopped) = ended {
                        self.stream_stopped(stopped, observe).await?;
                    }
                }
                digest = &mut self.digest, if computed.is_none() => {
                    computed = Some(match digest {
                        Ok(Ok(digest)) => digest,
                        Ok(Err(ReadBackError::Read(error))) => return Err(FetchError::Store(error)),
                        Ok(Err(ReadBackError::Sink(error))) => return Err(FetchError::Sink(error)),
                        Err(_) => return Err(self.store_failed().await),
                    });
                }
                digest = &mut reported_digest, if reported.is_none() && !ask_later => match digest {
                    Ok(digest) => reported = Some(digest),
                    // A server that allows only so many streams at once has room when those are done.
                    Err(error) if error.is_transient() && !self.streams.is_empty() => {
                        observe(FetchEvent::AskingAgain { error: &error });
                        ask_later = true;
                    }
                    Err(error) => return Err(error),
                },
                _ = tick.tick() => {
                    let arrived = shared.arrived.load(Ordering::Relaxed);
                    if told.replace(arrived) != Some(arrived) {
                        observe(FetchEvent::Progress { bytes: arrived });
                    }
                    self.recorder.tick(|| shared.store.held().now()).await?;
                }
            }
            if ask_later && self.streams.is_empty() {
                ask_later = false;
                reported_digest.set(ask());
            }
            if let (Some(reported), Some(computed)) = (reported, computed) {
                observe(FetchEvent::Progress { bytes });
                return Ok(Digests { reported, computed });
            }
        }
    }

    /// The others go on, if there are any.
    async fn stream_stopped(
        &mut self,
        stopped: Stopped,
        observe: &mut impl FnMut(FetchEvent<'_>),
    ) -> Result<(), FetchError> {
        match stopped {
            Stopped::StoreGone => Err(self.store_failed().await),
            Stopped::Failed(error) if self.streams.is_empty() || error.is_about_the_source() => {
                Err(FetchError::Streams {
                    path: self.shared.file.path.clone(),
                    last: error,
                })
            }
            Stopped::Failed(error) => {
                observe(FetchEvent::GivenUp { error: &error });
                Ok(())
            }
        }
    }

    async fn store_failed(&mut self) -> FetchError {
        FetchError::Store(match (&mut self.stored).await {
            Ok(Err(error)) => error,
            _ => io::Error::other("a thread of the fetch panicked"),
        })
    }

    /// Ends the streams and records what is here, synced.
    pub(super) async fn close(
        mut self,
        partial: &mut Partial,
    ) -> (ReadBack<T>, Result<(), FetchError>) {
        self.streams.shutdown().await;
        let held = self.shared.store.held();
        drop(self.shared);
        // With the last handle gone, the thread ends; a failure of it was met before, or is met here.
        let stored = self.stored.await.unwrap_or(Ok(()));
        let recorded = match self.recorder.finish().await {
            Ok(()) => record(partial, held.now()).await,
            failed => failed,
        };
        let closed = stored
            .map_err(FetchError::Store)
            .and(recorded.map_err(FetchError::Partial));
        (self.read_back, closed)
    }
}

/// Records what is held from time to time, beside the transfer.
struct Recorder {
    files: Arc<Files>,
    last: Instant,
    running: Option<JoinHandle<Result<(), PartialError>>>,
}

impl Recorder {
    fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            last: Instant::now(),
            running: None,
        }
    }

    /// Begins a record when it is time for one and the one before is done.
    async fn tick(&mut self, held: impl FnOnce() -> RangeSet<u64>) -> Result<(), PartialError> {
        let idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if !idle || self.last.elapsed() < RECORD_EVERY {
            return Ok(());
        }
        self.finish().await?;
        let (files, held) = (Arc::clone(&self.files), held());
        self.running = Some(spawn_blocking(move || files.record(&held)));
        self.last = Instant::now();
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), PartialError> {
        match self.running.take() {
            None => Ok(()),
            Some(running) => running
                .await
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())),
        }
    }
}

/// Records that `partial` holds `held`, synced, and nothing else.
pub(super) async fn record(partial: &mut Partial, held: RangeSet<u64>) -> Result<(), PartialError> {
    partial.set_held(held.clone());
    let files = partial.files();
    spawn_blocking(move || files.record(&held))
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
