//! One of the streams: a shell in the pod that sends ranges as they are asked for.

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    BLOCK_BYTES, FetchOptions, LEAST_BYTES, RangeError,
    notice::Notice,
    pool::Pool,
    store::{Store, StoreGone},
};
use crate::{
    batch::Batch,
    download::report::Stderr,
    exec::{Output, Session, StreamError},
    file::FileHandle,
    script::{self, Script},
};

const SCRIPT: Script = Script::new("kube-transfer-ranges", include_str!("ranges.sh"));

/// How many ranges are asked for ahead, so that a long line does not run dry between two of them.
const PIPELINED: usize = 3;

/// What all streams of a fetch share.
pub(super) struct Shared {
    pub(super) file: FileHandle,
    pub(super) options: FetchOptions,
    pub(super) pool: Pool,
    pub(super) store: Store,
    /// Bytes that are here or arriving, for progress.
    pub(super) arrived: AtomicU64,
}

/// Why a stream ended before everything was here.
pub(super) enum Stopped {
    Failed(RangeError),
    StoreGone,
}

impl From<RangeError> for Stopped {
    fn from(error: RangeError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreGone> for Stopped {
    fn from(StoreGone: StoreGone) -> Self {
        Self::StoreGone
    }
}

/// Fetches ranges until all are here, or too many attempts in a row have failed.
pub(super) async fn run(
    stream: usize,
    shared: Arc<Shared>,
    notices: mpsc::UnboundedSender<Notice>,
) -> Result<(), Stopped> {
    let mut failures = 0;
    while let Some(range) = shared.pool.take().await {
        let mut brought = 0;
        let error = match attempt(&shared, range, &mut brought).await {
            Ok(()) => return Ok(()),
            Err(Stopped::Failed(error)) => error,
            Err(stopped) => return Err(stopped),
        };
        failures = if brought < LEAST_BYTES {
            failures + 1
        } else {
            1
        };
        let pause = shared.options.retries.pause_after(failures);
        let may_pass = error.is_transient() && !error.is_about_the_source();
        let Some(pause) = pause.filter(|_| may_pass) else {
            return Err(error.into());
        };
        let _ = notices.send(Notice::Retrying {
            stream,
            attempt: failures,
            error,
        });
        sleep(pause).await;
    }
    Ok(())
}

/// Opens a stream for `first` and what comes after it. Counts the bytes of the file that it `brought`. What it does not
/// bring goes back to the pool.
async fn attempt(shared: &Shared, first: Range<u64>, brought: &mut u64) -> Result<(), Stopped> {
    let nonce = script::nonce();
    let command = SCRIPT.argv([shared.file.path.clone(), BLOCK_BYTES.to_string()]);
    let opened = Session::open(
        &shared.file.pod.client,
        &shared.file.pod.container,
        command,
        &shared.file.pod.options.stream,
    )
    .await;
    let session = match opened {
        Ok(session) => session,
        Err(error) => {
            shared.pool.give_back(first);
            return Err(RangeError::from(StreamError::from(error)).into());
        }
    };
    let mut stream = Stream {
        shared,
        session,
        stderr: Stderr::new(nonce.clone()),
        nonce,
        under_way: VecDeque::new(),
        batch: Batch::default(),
        batch_offset: 0,
        mark: Vec::new(),
        brought: 0,
    };
    let result = stream.serve(first).await;
    *brought = stream.brought;
    if let Err(Stopped::Failed(error)) = &result {
        let keep = !error.is_about_the_source();
        stream.return_ranges(keep).await?;
    }
    result
}

/// A range that was asked for, and how much of it has come.
struct Arriving {
    range: Range<u64>,
    received: u64,
}

struct Stream<'a> {
    shared: &'a Shared,
    session: Session,
    stderr: Stderr,
    nonce: String,
    under_way: VecDeque<Arriving>,
    /// Data of the first range under way that the store has not got yet, and where it belongs.
    batch: Batch,
    batch_offset: u64,
    /// The end of what came on standard output, as long as a mark at most.
    mark: Vec<u8>,
    brought: u64,
}

impl Stream<'_> {
    async fn serve(&mut self, first: Range<u64>) -> Result<(), Stopped> {
        let first = self.line_for(first);
        // At once: a second small packet would wait for the answer to the first.
        let preface = SCRIPT.preface(&self.nonce, &[first.trim_end()]);
        let _ = self.session.write_stdin(&preface).await;
        let _ = self.session.send_heartbeats().await;
        loop {
            match self.next().await? {
                Output::Stderr(data) => self.stderr.push(&data),
                Output::Stdout(data) => self.take(data).await?,
            }
            // Not before something came: until then another stream may be the faster one.
            while self.under_way.len() < PIPELINED {
                match self.shared.pool.try_take() {
                    Some(range) => self.request(range).await,
                    None => break,
                }
            }
            if self.under_way.is_empty() {
                let Some(range) = self.shared.pool.take().await else {
                    let over = format!("{}\n", self.nonce);
                    self.send(&over).await;
                    return Ok(());
                };
                self.request(range).await;
            }
        }
    }

    async fn request(&mut self, range: Range<u64>) {
        let line = self.line_for(range);
        self.send(&line).await;
    }

    /// What asks for a range, which is under way from now on.
    fn line_for(&mut self, range: Range<u64>) -> String {
        let skip = range.start / BLOCK_BYTES;
        let count = (range.end - range.start).div_ceil(BLOCK_BYTES);
        self.under_way.push_back(Arriving { range, received: 0 });
        format!("{skip} {count}\n")
    }

    /// When the stream is gone already, reading from it tells why.
    async fn send(&mut self, line: &str) {
        let _ = self.session.write_stdin(line.as_bytes()).await;
    }

    async fn next(&mut self) -> Result<Output, RangeError> {
        let limit = self.shared.file.pod.options.stall_limit;
        let next = timeout(limit, self.session.next())
            .await
            .map_err(|_| StreamError::Stalled {
                after: limit,
                bytes: self.brought,
            })?;
        match next {
            ControlFlow::Continue(output) => Ok(output),
            ControlFlow::Break(end) => {
                let error = StreamError::from_end(end, self.brought, || self.stderr.tail());
                Err(error.into())
            }
        }
    }

    /// Takes data of the ranges under way, and the marks between them.
    async fn take(&mut self, mut data: Bytes) -> Result<(), Stopped> {
        while !data.is_empty() {
            let Some(arriving) = self.under_way.front_mut() else {
                return Err(RangeError::Short.into());
            };
            let expected = arriving.range.end - arriving.range.start - arriving.received;
            if expected == 0 {
                let rest = self.mark_bytes() - self.mark.len();
                self.mark.extend(data.split_to(rest.min(data.len())));
                if self.mark.len() == self.mark_bytes() {
                    self.complete().await?;
                }
                continue;
            }
            let length = usize::try_from(expected)
                .unwrap_or(usize::MAX)
                .min(data.len());
            if self.batch.is_empty() {
                self.batch_offset = arriving.range.start + arriving.received;
            }
            arriving.received += length as u64;
            self.brought += length as u64;
            self.shared
                .arrived
                .fetch_add(length as u64, Ordering::Relaxed);
            let piece = data.split_to(length);
            let ended = arriving.received == arriving.range.end - arriving.range.start;
            self.remember_end(&piece);
            self.batch.push(piece);
            if ended {
                self.mark.clear();
            } else {
                self.check_mark_too_early()?;
            }
            if self.batch.is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// The first range under way has come, and the mark after it.
    async fn complete(&mut self) -> Result<(), Stopped> {
        let mark = std::mem::take(&mut self.mark);
        match self.code_of(&mark) {
            Some(0) => {}
            // Data of a later range where the mark should be.
            None => return Err(RangeError::Short.into()),
            Some(code) => return Err(self.failed(code).into()),
        }
        self.flush().await?;
        if let Some(arrived) = self.under_way.pop_front() {
            self.shared.store.hold(arrived.range)?;
            self.shared.pool.complete();
        }
        Ok(())
    }

    /// A mark where data is expected: the pod had less than was asked for. Only this random word can tell, when
    /// nothing comes any more.
    fn check_mark_too_early(&self) -> Result<(), RangeError> {
        match self.code_of(&self.mark) {
            None => Ok(()),
            Some(0) => Err(RangeError::Short),
            Some(code) => Err(self.failed(code)),
        }
    }

    fn failed(&self, code: u8) -> RangeError {
        match code {
            127 => RangeError::Stream(StreamError::MissingTool {
                tool: "dd".to_owned(),
            }),
            code => RangeError::Read {
                code,
                stderr: self.stderr.clone().tail(),
            },
        }
    }

    /// `<nonce> <three digits>` and a line break.
    fn mark_bytes(&self) -> usize {
        self.nonce.len() + 5
    }

    fn code_of(&self, mark: &[u8]) -> Option<u8> {
        let rest = mark.strip_prefix(self.nonce.as_bytes())?;
        let digits = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn remember_end(&mut self, data: &[u8]) {
        let length = self.mark_bytes();
        let tail = &data[data.len().saturating_sub(length)..];
        let excess = (self.mark.len() + tail.len()).saturating_sub(length);
        self.mark.drain(..excess);
        self.mark.extend_from_slice(tail);
    }

    async fn flush(&mut self) -> Result<(), StoreGone> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.shared.store.write(self.batch_offset, batch).await?;
        if let Some(Arriving { range, received }) = self.under_way.front() {
            let begun = self.batch_offset - range.start;
            let whole = received - received % BLOCK_BYTES;
            // An interrupted fetch goes on from here; what vouches for the data is its hash.
            if whole > begun {
                self.shared.store.hold(range.start..range.start + whole)?;
            }
        }
        Ok(())
    }

    /// Leaves what has not come to other streams; with `keep`, not the whole blocks of the range that was arriving.
    async fn return_ranges(&mut self, keep: bool) -> Result<(), StoreGone> {
        self.flush().await?;
        for Arriving { range, received } in std::mem::take(&mut self.under_way) {
            let kept = match received {
                _ if !keep => 0,
                whole if whole == range.end - range.start => whole,
                part => part - part % BLOCK_BYTES,
            };
            self.shared
                .arrived
                .fetch_sub(received - kept, Ordering::Relaxed);
            let here = range.start..range.start + kept;
            if !here.is_empty() {
                self.shared.store.hold(here.clone())?;
            }
            if here.end == range.end {
                self.shared.pool.complete();
            } else {
                self.shared.pool.give_back(here.end..range.end);
            }
        }
        Ok(())
    }
}
