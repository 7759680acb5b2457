//! The compressed stream inside a data block.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use zstd::Decoder as ZstdDecoder;

use crate::chunks::Chunks;

/// The largest Zstandard window that is decoded, which is what pg_restore decodes too, 128 MiB: `zstd:level=22` and
/// `zstd:long` need this much, the default level a 64th of it.
const ZSTD_WINDOW_LIMIT_LOG2: u32 = 27;

/// Decompresses the chunks of one block. It reads nothing after the end of the compressed stream, so that
/// [`Chunks::starved`] tells whether that end was there.
pub(crate) enum Decompressor<R: Read> {
    Gzip(Inflate<R>),
    Lz4(Box<Lz4Decoder<Chunks<R>>>),
    Zstd(ZstdDecoder<'static, Chunks<R>>),
}

impl<R: Read> Decompressor<R> {
    pub(crate) fn gzip(chunks: Chunks<R>) -> Self {
        Self::Gzip(Inflate {
            chunks,
            state: Decompress::new(true),
            ended: false,
        })
    }

    pub(crate) fn lz4(chunks: Chunks<R>) -> Self {
        Self::Lz4(Box::new(Lz4Decoder::new(chunks)))
    }

    pub(crate) fn zstd(chunks: Chunks<R>) -> io::Result<Self> {
        let mut decoder = ZstdDecoder::with_buffer(chunks)?.single_frame();
        decoder.window_log_max(ZSTD_WINDOW_LIMIT_LOG2)?;
        Ok(Self::Zstd(decoder))
    }

    pub(crate) fn chunks(&mut self) -> &mut Chunks<R> {
        match self {
            Self::Gzip(inflate) => &mut inflate.chunks,
            Self::Lz4(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    pub(crate) fn into_chunks(self) -> Chunks<R> {
        match self {
            Self::Gzip(inflate) => inflate.chunks,
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(inflate) => inflate.read(target),
            Self::Lz4(decoder) => decoder.read(target),
            Self::Zstd(decoder) => decoder.read(target),
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
