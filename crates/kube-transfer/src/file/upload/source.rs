//! What is uploaded: read more than once, so it must stay the same.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
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

/// Content that can be read again from any place: a local file, bytes in memory, or what can be had as a stream any number
/// of times.
#[derive(Debug, Clone)]
pub struct UploadSource {
    content: Content,
    /// The part of it that is sent.
    part: Range<u64>,
}

#[derive(Debug, Clone)]
enum Content {
    File { file: Arc<File>, state: State },
    Memory(Bytes),
    Stream(Arc<Stream>),
}

/// Content that is kept nowhere, of which there is only a way to read it.
struct Stream {
    bytes: u64,
    open: Box<Open>,
    /// One that is read already, with how far, so that what is read in order is read once.
    opened: Mutex<Option<Opened>>,
}

/// Where it begins to read, of an offset that is wanted and not passed over, and what it reads.
type Opened = (u64, Box<dyn Read + Send>);
type Open = dyn Fn(u64) -> io::Result<Opened> + Send + Sync;

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} bytes)", self.bytes)
    }
}

impl Stream {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, mut reader) = match opened.take().filter(|(at, _)| *at <= offset) {
            Some(opened) => opened,
            None => (self.open)(offset)?,
        };
        let skipped = io::copy(&mut (&mut reader).take(offset - at), &mut io::sink())?;
        if at + skipped < offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        reader.read_exact(buffer)?;
        *opened = Some((offset + buffer.len() as u64, reader));
        Ok(())
    }
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
        Ok(Self::whole(
            state.bytes,
            Content::File {
                file: Arc::new(file),
                state,
            },
        ))
    }

    /// Content of `bytes` bytes that `open` reads from its beginning, whenever it is called, and that is kept nowhere. Whether
    /// it was the same each time, the hash of what was sent tells its caller.
    pub fn reopened(
        bytes: u64,
        open: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self::stream(bytes, move |_| Ok((0, open()?)))
    }

    /// As [`Self::reopened`], of what can be read from any place on: `open` takes the offset.
    pub fn reopened_at(
        bytes: u64,
        open: impl Fn(u64) -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self::stream(bytes, move |offset| Ok((offset, open(offset)?)))
    }

    fn stream(
        bytes: u64,
        open: impl Fn(u64) -> io::Result<Opened> + Send + Sync + 'static,
    ) -> Self {
        let stream = Stream {
            bytes,
            open: Box::new(open),
            opened: Mutex::new(None),
        };
        Self::whole(bytes, Content::Stream(Arc::new(stream)))
    }

    fn whole(bytes: u64, content: Content) -> Self {
        Self {
            content,
            part: 0..bytes,
        }
    }

    /// A part of this one as a source of its own.
    pub(super) fn part(&self, part: Range<u64>) -> Self {
        Self {
            content: self.content.clone(),
            part: self.part.start + part.start..self.part.start + part.end,
        }
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.part.end - self.part.start
    }

    /// Whether any place of it can be read at any time, without what is before it.
    pub(super) fn is_read_anywhere(&self) -> bool {
        match &self.content {
            Content::File { .. } | Content::Memory(_) => true,
            Content::Stream(_) => false,
        }
    }

    /// Whether nobody has written to it since it was opened.
    pub(super) fn is_unchanged(&self) -> io::Result<bool> {
        match &self.content {
            Content::File { file, state } => Ok(State::now(file)? == *state),
            Content::Memory(_) | Content::Stream(_) => Ok(true),
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

    /// The hash of all of it, computed on a thread.
    pub(super) fn hash_all(&self) -> JoinHandle<io::Result<Hasher>> {
        let source = self.clone();
        spawn_blocking(move || {
            let mut hasher = Hasher::default();
            source.read(0..source.bytes(), |chunk| {
                hasher.update(&chunk);
                true
            })?;
            Ok(hasher)
        })
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
        let range = self.part.start + range.start..self.part.start + range.end;
        let place = |offset| usize::try_from(offset).map_err(io::Error::other);
        match &self.content {
            Content::File { file, .. } => {
                let mut chunk = vec![0; place(range.end - range.start)?];
                file.read_exact_at(&mut chunk, range.start)?;
                Ok(chunk.into())
            }
            Content::Memory(content) => Ok(content.slice(place(range.start)?..place(range.end)?)),
            Content::Stream(stream) => {
                let mut chunk = vec![0; place(range.end - range.start)?];
                stream.read_exact_at(&mut chunk, range.start)?;
                Ok(chunk.into())
            }
        }
    }
}

impl<T: Into<Bytes>> From<T> for UploadSource {
    fn from(content: T) -> Self {
        let content: Bytes = content.into();
        Self::whole(content.len() as u64, Content::Memory(content))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_stream_is_read_at_any_place_and_opened_anew_only_to_go_back() {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let source = UploadSource::reopened(10, move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(io::Cursor::new(*b"0123456789")))
        });
        assert_eq!(source.bytes(), 10);
        for (range, expected) in [(0..3, "012"), (3..4, "3"), (6..10, "6789")] {
            assert_eq!(source.chunk(range).unwrap(), expected);
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        assert_eq!(source.chunk(2..5).unwrap(), "234");
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_part_is_a_source_of_its_own() {
        let source = UploadSource::from(&b"0123456789"[..]).part(2..8);
        assert_eq!(source.bytes(), 6);
        assert_eq!(source.chunk(0..6).unwrap(), "234567");
        let part = source.part(1..3);
        assert_eq!((part.bytes(), part.chunk(0..2).unwrap()), (2, "34".into()));
    }

    #[test]
    fn what_can_be_read_from_any_place_is_opened_there() {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&opened);
        let source = UploadSource::reopened_at(10, move |offset| {
            log.lock().unwrap().push(offset);
            let mut content = io::Cursor::new(*b"0123456789");
            content.set_position(offset);
            Ok(Box::new(content))
        });
        for (range, expected) in [(6..8, "67"), (8..10, "89"), (2..5, "234")] {
            assert_eq!(source.chunk(range).unwrap(), expected);
        }
        assert_eq!(*opened.lock().unwrap(), [6, 2]);
    }

    #[test]
    fn a_stream_that_is_shorter_than_it_should_be_is_an_error() {
        let source = UploadSource::reopened(10, || Ok(Box::new(io::Cursor::new(*b"0123"))));
        for range in [2..5, 7..9] {
            let error = source.chunk(range).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(source.chunk(0..4).unwrap(), "0123");
    }
}
