//! The file as a forward-only stream that knows its offset, and the primitive values in it.

use std::io::{self, BufRead, BufReader, ErrorKind as IoErrorKind, Read};

use flate2::Crc;

use crate::{
    alteration::Alteration,
    error::{ArchiveError, ErrorKind, field},
};

const BUFFER_BYTES: usize = 64 * 1024;

/// How much of the beginning of the file is kept, to see what happened to a file that turns out to be damaged.
const START_BYTES: usize = 16 * 1024;

/// How many bytes an integer or a file offset takes on disk; the header says so once for the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Four,
    Eight,
}

impl Width {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }
}

pub(crate) struct Source<R> {
    reader: BufReader<R>,
    offset: u64,
    /// Where in the file the archive begins.
    archive_begin: u64,
    int_width: Width,
    /// What was peeked at, and how much of it has been consumed.
    again: Vec<u8>,
    again_read: usize,
    start: Vec<u8>,
    /// The checksum of what is being read, while somebody wants one.
    checksum: Option<Crc>,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            offset: 0,
            archive_begin: 0,
            int_width: Width::Four,
            again: Vec::new(),
            again_read: 0,
            start: Vec::new(),
            checksum: None,
        }
    }

    /// Passes over `bytes` bytes that were peeked at; the archive begins after them.
    pub(crate) fn begin_archive_after(&mut self, bytes: usize) {
        self.consume(bytes);
        self.start.clear();
        self.archive_begin = self.offset;
    }

    /// The next bytes without consuming them: so many, or all that there are.
    pub(crate) fn peek(&mut self, bytes: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut ahead = self.again.split_off(self.again_read);
        self.again.clear();
        self.again_read = 0;
        while ahead.len() < bytes {
            let available = self.fill()?;
            if available.is_empty() {
                break;
            }
            let taken = available.len().min(bytes - ahead.len());
            ahead.extend_from_slice(&available[..taken]);
            self.reader.consume(taken);
        }
        self.again = ahead;
        let peeked = self.again.len().min(bytes);
        Ok(self.again[..peeked].to_vec())
    }

    pub(crate) fn set_int_width(&mut self, width: Width) {
        self.int_width = width;
    }

    /// Bytes consumed so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the archive consumed so far, which is what the offsets in it count.
    pub(crate) fn archive_offset(&self) -> u64 {
        self.offset - self.archive_begin
    }

    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) -> ArchiveError {
        let kind = kind.into();
        let alteration = kind
            .is_damage()
            .then(|| Alteration::find(&self.start, self.buffered()))
            .flatten();
        ArchiveError::new(kind, self.offset).altered(alteration)
    }

    fn buffered(&self) -> &[u8] {
        match &self.again[self.again_read..] {
            [] => self.reader.buffer(),
            again => again,
        }
    }

    /// Buffered bytes; none only at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<&[u8], ArchiveError> {
        if self.again_read < self.again.len() {
            return Ok(&self.again[self.again_read..]);
        }
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != IoErrorKind::Interrupted {
                return Err(self.error(ErrorKind::Io(error)));
            }
        }
        Ok(self.reader.buffer())
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        let consumed = match &self.again[self.again_read..] {
            [] => &self.reader.buffer()[..bytes],
            again => &again[..bytes],
        };
        let kept = consumed.len().min(START_BYTES - self.start.len());
        self.start.extend_from_slice(&consumed[..kept]);
        if let Some(checksum) = &mut self.checksum {
            checksum.update(consumed);
        }
        if self.again_read < self.again.len() {
            self.again_read += bytes;
        } else {
            self.reader.consume(bytes);
        }
        self.offset += bytes as u64;
    }

    /// Begins a checksum of what is read from here on.
    pub(crate) fn begin_checksum(&mut self) {
        self.checksum = Some(Crc::new());
    }

    /// The checksum of what was read since it was begun.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.as_ref().map_or(0, Crc::sum)
    }

    pub(crate) fn end_checksum(&mut self) {
        self.checksum = None;
    }

    /// Reads something that the checksum leaves out.
    pub(crate) fn unchecked<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let checksum = self.checksum.take();
        let value = read(self);
        self.checksum = checksum;
        value
    }

    /// Reads to the end of the file.
    pub(crate) fn drain(&mut self) -> Result<(), ArchiveError> {
        loop {
            match self.fill()?.len() {
                0 => return Ok(()),
                bytes => self.consume(bytes),
            }
        }
    }

    /// Reads as much of `target` as the file has; returns how much that is.
    pub(crate) fn read_up_to(&mut self, target: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut filled = 0;
        while filled < target.len() {
            let available = self.fill()?;
            if available.is_empty() {
                break;
            }
            let bytes = available.len().min(target.len() - filled);
            target[filled..filled + bytes].copy_from_slice(&available[..bytes]);
            self.consume(bytes);
            filled += bytes;
        }
        Ok(filled)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        if self.read_up_to(&mut bytes)? < N {
            return Err(self.error(ErrorKind::Truncated { expected: what }));
        }
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, ArchiveError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// The next byte, or none at the end of the file.
    pub(crate) fn next_byte(&mut self) -> Result<Option<u8>, ArchiveError> {
        let Some(&byte) = self.fill()?.first() else {
            return Ok(None);
        };
        self.consume(1);
        Ok(Some(byte))
    }

    /// An integer: a sign byte, then the magnitude, least significant byte first.
    pub(crate) fn int(&mut self, what: &'static str) -> Result<i32, ArchiveError> {
        let (sign, magnitude) = match self.int_width {
            Width::Four => {
                let [sign, magnitude @ ..] = self.array::<5>(what)?;
                (sign, u64::from(u32::from_le_bytes(magnitude)))
            }
            Width::Eight => {
                let [sign, magnitude @ ..] = self.array::<9>(what)?;
                (sign, u64::from_le_bytes(magnitude))
            }
        };
        let value = match sign {
            0 => i32::try_from(magnitude).ok(),
            1 => 0_i64
                .checked_sub_unsigned(magnitude)
                .and_then(|value| i32::try_from(value).ok()),
            _ => None,
        };
        value.ok_or_else(|| {
            self.error(field(
                what,
                format_args!("sign {sign}, magnitude {magnitude}"),
                "a 32-bit integer",
            ))
        })
    }

    /// A file offset: an unsigned number, least significant byte first.
    pub(crate) fn file_offset(
        &mut self,
        width: Width,
        what: &'static str,
    ) -> Result<u64, ArchiveError> {
        match width {
            Width::Four => self
                .array(what)
                .map(|bytes| u64::from(u32::from_le_bytes(bytes))),
            Width::Eight => self.array(what).map(u64::from_le_bytes),
        }
    }

    /// The length of a string that follows, or none for a string that is NULL.
    fn string_length(&mut self, what: &'static str) -> Result<Option<u64>, ArchiveError> {
        match self.int(what)? {
            -1 => Ok(None),
            length => match u64::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(self.error(field(
                    what,
                    format_args!("a string of length {length}"),
                    "a length, or -1 for NULL",
                ))),
            },
        }
    }

    /// A string, or none for NULL; of a longer one than `kept_bytes` only the beginning. Names are in the encoding of the
    /// database: what is not UTF-8 is replaced by `U+FFFD`.
    pub(crate) fn string(
        &mut self,
        what: &'static str,
        kept_bytes: usize,
    ) -> Result<Option<String>, ArchiveError> {
        let Some(length) = self.string_length(what)? else {
            return Ok(None);
        };
        // Grows with what arrives: the declared length is only a claim.
        let mut bytes = Vec::new();
        self.each_slice(length, what, |slice| {
            let kept = slice.len().min(kept_bytes - bytes.len());
            bytes.extend_from_slice(&slice[..kept]);
        })?;
        Ok(Some(String::from_utf8(bytes).unwrap_or_else(|error| {
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })))
    }

    /// Passes over a string without holding it; returns its length, or none for NULL.
    pub(crate) fn skip_string(&mut self, what: &'static str) -> Result<Option<u64>, ArchiveError> {
        let length = self.string_length(what)?;
        self.each_slice(length.unwrap_or(0), what, |_| {})?;
        Ok(length)
    }

    fn each_slice(
        &mut self,
        length: u64,
        what: &'static str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ArchiveError> {
        let mut remaining = length;
        while remaining > 0 {
            let available = self.fill()?;
            if available.is_empty() {
                return Err(self.error(ErrorKind::Truncated { expected: what }));
            }
            let bytes = clamp_len(available, remaining);
            take(&available[..bytes]);
            self.consume(bytes);
            remaining -= bytes as u64;
        }
        Ok(())
    }
}

/// How much of `available` belongs to something that has `remaining` bytes left.
pub(crate) fn clamp_len(available: &[u8], remaining: u64) -> usize {
    usize::try_from(remaining).map_or(available.len(), |remaining| available.len().min(remaining))
}

/// The error a decoder sees when the source failed; the cause itself is kept beside it.
pub(crate) fn source_failed() -> io::Error {
    io::Error::other("the archive cannot be read")
}
