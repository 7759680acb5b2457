//! Container logs, kept in the files and the line format of a real node's `/var/log/pods` (CRI logging).
//!
//! A file that would grow over a limit is put aside and a new one begun. A reader gets the current file; one that
//! follows goes on with the next when the file is at its end. Left out: compressing what was put aside, and the ten
//! seconds between two looks of a real kubelet at the size.

use std::{
    collections::VecDeque,
    io::{self, SeekFrom},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader},
    sync::{Mutex, watch},
};

use super::container::ContainerOutput;

/// Longer lines are split, as containerd does.
const LONGEST_LINE_BYTES: u64 = 16 * 1024;
/// How much of a log is sent at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// The kubelet's `containerLogMaxSize`.
pub(super) const LARGEST_FILE_BYTES: u64 = 10 << 20;
/// The kubelet's `containerLogMaxFiles`.
const MOST_FILES: u64 = 5;

/// The log of one run of a container.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    written: Arc<Mutex<Written>>,
    progress: watch::Receiver<Progress>,
}

/// The current file of a log.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    file: File,
    bytes: u64,
    largest_bytes: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Lines in all files.
    lines: u64,
    /// The files that were put aside.
    rotations: u64,
    complete: bool,
}

/// Which part of a log to read, and how (`v1.PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<usize>,
    /// Only lines from that moment on.
    pub since: Option<Timestamp>,
    /// Put the time in front of each line.
    pub timestamps: bool,
    /// Stop after that many bytes.
    pub limit_bytes: Option<u64>,
}

impl LogFile {
    /// Starts to write what a container puts out, into files that are no larger.
    pub(super) async fn record(
        path: PathBuf,
        output: ContainerOutput,
        largest_bytes: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        let (progress, receiver) = watch::channel(Progress::default());
        let written = Arc::new(Mutex::new(Written {
            file: File::create(&path).await?,
            path,
            bytes: 0,
            largest_bytes,
        }));
        let log = Arc::clone(&written);
        tokio::spawn(async move {
            let ContainerOutput { stdout, stderr } = output;
            let both = tokio::join!(
                copy_lines("stdout", stdout, &log, &progress),
                copy_lines("stderr", stderr, &log, &progress)
            );
            if let (Err(error), _) | (_, Err(error)) = both {
                tracing::warn!(%error, "a container's log is incomplete");
            }
            progress.send_modify(|progress| progress.complete = true);
        });
        Ok(Self {
            written,
            progress: receiver,
        })
    }

    /// Waits until everything the container ever put out is in the log.
    pub(super) async fn complete(&self) {
        // An error means that the writer is gone, which is as complete as it gets.
        let _ = self
            .progress
            .clone()
            .wait_for(|progress| progress.complete)
            .await;
    }

    /// Opens the log for reading.
    pub(super) async fn read(&self, options: LogOptions) -> io::Result<LogReader> {
        let (mut file, rotations) = open(&self.written, &self.progress).await?;
        if let Some(lines) = options.tail_lines {
            let start = start_of_last(lines, &mut file).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        Ok(LogReader {
            file,
            rotations,
            written: Arc::clone(&self.written),
            progress: self.progress.clone(),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            options,
            partial: Vec::new(),
        })
    }
}

/// Opens the current file, and says how many were before it.
async fn open(
    written: &Mutex<Written>,
    progress: &watch::Receiver<Progress>,
) -> io::Result<(BufReader<File>, u64)> {
    // Nothing is put aside meanwhile.
    let written = written.lock().await;
    let file = File::open(&written.path).await?;
    Ok((BufReader::new(file), progress.borrow().rotations))
}

impl Written {
    /// Appends an entry; true when it is the first one of a new file.
    async fn append(&mut self, entry: &[u8], rotations: u64) -> io::Result<bool> {
        let length = entry.len() as u64;
        let is_full = self.bytes + length > self.largest_bytes.load(Ordering::Relaxed);
        let rotates = self.bytes > 0 && is_full;
        if rotates {
            let aside = |number: u64| self.path.with_extension(format!("log.{number}"));
            tokio::fs::rename(&self.path, aside(rotations)).await?;
            if let Some(oldest) = (rotations + 1).checked_sub(MOST_FILES) {
                tokio::fs::remove_file(aside(oldest)).await?;
            }
            self.file = File::create(&self.path).await?;
            self.bytes = 0;
        }
        self.file.write_all(entry).await?;
        self.file.flush().await?;
        self.bytes += length;
        Ok(rotates)
    }
}

async fn copy_lines(
    stream: &str,
    output: impl AsyncRead + Unpin,
    log: &Mutex<Written>,
    progress: &watch::Sender<Progress>,
) -> io::Result<()> {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut output)
            .take(LONGEST_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await?;
        if line.is_empty() {
            return Ok(());
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        let tag = if whole { 'F' } else { 'P' };
        let mut entry = format!("{:.9} {stream} {tag} ", Timestamp::now()).into_bytes();
        entry.extend_from_slice(&line);
        entry.push(b'\n');
        let mut log = log.lock().await;
        let rotations = progress.borrow().rotations;
        let rotated = log.append(&entry, rotations).await?;
        progress.send_modify(|progress| {
            progress.lines += 1;
            progress.rotations += u64::from(rotated);
        });
    }
}

/// Where the last `count` lines begin.
async fn start_of_last(count: usize, file: &mut BufReader<File>) -> io::Result<u64> {
    let mut starts = VecDeque::new();
    let (mut position, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = file.read_until(b'\n', &mut line).await?;
        if length == 0 {
            return Ok(starts.front().copied().unwrap_or(position));
        }
        starts.push_back(position);
        position += length as u64;
        if starts.len() > count {
            starts.pop_front();
        }
    }
}

/// Reads a log piece by piece.
pub(crate) struct LogReader {
    file: BufReader<File>,
    /// How many files there were before this one.
    rotations: u64,
    written: Arc<Mutex<Written>>,
    progress: watch::Receiver<Progress>,
    options: LogOptions,
    left: u64,
    /// The beginning of a line whose rest was not written yet.
    partial: Vec<u8>,
}

impl LogReader {
    /// The next lines; waits for them when following. `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES && self.left > 0 {
            // Looked at before reading: what is written afterwards wakes the wait below.
            let progress = *self.progress.borrow_and_update();
            self.file.read_until(b'\n', &mut self.partial).await?;
            if self.partial.ends_with(b"\n") {
                self.append(&mut chunk);
                self.partial.clear();
            } else if self.options.follow && progress.rotations > self.rotations {
                (self.file, self.rotations) = open(&self.written, &self.progress).await?;
            } else if !chunk.is_empty()
                || !self.options.follow
                || progress.complete
                || self.progress.changed().await.is_err()
            {
                break;
            }
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }

    fn append(&mut self, chunk: &mut BytesMut) {
        let Some(entry) = Entry::parse(&self.partial) else {
            return;
        };
        if self
            .options
            .since
            .is_some_and(|since| entry.time().is_some_and(|time| time < since))
        {
            return;
        }
        let before = chunk.len();
        if self.options.timestamps {
            chunk.extend_from_slice(entry.timestamp);
            chunk.extend_from_slice(b" ");
        }
        chunk.extend_from_slice(entry.text);
        let added = (chunk.len() - before) as u64;
        if added > self.left {
            chunk.truncate(before + usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(added);
    }
}

struct Entry<'a> {
    timestamp: &'a [u8],
    /// With its newline, unless the line goes on in the next entry.
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (timestamp, _stream, tag, text) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let text = if tag == b"P" {
            text.strip_suffix(b"\n")?
        } else {
            text
        };
        Some(Self { timestamp, text })
    }

    fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.timestamp).ok()?.parse().ok()
    }
}
