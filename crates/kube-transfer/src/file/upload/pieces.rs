//! A large file over several connections at once, since on a long line a single one is never full: in pieces, each of which is
//! an upload of its own, put together in the pod as they come.
//!
//! They lie in `<path>.pieces/`: `0`, `1` and so on, and `joined`, to which they are appended in order. The whole is then put
//! where an upload looks for what an earlier one has left, and is hashed and put in place as any other: what went wrong here is
//! found there. The pod writes everything twice, and needs room for one piece beside the file; where it has less, the file is
//! brought over one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{FuturesUnordered, StreamExt as _};
use transfer_proof::Hasher;

use super::attempt::{Existing, MARGIN_BYTES};
use super::{
    UploadError, UploadEvent, UploadOptions, UploadSource, directory_of, over_one_connection,
    script_failed, script_of,
};
use crate::{
    file::{FileHandle, query},
    remote_command::RemoteCommand,
    script,
};

const BEGIN: &str = include_str!("begin_pieces.sh");
const JOIN: &str = include_str!("join_pieces.sh");
/// The largest piece.
const MOST_BYTES: u64 = 64 << 20;
/// How many pieces each connection should have: a slow one is then not waited for by all others.
const PIECES_A_CONNECTION: u64 = 2;

/// What was brought, and lies where an upload looks for it.
pub(super) struct Brought {
    /// The hash of all of it, computed here.
    pub(super) whole: Hasher,
    /// How much was sent.
    pub(super) sent: u64,
}

/// How a source is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    bytes: u64,
    piece: u64,
}

impl Cut {
    /// Nothing for a source that is too small, or can only be read from its beginning.
    fn of(source: &UploadSource, options: &UploadOptions) -> Option<Self> {
        if source.is_read_anywhere() {
            Self::of_bytes(source.bytes(), options)
        } else {
            None
        }
    }

    fn of_bytes(bytes: u64, options: &UploadOptions) -> Option<Self> {
        let least = options.least_piece_bytes.clamp(1, MOST_BYTES);
        if options.connections < 2 || bytes < 2 * least {
            return None;
        }
        let pieces = PIECES_A_CONNECTION * options.connections as u64;
        let piece = bytes.div_ceil(pieces).clamp(least, MOST_BYTES);
        Some(Self { bytes, piece })
    }

    fn count(self) -> u64 {
        self.bytes.div_ceil(self.piece)
    }

    fn range(self, number: u64) -> Range<u64> {
        let start = number * self.piece;
        start..self.bytes.min(start + self.piece)
    }

    /// The first piece to go on with when so much is joined; the last one when everything is.
    fn after(self, joined: u64) -> u64 {
        (joined / self.piece).min(self.count() - 1)
    }
}

/// Brings a large file in pieces. Nothing where it is to be brought over one connection.
pub(super) async fn bring(
    file: &FileHandle,
    source: &UploadSource,
    options: &UploadOptions,
    observe: impl FnMut(UploadEvent<'_>),
) -> Result<Option<Brought>, UploadError> {
    let Some(cut) = Cut::of(source, options) else {
        return Ok(None);
    };
    let progress = Progress::new(observe);
    let pieces = Pieces {
        file,
        source,
        options,
        cut,
        id: script::nonce(),
        progress: &progress,
    };
    let Some(first) = pieces.begin().await? else {
        return Ok(None);
    };
    let hashing = source.hash_all();
    let sent = match pieces.bring_from(first).await {
        Ok(sent) => sent,
        // A full volume is hard on others.
        Err(error @ (UploadError::Failed { .. } | UploadError::NoSpace { .. })) => {
            file.discard_upload().await?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let whole = hashing
        .await
        .map_err(std::io::Error::other)
        .and_then(|hashed| hashed)
        .map_err(UploadError::Source)?;
    Ok(Some(Brought { whole, sent }))
}

struct Pieces<'a, O> {
    file: &'a FileHandle,
    source: &'a UploadSource,
    options: &'a UploadOptions,
    cut: Cut,
    /// Tells this upload's connections from those of another.
    id: String,
    progress: &'a Progress<O>,
}

impl<O: FnMut(UploadEvent<'_>)> Pieces<'_, O> {
    /// Makes the place for the pieces, unless the file is to be brought over one connection; returns the first piece that
    /// is missing.
    async fn begin(&self) -> Result<Option<u64>, UploadError> {
        let command = script_of(BEGIN).arg(&self.file.path);
        let answer = self.run(&command).await?;
        let Some((joined, arrived)) = begun(&answer) else {
            return Ok(None);
        };
        let directory = directory_of(self.file)?;
        let available = self
            .patiently(|| async { Ok(query::space(&self.file.pod, directory).await?) })
            .await?
            .available;
        let missing = self.cut.bytes.saturating_sub(arrived);
        if available < missing + self.cut.piece + MARGIN_BYTES {
            // Over one connection it may fit.
            self.file.discard_upload().await?;
            return Ok(None);
        }
        let first = self.cut.after(joined);
        self.progress.joined(self.cut.range(first).start);
        Ok(Some(first))
    }

    /// Brings the pieces from the first one on, and joins them; returns how much was sent.
    async fn bring_from(&self, first: u64) -> Result<u64, UploadError> {
        let ahead = PIECES_A_CONNECTION * self.options.connections as u64;
        let mut waiting = (first..self.cut.count()).peekable();
        let (mut under_way, mut joining) = (FuturesUnordered::new(), FuturesUnordered::new());
        let mut here = BTreeSet::new();
        let (mut next, mut sent) = (first, 0);
        while next < self.cut.count() {
            // What has arrived and is not joined yet must not fill the volume.
            while under_way.len() < self.options.connections
                && let Some(number) = waiting.next_if(|number| *number < next + ahead)
            {
                under_way.push(self.bring_one(number));
            }
            if joining.is_empty() && here.remove(&next) {
                joining.push(self.join(next));
            }
            tokio::select! {
                Some(joined) = joining.next() => {
                    joined?;
                    next += 1;
                }
                Some(brought) = under_way.next() => {
                    let (number, bytes) = brought?;
                    sent += bytes;
                    here.insert(number);
                }
            }
        }
        Ok(sent)
    }

    /// Brings one piece; returns its number, and how much was sent.
    async fn bring_one(&self, number: u64) -> Result<(u64, u64), UploadError> {
        let path = format!("{}.pieces/{number}", self.file.path);
        let piece = self.file.pod.file(path);
        let source = self.source.part(self.cut.range(number));
        let observe = |event: UploadEvent<'_>| self.progress.observe(number, &event);
        let uploaded = over_one_connection(
            &piece,
            &source,
            self.options,
            Existing::Piece,
            None,
            observe,
        )
        .await?;
        Ok((number, uploaded.sent_bytes()))
    }

    async fn join(&self, number: u64) -> Result<(), UploadError> {
        let numbers = [number, self.cut.range(number).start, self.cut.count() - 1];
        let command = script_of(JOIN)
            .args([&self.file.path, &self.id])
            .args(numbers.map(|number| number.to_string()));
        self.run(&command).await.map(drop)
    }

    async fn run(&self, command: &RemoteCommand) -> Result<Vec<u8>, UploadError> {
        let run = || async {
            match self.file.pod.run(command).await {
                Ok(captured) => Ok(captured.stdout),
                Err(error) => Err(script_failed(&self.file.path, error)),
            }
        };
        self.patiently(run).await
    }

    /// Tries again what may go better.
    async fn patiently<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, UploadError>
    where
        F: Future<Output = Result<T, UploadError>>,
    {
        let observe = |failures, error: UploadError| self.progress.retrying(failures, &error);
        let retries = self.options.retries;
        retries
            .patiently(UploadError::is_transient, observe, attempt)
            .await
    }
}

/// Reads "joined <bytes> of <bytes>".
fn begun(answer: &[u8]) -> Option<(u64, u64)> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (joined, arrived) = answer.trim().strip_prefix("joined ")?.split_once(" of ")?;
    Some((joined.parse().ok()?, arrived.parse().ok()?))
}

/// What is said of all pieces as of one upload.
struct Progress<O> {
    shared: Mutex<Shared<O>>,
}

struct Shared<O> {
    observe: O,
    /// How much is joined since before.
    joined: u64,
    /// How much there is of each piece.
    pieces: BTreeMap<u64, u64>,
    /// The failure that was told last: when a line breaks, every connection says so.
    told: u32,
}

impl<O: FnMut(UploadEvent<'_>)> Progress<O> {
    fn new(observe: O) -> Self {
        let shared = Shared {
            observe,
            joined: 0,
            pieces: BTreeMap::new(),
            told: 0,
        };
        Self {
            shared: Mutex::new(shared),
        }
    }

    fn joined(&self, bytes: u64) {
        self.lock().joined = bytes;
    }

    fn observe(&self, number: u64, event: &UploadEvent<'_>) {
        match event {
            UploadEvent::Comparing { .. } => {}
            UploadEvent::Progress { bytes } => {
                let mut shared = self.lock();
                if shared.pieces.insert(number, *bytes) < Some(*bytes) {
                    shared.told = 0;
                }
                let bytes = shared.joined + shared.pieces.values().sum::<u64>();
                (shared.observe)(UploadEvent::Progress { bytes });
            }
            UploadEvent::Retrying { attempt, error } => self.retrying(*attempt, error),
        }
    }

    fn retrying(&self, attempt: u32, error: &UploadError) {
        let mut shared = self.lock();
        if attempt > shared.told {
            shared.told = attempt;
            (shared.observe)(UploadEvent::Retrying { attempt, error });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<O>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_large_source_is_cut_into_pieces_that_cover_it() {
        let options = UploadOptions::default();
        let cut = |bytes| {
            Cut::of_bytes(bytes, &options).map(|cut| (cut.count(), cut.range(cut.count() - 1)))
        };
        assert_eq!(cut(32 * MIB - 1), None);
        assert_eq!(cut(32 * MIB), Some((2, 16 * MIB..32 * MIB)));
        assert_eq!(cut(1024 * MIB), Some((16, 960 * MIB..1024 * MIB)));
        assert_eq!(
            cut(10_240 * MIB + 1),
            Some((161, 10_240 * MIB..10_240 * MIB + 1))
        );
    }

    #[test]
    fn joining_goes_on_with_the_piece_that_was_cut_off() {
        let cut = Cut::of_bytes(33 * MIB, &UploadOptions::default()).unwrap();
        let after = |joined| cut.after(joined);
        assert_eq!(
            [0, 16 * MIB - 1, 16 * MIB, 33 * MIB].map(after),
            [0, 0, 1, 2]
        );
    }

    #[test]
    fn what_the_pod_says_of_the_beginning_is_read_or_not_believed() {
        assert_eq!(begun(b"joined 5 of 12\n"), Some((5, 12)));
        for answer in ["", "joined", "joined 5", "joined -1 of 2", "joined 5 of x"] {
            assert_eq!(begun(answer.as_bytes()), None, "{answer:?}");
        }
    }

    #[test]
    fn a_line_that_breaks_is_told_once_and_again_after_it_has_brought_something() {
        let mut told = Vec::new();
        let progress = Progress::new(|event: UploadEvent<'_>| told.push(format!("{event:?}")));
        let error = UploadError::SourceChanged;
        for number in 0..3 {
            progress.observe(number, &UploadEvent::Progress { bytes: 1 });
            progress.observe(
                number,
                &UploadEvent::Retrying {
                    attempt: 1,
                    error: &error,
                },
            );
        }
        for number in 0..3 {
            progress.observe(
                number,
                &UploadEvent::Retrying {
                    attempt: 2,
                    error: &error,
                },
            );
        }
        drop(progress);
        let told: Vec<&str> = told
            .iter()
            .map(|event| event.split(", ").next().unwrap())
            .collect();
        assert_eq!(
            told,
            [
                "Progress { bytes: 1 }",
                "Retrying { attempt: 1",
                "Progress { bytes: 2 }",
                "Retrying { attempt: 1",
                "Progress { bytes: 3 }",
                "Retrying { attempt: 1",
                "Retrying { attempt: 2",
            ]
        );
    }
}
