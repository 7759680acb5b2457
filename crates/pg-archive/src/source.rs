//! The file as a forward-only stream that knows its offset, and the primitive values in it.

use std::io::{self, BufRead, BufReader, ErrorKind as IoErrorKind, Read};

use crate::error::{ArchiveError, ErrorKind, field};

const BUFFER_BYTES: usize = 64 * 1024;

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
    int_width: Width,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            offset: 0,
            int_width: Width::Four,
        }
    }

    pub(crate) fn set_int_width(&mut self, width: Width) {
        self.int_width = width;
    }

    /// Bytes consumed so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) -> ArchiveError {
        ArchiveError::new(kind, self.offset)
    }

    /// Buffered bytes; none only at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<&[u8], ArchiveError> {
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != IoErrorKind::Interrupted {
                return Err(self.error(ErrorKind::Io(error)));
            }
        }
        Ok(self.reader.buffer())
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.offset += bytes as u64;
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

    /// A string, or none for NULL. Names are in the encoding of the database: what is not UTF-8 is replaced by `U+FFFD`.
    pub(crate) fn string(
        &mut self,
        what: &'static str,
        limit_bytes: u32,
    ) -> Result<Option<String>, ArchiveError> {
        let Some(length) = self.string_length(what)? else {
            return Ok(None);
        };
        if length > u64::from(limit_bytes) {
            return Err(self.error(ErrorKind::TooLarge {
                what,
                limit_bytes: limit_bytes.into(),
            }));
        }
        // Grows with what arrives: the declared length is only a claim.
        let mut bytes = Vec::new();
        self.each_slice(length, what, |slice| bytes.extend_from_slice(slice))?;
        Ok(Some(String::from_utf8(bytes).unwrap_or_else(|error| {
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })))
    }

    /// Passes over a string without holding it.
    pub(crate) fn skip_string(&mut self, what: &'static str) -> Result<(), ArchiveError> {
        match self.string_length(what)? {
            Some(length) => self.each_slice(length, what, |_| {}),
            None => Ok(()),
        }
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
