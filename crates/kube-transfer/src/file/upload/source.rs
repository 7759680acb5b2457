//! What is uploaded: read more than once, so it must stay the same.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use transfer_proof::{Hasher, Sha256Digest};

/// What is read at once.
const CHUNK_BYTES: u64 = 128 << 10;
/// How many of these may wait to be sent.
const CHUNKS_AHEAD: usize = 4;

/// Content that can be read again from any place: a local file, or bytes in memory.
#[derive(Debug, Clone)]
pub struct UploadSource(Content);

#[derive(Debug, Clone)]
enum Content {
    File { file: Arc<File>, state: State },
    Memory(Bytes),
}

/// What changes when somebody writes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn now(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl UploadSource {
    /// A local file as it is now: what changes while it is uploaded is noticed.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let state = State::now(&file)?;
        Ok(Self(Content::File {
            file: Arc::new(file),
            state,
        }))
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        match &self.0 {
            Content::File { state, .. } => state.bytes,
            Content::Memory(content) => content.len() as u64,
        }
    }

    /// Whether nobody has written to it since it was opened.
    pub(super) fn is_unchanged(&self) -> io::Result<bool> {
        match &self.0 {
            Content::File { file, state } => Ok(State::now(file)? == *state),
            Content::Memory(_) => Ok(true),
        }
    }

    /// The hash of a part alone, and `before`, the hash of what is before it, continued by it.
    pub(super) async fn hash(
        &self,
        part: Range<u64>,
        before: Hasher,
    ) -> io::Result<(Sha256Digest, Hasher)> {
        let source = self.clone();
        spawn_blocking(move || {
            let (mut alone, mut continued) = (Hasher::default(), before);
            source.read(part, |chunk| {
                alone.update(&chunk);
                continued.update(&chunk);
                true
            })?;
            Ok((alone.measured().sha256(), continued))
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Reads on from the end of `before` to the end of the source, on a thread, which returns the hash of the whole.
    pub(super) fn rest(
        &self,
        before: Hasher,
    ) -> (mpsc::Receiver<Bytes>, JoinHandle<io::Result<Hasher>>) {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let source = self.clone();
        let reading = spawn_blocking(move || {
            let mut hasher = before;
            let rest = hasher.measured().bytes()..source.bytes();
            source.read(rest, |chunk| {
                hasher.update(&chunk);
                sender.blocking_send(chunk).is_ok()
            })?;
            Ok(hasher)
        });
        (chunks, reading)
    }

    /// Hands a part to `take`, piece by piece, as long as that says so. Blocks.
    fn read(&self, part: Range<u64>, mut take: impl FnMut(Bytes) -> bool) -> io::Result<()> {
        let mut offset = part.start;
        while offset < part.end {
            let end = part.end.min(offset + CHUNK_BYTES);
            if !take(self.chunk(offset..end)?) {
                break;
            }
            offset = end;
        }
        Ok(())
    }

    fn chunk(&self, range: Range<u64>) -> io::Result<Bytes> {
        let place = |offset| usize::try_from(offset).map_err(io::Error::other);
        match &self.0 {
            Content::File { file, .. } => {
                let mut chunk = vec![0; place(range.end - range.start)?];
                file.read_exact_at(&mut chunk, range.start)?;
                Ok(chunk.into())
            }
            Content::Memory(content) => Ok(content.slice(place(range.start)?..place(range.end)?)),
        }
    }
}

impl<T: Into<Bytes>> From<T> for UploadSource {
    fn from(content: T) -> Self {
        Self(Content::Memory(content.into()))
    }
}
