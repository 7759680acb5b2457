//! Verifies a dump while it arrives.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use pg_archive::Archive;

use crate::{TenantRows, Verdict};

/// How much is handed to the verifying thread at a time, and how many of those may wait: 1 MiB in all.
const CHUNK_BYTES: usize = 128 * 1024;
const CHUNKS_WAITING: usize = 8;

/// A thread that walks the archive while it arrives.
pub struct Verifier {
    chunks: SyncSender<Vec<u8>>,
    next: Vec<u8>,
    thread: JoinHandle<Verdict>,
}

impl Verifier {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (chunks, arriving) = sync_channel(CHUNKS_WAITING);
        let thread = thread::Builder::new()
            .name("verify".to_owned())
            .spawn(move || {
                let mut tenants = TenantRows::default();
                let read = Archive::open(Arriving::new(arriving))
                    .and_then(|archive| archive.verify_with(&mut tenants));
                Verdict::from_read(read, tenants)
            })?;
        Ok(Self {
            chunks,
            next: Vec::with_capacity(CHUNK_BYTES),
            thread,
        })
    }

    /// Takes the next bytes of the dump.
    ///
    /// A verifier that has found the dump broken takes no more; the transfer goes on, because the source's own error, if it
    /// has one to tell, explains more than a broken archive does.
    pub fn feed(&mut self, data: &[u8]) {
        self.next.extend_from_slice(data);
        if self.next.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut self.next, Vec::with_capacity(CHUNK_BYTES));
            let _ = self.chunks.send(full);
        }
    }

    /// Waits for the verdict on what was fed.
    pub fn finish(self) -> io::Result<Verdict> {
        let Self {
            chunks,
            next,
            thread,
        } = self;
        let _ = chunks.send(next);
        drop(chunks);
        thread
            .join()
            .map_err(|_| io::Error::other("the verification broke down; this is a bug"))
    }
}

/// The reading end of the chunks.
struct Arriving {
    chunks: Receiver<Vec<u8>>,
    current: io::Cursor<Vec<u8>>,
}

impl Arriving {
    fn new(chunks: Receiver<Vec<u8>>) -> Self {
        Self {
            chunks,
            current: io::Cursor::default(),
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.chunks.recv() {
                Ok(chunk) => self.current = io::Cursor::new(chunk),
                // The sender is gone: that was all.
                Err(_) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_arrive_as_one_stream_of_bytes() {
        let (sender, receiver) = sync_channel(4);
        for chunk in [b"abc".to_vec(), Vec::new(), b"de".to_vec()] {
            sender.send(chunk).unwrap();
        }
        drop(sender);
        let mut text = String::new();
        Arriving::new(receiver).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
    }
}
