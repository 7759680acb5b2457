//! The content of a data block: its chunks, decompressed.

use std::io::{BufRead, BufReader, Read};

use crate::{
    chunks::Chunks,
    decompress::Decompressor,
    error::{ArchiveError, Corruption, ErrorKind},
    header::Compression,
    source::Source,
};

const BUFFER_BYTES: usize = 64 * 1024;

/// A data block while it is read. It owns the stream, and gives it back at the end of the block.
pub(crate) struct Content<R: Read> {
    reader: Reader<R>,
    ended: bool,
    bytes: u64,
}

enum Reader<R: Read> {
    Stored(Chunks<R>),
    Compressed(BufReader<Decompressor<R>>),
}

impl<R: Read> Reader<R> {
    fn compressed(decompressor: Decompressor<R>) -> Self {
        Self::Compressed(BufReader::with_capacity(BUFFER_BYTES, decompressor))
    }
}

/// How large a block turned out to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) stored_bytes: u64,
}

impl<R: Read> Content<R> {
    pub(crate) fn new(source: Source<R>, compression: Compression) -> Result<Self, ArchiveError> {
        let begin = source.offset();
        let chunks = Chunks::new(source);
        let reader = match compression {
            Compression::None => Reader::Stored(chunks),
            Compression::Gzip => Reader::compressed(Decompressor::gzip(chunks)),
            Compression::Lz4 => Reader::compressed(Decompressor::lz4(chunks)),
            Compression::Zstd => Reader::compressed(
                Decompressor::zstd(chunks)
                    .map_err(|error| ArchiveError::new(ErrorKind::Io(error), begin))?,
            ),
        };
        Ok(Self {
            reader,
            ended: false,
            bytes: 0,
        })
    }

    /// The next bytes; none at the end of the block.
    pub(crate) fn fill(&mut self) -> Result<&[u8], ArchiveError> {
        match &mut self.reader {
            Reader::Stored(chunks) => chunks.fill(),
            Reader::Compressed(_) if self.ended => Ok(&[]),
            Reader::Compressed(reader) => {
                if let Err(error) = reader.fill_buf() {
                    let chunks = reader.get_mut().chunks();
                    return Err(chunks.take_failure().unwrap_or_else(|| {
                        let corruption = if chunks.starved() {
                            Corruption::ShortStream
                        } else {
                            Corruption::Decompression(error)
                        };
                        chunks.error(corruption)
                    }));
                }
                if reader.buffer().is_empty() {
                    check_end(reader.get_mut().chunks())?;
                    self.ended = true;
                }
                Ok(reader.buffer())
            }
        }
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        match &mut self.reader {
            Reader::Stored(chunks) => chunks.advance(bytes),
            Reader::Compressed(reader) => reader.consume(bytes),
        }
    }

    pub(crate) fn error(&mut self, kind: impl Into<ErrorKind>) -> ArchiveError {
        match &mut self.reader {
            Reader::Stored(chunks) => chunks.error(kind),
            Reader::Compressed(reader) => reader.get_mut().chunks().error(kind),
        }
    }

    /// Reads what is left of the block, and gives back the stream after it.
    pub(crate) fn finish(mut self) -> Result<(Source<R>, Size), ArchiveError> {
        loop {
            match self.fill()?.len() {
                0 => break,
                bytes => self.consume(bytes),
            }
        }
        let chunks = match self.reader {
            Reader::Stored(chunks) => chunks,
            Reader::Compressed(reader) => reader.into_inner().into_chunks(),
        };
        let size = Size {
            bytes: self.bytes,
            stored_bytes: chunks.stored_bytes(),
        };
        Ok((chunks.into_source(), size))
    }
}

/// The compressed stream and the chunks that carry it must end together.
fn check_end<R: Read>(chunks: &mut Chunks<R>) -> Result<(), ArchiveError> {
    if chunks.starved() {
        return Err(chunks.error(Corruption::ShortStream));
    }
    if !chunks.fill()?.is_empty() {
        return Err(chunks.error(Corruption::LongStream));
    }
    Ok(())
}
