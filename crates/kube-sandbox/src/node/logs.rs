//! Container logs, kept in the files and the line format of a real node's `/var/log/pods` (CRI logging).
//!
//! Left out: rotation.

use std::{
    collections::VecDeque,
    io::{self, SeekFrom},
    path::PathBuf,
    sync::Arc,
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

/// The log of one run of a container.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    progress: watch::Receiver<Progress>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    bytes: u64,
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
    /// Starts to write what a container puts out.
    pub(super) async fn record(path: PathBuf, output: ContainerOutput) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        let (progress, receiver) = watch::channel(Progress::default());
        let file = Arc::new(Mutex::new(File::create(&path).await?));
        tokio::spawn(async move {
            let ContainerOutput { stdout, stderr } = output;
            let both = tokio::join!(
                copy_lines("stdout", stdout, &file, &progress),
                copy_lines("stderr", stderr, &file, &progress)
            );
            if let (Err(error), _) | (_, Err(error)) = both {
                tracing::warn!(%error, "a container's log is incomplete");
            }
            progress.send_modify(|progress| progress.complete = true);
        });
        Ok(Self {
            path,
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
        let mut file = BufReader::new(File::open(&self.path).await?);
        if let Some(lines) = options.tail_lines {
            let start = start_of_last(lines, &mut file).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        Ok(LogReader {
            file,
            progress: self.progress.clone(),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            options,
            partial: Vec::new(),
        })
    }
}

async fn copy_lines(
    stream: &str,
    output: impl AsyncRead + Unpin,
    file: &Mutex<File>,
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
        let mut file = file.lock().await;
        file.write_all(&entry).await?;
        file.flush().await?;
        progress.send_modify(|progress| progress.bytes += entry.len() as u64);
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
