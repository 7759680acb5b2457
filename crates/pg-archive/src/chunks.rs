//! The framing of a data block: chunks, each with its length before it, up to a chunk of length zero.

use std::io::{self, BufRead, Read};

use crate::{
    error::{ArchiveError, ErrorKind, field},
    source::{Source, clamp_len, source_failed},
};

/// The payload of one block's chunks, as one stream that ends with the block.
pub(crate) struct Chunks<R> {
    source: Source<R>,
    remaining: u64,
    ended: bool,
    /// Whether someone asked for more than there was. Decoders differ in how they tell that their input ended too
    /// early, and some do not tell at all.
    starved: bool,
    stored_bytes: u64,
    /// What went wrong below a decoder, which knows only I/O errors.
    failure: Option<ArchiveError>,
}

impl<R: Read> Chunks<R> {
    pub(crate) fn new(source: Source<R>) -> Self {
        Self {
            source,
            remaining: 0,
            ended: false,
            starved: false,
            stored_bytes: 0,
            failure: None,
        }
    }

    /// The next bytes, without copying them; none at the end of the block.
    pub(crate) fn fill(&mut self) -> Result<&[u8], ArchiveError> {
        if self.remaining == 0 && !self.ended {
            let length = self.source.int("the length of a chunk")?;
            self.remaining = u64::try_from(length).map_err(|_| {
                self.source.error(field(
                    "the length of a chunk",
                    length,
                    "a positive number, or 0 for the end",
                ))
            })?;
            self.ended = length == 0;
        }
        if self.ended {
            self.starved = true;
            return Ok(&[]);
        }
        let remaining = self.remaining;
        if self.source.fill()?.is_empty() {
            return Err(self.source.error(ErrorKind::Truncated {
                expected: "the rest of a chunk",
            }));
        }
        let available = self.source.fill()?;
        Ok(&available[..clamp_len(available, remaining)])
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.source.consume(bytes);
        self.remaining -= bytes as u64;
        self.stored_bytes += bytes as u64;
    }

    /// Passes over what is left of the block.
    pub(crate) fn skip(mut self) -> Result<Source<R>, ArchiveError> {
        loop {
            match self.fill()?.len() {
                0 => return Ok(self.source),
                bytes => self.advance(bytes),
            }
        }
    }

    pub(crate) fn starved(&self) -> bool {
        self.starved
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) -> ArchiveError {
        self.source.error(kind)
    }

    pub(crate) fn take_failure(&mut self) -> Option<ArchiveError> {
        self.failure.take()
    }

    pub(crate) fn into_source(self) -> Source<R> {
        self.source
    }
}

impl<R: Read> BufRead for Chunks<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.fill() {
            self.failure = Some(error);
            return Err(source_failed());
        }
        self.fill().map_err(|_| source_failed())
    }

    fn consume(&mut self, bytes: usize) {
        self.advance(bytes);
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let bytes = available.len().min(target.len());
        target[..bytes].copy_from_slice(&available[..bytes]);
        self.advance(bytes);
        Ok(bytes)
    }
}
