//! The thread that reads the file back from its beginning, after the streams: hashes it and feeds the sink.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::mpsc,
    thread,
};

use tokio::sync::oneshot;
use transfer_proof::{Hasher, Measured};

use crate::download::Sink;

const CHUNK_BYTES: usize = 256 << 10;

/// Why the thread gave up.
#[derive(Debug)]
pub(super) enum ReadBackError {
    /// The data could not be read back.
    Read(io::Error),
    /// The sink could not take it.
    Sink(io::Error),
}

/// A handle of the thread. When it is dropped, the thread drops the sink unfinished.
pub(super) struct ReadBack<T> {
    verdict: oneshot::Sender<()>,
    finished: oneshot::Receiver<io::Result<T>>,
}

/// Hears size and SHA-256 of the whole file once all of it was read.
pub(super) type DigestReceiver = oneshot::Receiver<Result<Measured, ReadBackError>>;

impl<T: Send + 'static> ReadBack<T> {
    /// Starts the thread, which reads `data` up to where `frontier` says it may, and `bytes` in all.
    pub(super) fn start(
        data: File,
        bytes: u64,
        frontier: mpsc::Receiver<u64>,
        sink: impl Sink<Finished = T>,
    ) -> io::Result<(Self, DigestReceiver)> {
        let (report, digest) = oneshot::channel();
        let (verdict, verdict_heard) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        thread::Builder::new()
            .name("fetch-verify".to_owned())
            .spawn(move || {
                let mut sink = sink;
                let Some(result) = read_behind(data, bytes, &frontier, &mut sink).transpose()
                else {
                    return;
                };
                let good = result.is_ok();
                let _ = report.send(result);
                if good && verdict_heard.blocking_recv().is_ok() {
                    let _ = finish.send(sink.finish());
                }
            })?;
        Ok((Self { verdict, finished }, digest))
    }

    /// Finishes the sink, which got the whole file.
    pub(super) async fn finish(self) -> io::Result<T> {
        // When the thread is gone, its silence tells.
        let _ = self.verdict.send(());
        self.finished
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the verifying thread panicked")))
    }
}

/// `None` when the fetch was given up.
fn read_behind(
    mut data: File,
    bytes: u64,
    frontier: &mpsc::Receiver<u64>,
    sink: &mut impl Sink,
) -> Result<Option<Measured>, ReadBackError> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut position = 0;
    while position < bytes {
        let Ok(limit) = frontier.recv() else {
            return Ok(None);
        };
        while position < limit {
            let rest = usize::try_from(limit - position).unwrap_or(usize::MAX);
            let chunk = &mut buffer[..CHUNK_BYTES.min(rest)];
            data.read_exact(chunk).map_err(ReadBackError::Read)?;
            hasher.update(chunk);
            sink.write(chunk).map_err(ReadBackError::Sink)?;
            position += chunk.len() as u64;
        }
    }
    Ok(Some(hasher.measured()))
}
