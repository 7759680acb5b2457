//! The progress of a transfer, as a handle whose drop ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Event, Reporter, Share, next_id};

/// The progress of one transfer, of which there may be several at a time. It ends when this is dropped, one way or the
/// other: what became of it, the work says.
pub struct TransferProgress<'a> {
    reporter: &'a dyn Reporter,
    id: u64,
    file: Arc<str>,
    of: Option<u64>,
    /// All the files together, where there are several: as far as they were when this one began.
    overall: Option<Share>,
    bytes: AtomicU64,
    began: Instant,
}

impl<'a> TransferProgress<'a> {
    /// A transfer of `file` begins, which has `of` bytes where that is known. `overall` says how far all the files of the
    /// command are, where there are several.
    pub fn begin(
        reporter: &'a dyn Reporter,
        file: impl Into<Arc<str>>,
        of: Option<u64>,
        overall: Option<Share>,
    ) -> Self {
        let (id, file) = (next_id(), file.into());
        reporter.report(&Event::TransferStarted {
            id,
            file: Arc::clone(&file),
            of,
        });
        Self {
            reporter,
            id,
            file,
            of,
            overall,
            bytes: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// So many bytes of the file are here by now.
    pub fn received(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.reporter.report(&Event::Received {
            id: self.id,
            file: Arc::clone(&self.file),
            bytes,
            of: self.of,
            overall: self.overall.map(|share| Share {
                bytes: share.bytes + bytes,
                ..share
            }),
        });
    }
}

impl Drop for TransferProgress<'_> {
    fn drop(&mut self) {
        self.reporter.report(&Event::TransferEnded {
            id: self.id,
            file: Arc::clone(&self.file),
            bytes: self.bytes.load(Ordering::Relaxed),
            duration: self.began.elapsed(),
        });
    }
}
