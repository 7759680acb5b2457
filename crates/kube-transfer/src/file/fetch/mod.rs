//! A file of a pod, read over several streams at once, continued after a break, and delivered whole or not at all.
//!
//! Each stream is one exec: a shell that reads requests for ranges from its standard input and runs `dd` for each. The
//! next requests are sent before the current range has arrived, which keeps a long line full; the ranges come from one
//! pool, in file order. A stream that breaks leaves its ranges to the pool and is opened again.
//!
//! What arrives is written at its place in the [`Partial`]. After the streams, a thread reads the file back from its
//! beginning, hashes it and feeds the sink; meanwhile the pod hashes the file too. It is delivered when both hashes are
//! equal, and when a last look finds the source to be what it was.
//!
//! Memory is bounded by 2 MiB of data on its way to the disk, a session's buffers for each stream, and 256 KiB read
//! back. The container needs `sh`, `dd`, `stat`, and what [`download`](mod@crate::download) needs.

mod error;
mod hashes;
mod notice;
mod partial;
mod pool;
mod read_back;
mod store;
mod stream;
mod transfer;

use std::path::PathBuf;

use rangemap::RangeSet;
use transfer_proof::Proof;

use super::{EntryKind, FileHandle, FileVersion, query};
use crate::{Sha256Digest, download::Sink, retry::Retries};
pub use error::{FetchError, RangeError};
pub use partial::{Partial, PartialError};
use transfer::{Digests, RunningFetch};

/// Ranges begin at multiples of this, the block size of `dd`: what a core's cache holds between reading and sending.
const BLOCK_BYTES: u64 = 128 << 10;
/// The smallest range that is worth a request, and an attempt that is worth another one.
const LEAST_BYTES: u64 = 1 << 20;

/// How a file is fetched.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// How many streams read at once; at least one.
    pub streams: usize,
    /// How many attempts in a row of one stream may fail and bring less than 1 MiB, before it is given up.
    pub retries: Retries,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            streams: 6,
            retries: Retries::new(2),
        }
    }
}

impl FetchOptions {
    /// With so many streams.
    #[must_use]
    pub fn with_streams(self, streams: usize) -> Self {
        Self { streams, ..self }
    }

    /// With so many retries.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }
}

/// What happens during a fetch.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// What an earlier run left is compared with the pod's file.
    Comparing {
        /// How much.
        bytes: u64,
    },
    /// So much is here or arriving; ten times a second at most. Falls when a stream breaks or ranges differ.
    Progress {
        /// How much of the file.
        bytes: u64,
    },
    /// A stream broke and will be opened again.
    Retrying {
        /// Which, from 0.
        stream: usize,
        /// How many attempts have failed in a row.
        attempt: u32,
        /// Why it broke.
        error: &'a RangeError,
    },
    /// A stream was given up; the others go on.
    GivenUp {
        /// Why it broke the last time.
        error: &'a RangeError,
    },
    /// The pod is asked again about the file.
    AskingAgain {
        /// Why it did not answer.
        error: &'a FetchError,
    },
}

/// Proof of a complete fetch: exists only when pod and this side agree on every byte.
#[derive(Debug)]
#[must_use = "the file is still under its temporary name"]
pub struct Fetched<T> {
    proof: Proof,
    output: T,
    partial: Partial,
}

impl<T> Fetched<T> {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.proof.bytes()
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.proof.sha256()
    }

    /// What the sink became.
    pub fn output(&self) -> &T {
        &self.output
    }

    /// Moves the file, which is synced, to the path that its [`Partial`] was made for, and removes the record.
    /// Replaces a file of that name. Returns what the sink became, and the proof alone, for what completes a file.
    pub fn save(self) -> Result<(PathBuf, T, Proof), PartialError> {
        Ok((self.partial.save()?, self.output, self.proof))
    }

    /// Removes the file and its record: the sink has taken what is needed.
    pub fn discard(self) -> Result<T, PartialError> {
        self.partial.discard()?;
        Ok(self.output)
    }
}

impl FileHandle {
    /// Fetches it into `partial`, and through `sink`.
    ///
    /// The version is the one `partial` was made for. The sink gets the whole file in order, also what was here before,
    /// and is finished after everything was verified. `observe` must be quick. Dropping the future ends all streams; what
    /// is good of the data stays for [`Partial::resume`], up to the last seconds.
    pub async fn fetch<S: Sink>(
        &self,
        partial: Partial,
        sink: S,
        options: &FetchOptions,
        observe: impl FnMut(FetchEvent<'_>),
    ) -> Result<Fetched<S::Finished>, FetchError> {
        fetch(self, partial, sink, options, observe).await
    }
}

async fn fetch<S: Sink>(
    file: &FileHandle,
    mut partial: Partial,
    sink: S,
    options: &FetchOptions,
    mut observe: impl FnMut(FetchEvent<'_>),
) -> Result<Fetched<S::Finished>, FetchError> {
    query::absolute(&file.path)?;
    let version = partial.version();
    keep_equal(file, &mut partial, options, &mut observe).await?;
    let mut transfer = RunningFetch::start(file, &partial, sink, options)?;
    let received = transfer.receive(&mut observe).await;
    let (read_back, closed) = transfer.close(&mut partial).await;
    let Digests { reported, computed } = match received {
        Ok(digests) => digests,
        Err(error) if error.is_about_the_source() => {
            still(file, version, options, &mut observe).await?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    closed?;
    still(file, version, options, &mut observe).await?;
    let proof = match computed.prove(reported) {
        Ok(proof) => proof,
        Err(differs) => {
            let dropped_bytes = keep_equal(file, &mut partial, options, &mut observe).await?;
            return Err(FetchError::HashDiffers {
                path: file.path.clone(),
                reported: differs.reported,
                computed: differs.computed,
                dropped_bytes,
            });
        }
    };
    Ok(Fetched {
        proof,
        output: read_back.finish().await.map_err(FetchError::Sink)?,
        partial,
    })
}

/// Compares what is held with the pod's file, and holds no longer what differs; returns how much that is.
async fn keep_equal(
    file: &FileHandle,
    partial: &mut Partial,
    options: &FetchOptions,
    observe: &mut impl FnMut(FetchEvent<'_>),
) -> Result<u64, FetchError> {
    let bytes = partial.held_bytes();
    if bytes == 0 {
        return Ok(0);
    }
    observe(FetchEvent::Comparing { bytes });
    let held_before = &*partial;
    let differing = options.retries.patiently(
        FetchError::is_transient,
        |_, error| observe(FetchEvent::AskingAgain { error: &error }),
        || hashes::differing(file, held_before),
    );
    let differing = differing.await?;
    let mut held = partial.held().clone();
    for range in differing {
        held.remove(range);
    }
    let dropped = bytes - total(&held);
    if dropped > 0 {
        transfer::record(partial, held).await?;
    }
    Ok(dropped)
}

/// Makes sure that the source is the file that was asked for.
async fn still(
    file: &FileHandle,
    expected: FileVersion,
    options: &FetchOptions,
    observe: &mut impl FnMut(FetchEvent<'_>),
) -> Result<(), FetchError> {
    let entry = options.retries.patiently(
        FetchError::is_transient,
        |_, error| observe(FetchEvent::AskingAgain { error: &error }),
        || async { Ok::<_, FetchError>(query::stat(file).await?) },
    );
    let entry = entry.await?;
    let path = || file.path.clone();
    if entry.kind != EntryKind::File {
        Err(FetchError::NotAFile { path: path() })
    } else if entry.version == expected {
        Ok(())
    } else {
        Err(FetchError::SourceChanged {
            path: path(),
            expected,
            found: entry.version,
        })
    }
}

/// How many bytes `ranges` hold.
fn total(ranges: &RangeSet<u64>) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
