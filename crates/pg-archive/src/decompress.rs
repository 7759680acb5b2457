//! The compressed stream inside a data block.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdDecoder};

use crate::{chunks::Chunks, header::Compression};

/// The largest Zstandard window that is decoded, which is what pg_restore decodes too: `zstd:level=22` and `zstd:long`
/// need this much, the default level a 64th of it.
const ZSTD_WINDOW_LIMIT_BYTES: u64 = 128 * 1024 * 1024;

/// Decompresses the chunks of one block. It reads nothing behind the end of the compressed stream, so that
/// [`Chunks::starved`] tells whether that end was there.
pub(crate) enum Decompressor<R: Read> {
    Gzip(Inflate<R>),
    Lz4(Box<Lz4Decoder<Chunks<R>>>),
    Zstd(Zstd<R>),
}

impl<R: Read> Decompressor<R> {
    /// Gives the chunks back if there is nothing to decompress.
    pub(crate) fn new(chunks: Chunks<R>, compression: Compression) -> Result<Self, Chunks<R>> {
        match compression {
            Compression::None => Err(chunks),
            Compression::Gzip => Ok(Self::Gzip(Inflate::new(chunks))),
            Compression::Lz4 => Ok(Self::Lz4(Box::new(Lz4Decoder::new(chunks)))),
            Compression::Zstd => Ok(Self::Zstd(Zstd::new(chunks))),
        }
    }

    pub(crate) fn chunks(&mut self) -> &mut Chunks<R> {
        match self {
            Self::Gzip(inflate) => &mut inflate.chunks,
            Self::Lz4(decoder) => decoder.get_mut(),
            Self::Zstd(zstd) => &mut zstd.chunks,
        }
    }

    pub(crate) fn into_chunks(self) -> Chunks<R> {
        match self {
            Self::Gzip(inflate) => inflate.chunks,
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Zstd(zstd) => zstd.chunks,
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(inflate) => inflate.read(target),
            Self::Lz4(decoder) => decoder.read(target),
            Self::Zstd(zstd) => zstd.read(target),
        }
    }
}

/// A zlib stream. flate2's own reader does not tell a stream that ends from one that stops.
pub(crate) struct Inflate<R> {
    chunks: Chunks<R>,
    state: Decompress,
    ended: bool,
}

impl<R: Read> Inflate<R> {
    fn new(chunks: Chunks<R>) -> Self {
        Self {
            chunks,
            state: Decompress::new(true),
            ended: false,
        }
    }

    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let (read_before, written_before) = (self.state.total_in(), self.state.total_out());
            let input = self.chunks.fill_buf()?;
            let starved = input.is_empty();
            let status = self
                .state
                .decompress(input, target, FlushDecompress::None)?;
            let read =
                usize::try_from(self.state.total_in() - read_before).map_err(io::Error::other)?;
            let written = usize::try_from(self.state.total_out() - written_before)
                .map_err(io::Error::other)?;
            self.chunks.consume(read);
            self.ended = status == Status::StreamEnd;
            if written > 0 || starved {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

/// A Zstandard frame.
pub(crate) struct Zstd<R> {
    chunks: Chunks<R>,
    frame: Box<ZstdDecoder>,
    opened: bool,
}

impl<R: Read> Zstd<R> {
    fn new(chunks: Chunks<R>) -> Self {
        let mut frame = Box::new(ZstdDecoder::new());
        frame.set_max_window_size(ZSTD_WINDOW_LIMIT_BYTES);
        Self {
            chunks,
            frame,
            opened: false,
        }
    }

    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if !self.opened {
            self.frame
                .init(&mut self.chunks)
                .map_err(io::Error::other)?;
            self.opened = true;
        }
        while self.frame.can_collect() == 0 && !self.frame.is_finished() {
            self.frame
                .decode_blocks(&mut self.chunks, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
        let read = self.frame.read(target)?;
        if read == 0 {
            self.check_sum()?;
        }
        Ok(read)
    }

    /// pg_dump asks for no checksum, but a frame may have one.
    fn check_sum(&self) -> io::Result<()> {
        match self.frame.get_checksum_from_data() {
            Some(recorded) if Some(recorded) != self.frame.get_calculated_checksum() => {
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the checksum of the Zstandard frame does not match",
                ))
            }
            _ => Ok(()),
        }
    }
}
