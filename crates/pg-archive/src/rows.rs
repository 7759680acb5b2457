//! Reading the content of a table's block: counting its rows, or yielding them.

use std::{io::Read, sync::Arc};

use memchr::{memchr, memchr_iter};

use crate::{
    content::Content,
    copy::{END_OF_DATA, Row},
    error::{ArchiveError, Corruption, ErrorKind},
};

/// Counts the rows of COPY data without holding any: every newline ends one, but those of the end-of-data mark.
pub(crate) fn count<R: Read>(content: &mut Content<R>) -> Result<u64, ArchiveError> {
    let mut newlines = 0;
    let mut tail = Tail::default();
    loop {
        let data = content.fill()?;
        if data.is_empty() {
            break;
        }
        newlines += memchr_iter(b'\n', data).count() as u64;
        tail.push(data);
        let bytes = data.len();
        content.consume(bytes);
    }
    if !tail.ends_copy() {
        return Err(content.error(Corruption::UnterminatedCopy));
    }
    Ok(newlines - memchr_iter(b'\n', END_OF_DATA).count() as u64)
}

/// The last bytes of a stream: enough for the end-of-data mark and the newline before it. A stream begins as if after
/// a newline.
struct Tail([u8; END_OF_DATA.len() + 1]);

impl Default for Tail {
    fn default() -> Self {
        Self([b'\n'; END_OF_DATA.len() + 1])
    }
}

impl Tail {
    fn push(&mut self, data: &[u8]) {
        let kept = self.0.len();
        if let Some(last) = data.last_chunk() {
            self.0 = *last;
        } else {
            self.0.rotate_left(data.len());
            self.0[kept - data.len()..].copy_from_slice(data);
        }
    }

    fn ends_copy(&self) -> bool {
        self.0[0] == b'\n' && &self.0[1..] == END_OF_DATA
    }
}

/// Reads the rows of one table, one at a time, into the same buffers.
pub(crate) struct RowReader {
    row: Row,
    line: Vec<u8>,
    limit_bytes: usize,
}

impl RowReader {
    pub(crate) fn new(columns: Vec<String>, limit_bytes: usize) -> Self {
        Self {
            row: Row::new(Arc::from(columns)),
            line: Vec::new(),
            limit_bytes,
        }
    }

    pub(crate) fn columns(&self) -> &[String] {
        self.row.columns()
    }

    /// The next row, or none after the last one. A row that is too large is an error.
    pub(crate) fn next<R: Read>(
        &mut self,
        content: &mut Content<R>,
    ) -> Result<Option<&Row>, ArchiveError> {
        let limit_bytes = self.limit_bytes as u64;
        match self.next_line(content)? {
            Line::End => Ok(None),
            Line::TooLarge => Err(content.error(ErrorKind::TooLarge {
                what: "a row",
                limit_bytes,
            })),
            Line::Row(row) => Ok(Some(row)),
        }
    }

    /// The next row, passed over where it is too large.
    pub(crate) fn next_line<R: Read>(
        &mut self,
        content: &mut Content<R>,
    ) -> Result<Line<'_>, ArchiveError> {
        match self.read_line(content)? {
            LineRead::None => return Err(content.error(Corruption::UnterminatedCopy)),
            LineRead::TooLarge => return Ok(Line::TooLarge),
            LineRead::Whole => {}
        }
        if self.line == b"\\." {
            return if self.at_end(content)? {
                Ok(Line::End)
            } else {
                Err(content.error(Corruption::UnterminatedCopy))
            };
        }
        let found = self.row.decode(&self.line);
        let expected = self.row.columns().len();
        if found != expected {
            return Err(content.error(Corruption::FieldCount { expected, found }));
        }
        Ok(Line::Row(&self.row))
    }

    /// Whether only the two empty lines follow that pg_dump writes after the end-of-data line.
    fn at_end<R: Read>(&mut self, content: &mut Content<R>) -> Result<bool, ArchiveError> {
        for _ in 0..2 {
            if self.read_line(content)? != LineRead::Whole || !self.line.is_empty() {
                return Ok(false);
            }
        }
        Ok(content.fill()?.is_empty())
    }

    /// Reads a line without its newline.
    fn read_line<R: Read>(&mut self, content: &mut Content<R>) -> Result<LineRead, ArchiveError> {
        self.line.clear();
        let mut fits = true;
        loop {
            let data = content.fill()?;
            if data.is_empty() {
                return Ok(LineRead::None);
            }
            let newline = memchr(b'\n', data);
            let part = &data[..newline.unwrap_or(data.len())];
            fits &= self.line.len() + part.len() <= self.limit_bytes;
            if fits {
                self.line.extend_from_slice(part);
            }
            let bytes = newline.map_or(data.len(), |newline| newline + 1);
            content.consume(bytes);
            if newline.is_some() {
                return Ok(if fits {
                    LineRead::Whole
                } else {
                    LineRead::TooLarge
                });
            }
        }
    }
}

/// What the next row is.
pub(crate) enum Line<'r> {
    Row(&'r Row),
    /// Larger than the limit, and passed over.
    TooLarge,
    /// There are no more.
    End,
}

/// How much of a line was read.
#[derive(PartialEq, Eq)]
enum LineRead {
    Whole,
    /// More than the limit, of which the beginning was kept.
    TooLarge,
    /// The block ends before one does.
    None,
}
