//! What follows the data blocks in the file.

use std::io::Read;

use crate::{
    error::ArchiveError,
    header::{Header, find_archive},
    lookalike,
    source::Source,
    toc::{Comparison, Toc},
};

/// How much of what follows is looked at.
const SAMPLE_BYTES: usize = 4096;

/// What follows an archive in its file. pg_restore looks at none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterEnd {
    /// The beginning of the second table of contents that pg_dump writes after the data where it can only append: from
    /// version 16 on wherever standard output is a file. No data is missing, but the file was cut.
    CutTableOfContents {
        /// Where it begins.
        offset: u64,
        /// How much of it is there.
        bytes: u64,
    },
    /// Another archive.
    AnotherArchive {
        /// Where that begins.
        offset: u64,
    },
    /// Other bytes.
    Bytes {
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
        /// What they are.
        what: Trailing,
    },
}

/// What bytes after an archive are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trailing {
    /// Line feeds, carriage returns, blanks.
    Blanks,
    /// NULs.
    Nuls,
    /// Text, with its first line.
    Text(String),
    /// Anything else.
    Other,
}

/// Reads from the end of the last block to the end of the file. Returns where the archive ends, and what follows it.
pub(crate) fn read<R: Read>(
    source: &mut Source<R>,
    header: &Header,
    toc: &Toc,
) -> Result<(u64, Option<AfterEnd>), ArchiveError> {
    let blocks_end = source.offset();
    let sample = source.peek(SAMPLE_BYTES)?;
    if sample.is_empty() {
        return Ok((blocks_end, None));
    }
    match toc.compare(source, header)? {
        Comparison::Same => {
            let end = source.offset();
            let sample = source.peek(SAMPLE_BYTES)?;
            let after = (!sample.is_empty()).then(|| read_rest(source, end, &sample));
            Ok((end, after.transpose()?))
        }
        Comparison::Cut => {
            let after = AfterEnd::CutTableOfContents {
                offset: blocks_end,
                bytes: source.offset() - blocks_end,
            };
            Ok((blocks_end, Some(after)))
        }
        Comparison::Other => {
            let after = read_rest(source, blocks_end, &sample)?;
            Ok((blocks_end, Some(after)))
        }
    }
}

/// Reads to the end of the file, and tells what is there from `offset` on, which begins with `sample`.
fn read_rest<R: Read>(
    source: &mut Source<R>,
    offset: u64,
    sample: &[u8],
) -> Result<AfterEnd, ArchiveError> {
    source.drain()?;
    Ok(match find_archive(sample) {
        Some(begin) => AfterEnd::AnotherArchive {
            offset: offset + begin as u64,
        },
        None => AfterEnd::Bytes {
            offset,
            bytes: source.offset() - offset,
            what: Trailing::from_sample(sample),
        },
    })
}

impl Trailing {
    fn from_sample(sample: &[u8]) -> Self {
        if sample.iter().all(|&byte| byte == 0) {
            Self::Nuls
        } else if sample.trim_ascii().is_empty() {
            Self::Blanks
        } else {
            lookalike::first_line(sample).map_or(Self::Other, Self::Text)
        }
    }
}
