//! Received frames on their way to a thread that writes them.

use bytes::Bytes;

/// How much may wait for a writing thread: a few milliseconds of a fast network. The socket's buffer holds the rest.
pub(crate) const QUEUE_BYTES: usize = 2 << 20;
/// What crosses to the thread at once: frames are often 4 KiB, and waking a thread for each costs more than hashing it.
const BATCH_BYTES: usize = 128 << 10;
/// What a frame costs beside its payload, so that a flood of tiny frames is bounded too.
const FRAME_OVERHEAD_BYTES: usize = size_of::<Bytes>();

/// Frames collected for the thread.
#[derive(Default)]
pub(crate) struct Batch {
    frames: Vec<Bytes>,
    cost_bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.cost_bytes += frame.len() + FRAME_OVERHEAD_BYTES;
        self.frames.push(frame);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.cost_bytes >= BATCH_BYTES
    }

    /// What it takes of [`QUEUE_BYTES`]; never more than there is.
    pub(crate) fn permits(&self) -> u32 {
        u32::try_from(self.cost_bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX)
    }

    pub(crate) fn into_frames(self) -> Vec<Bytes> {
        self.frames
    }
}
