//! What can be wrong with an archive, and where.

use std::{fmt, io};

use crate::header::Version;

/// Why an archive could not be read: what happened, at which byte, in which part of the file.
#[derive(Debug)]
pub struct ArchiveError(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    offset: u64,
    place: Option<Place>,
}

impl ArchiveError {
    pub(crate) fn new(kind: impl Into<ErrorKind>, offset: u64) -> Self {
        Self(Box::new(Details {
            kind: kind.into(),
            offset,
            place: None,
        }))
    }

    /// Names the part of the archive, unless something closer to the cause already did.
    pub(crate) fn in_place(mut self, place: impl FnOnce() -> Place) -> Self {
        self.0.place.get_or_insert_with(place);
        self
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// How many bytes of the file, from its beginning, had been read when the fault was noticed. Damage inside a
    /// compressed block lies at or before this byte.
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The part of the archive that was being read, where one is known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            kind,
            offset,
            place,
        } = &*self.0;
        write!(f, "{kind} (at byte {offset}")?;
        if let Some(place) = place {
            write!(f, ", in {place}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ArchiveError {
    // `kind` is part of this error's own message, so the chain goes on with what caused it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.kind)
    }
}

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Magic, version, sizes, compression, time, names.
    Header,
    /// The list of objects behind the header.
    TableOfContents,
    /// Between the data blocks, or behind the last one.
    BetweenBlocks,
    /// The data block of an entry, e.g. `table public.tenant`.
    Data(String),
    /// One large object.
    LargeObject(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::TableOfContents => f.write_str("the table of contents"),
            Self::BetweenBlocks => f.write_str("the sequence of data blocks"),
            Self::Data(entry) => write!(f, "the data of {entry}"),
            Self::LargeObject(oid) => write!(f, "large object {oid}"),
        }
    }
}

/// What happened; see [`ArchiveError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not begin like an archive.
    #[error("not a pg_dump custom-format archive: {0}")]
    NotAnArchive(Lookalike),

    /// An archive version this crate does not know, so nothing behind it can be trusted.
    #[error(
        "archive version {0} is not supported, only {oldest} to {newest} are; \
         use a release of this program that knows it, or dump with pg_dump 9.0 to 18",
        oldest = Version::OLDEST, newest = Version::NEWEST
    )]
    UnsupportedVersion(Version),

    /// A compression method this crate does not know.
    #[error(
        "compression method {0} is not supported, only none (0), gzip (1), lz4 (2) and zstd (3) are; dump with one of them"
    )]
    UnsupportedCompression(u8),

    /// The file ends in the middle of something.
    #[error(
        "the archive is truncated: it ends where {expected} is expected; make or copy the dump again"
    )]
    Truncated {
        /// What should have come next.
        expected: &'static str,
    },

    /// The file ends at a block boundary, but the table of contents promises more blocks.
    #[error(
        "the archive is truncated: it ends without the data of {first} ({missing} of {promised} data blocks are missing); make or copy the dump again"
    )]
    MissingData {
        /// The first entry in the table of contents whose data did not come.
        first: String,
        /// How many entries lack their data.
        missing: usize,
        /// How many entries have data according to the table of contents.
        promised: usize,
    },

    /// The bytes contradict the format, a checksum, or each other.
    #[error("the archive is corrupt: {0}; make or copy the dump again")]
    Corrupt(#[source] Corruption),

    /// Something is larger than this crate is willing to hold in memory.
    #[error("{what} is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit_bytes: u64,
    },

    /// No data of that table in this archive.
    #[error("the archive has no data of a table {0}; `pg_restore --list` shows what it has")]
    NoSuchTable(String),

    /// The data of that table is not COPY rows.
    #[error(
        "{0} was dumped as INSERT statements, whose rows cannot be read; dump it without `--inserts`"
    )]
    NoCopyData(String),

    /// Several schemas have a table of that name.
    #[error("several schemas have a table {table}: {}; name one", schemas.join(", "))]
    AmbiguousTable {
        /// The name that was asked for.
        table: String,
        /// Where it exists.
        schemas: Vec<String>,
    },

    /// The reader below failed.
    #[error("cannot read the archive: {0}")]
    Io(#[source] io::Error),
}

impl From<Corruption> for ErrorKind {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

/// What a file that is no archive looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lookalike {
    /// Zero bytes.
    #[error("the file is empty; the dump failed before it wrote anything")]
    Empty,
    /// `pg_dump -Fp` or `pg_dumpall`.
    #[error("it is a plain SQL dump; make it with `pg_dump -Fc`, or load it with psql")]
    PlainSql,
    /// `pg_dump -Ft`, or any other tar file.
    #[error("it is a tar file; make the dump with `pg_dump -Fc`")]
    Tar,
    /// The `toc.dat` of `pg_dump -Fd` or `-Ft`.
    #[error(
        "it is the toc.dat of a directory-format or tar-format dump, which has its data in other files; make the dump with `pg_dump -Fc`"
    )]
    TocOnly,
    /// A gzip file.
    #[error("it is a gzip file; decompress it with gunzip first")]
    Gzip,
    /// A zstd file.
    #[error("it is a zstd file; decompress it with unzstd first")]
    Zstd,
    /// A file encrypted with age.
    #[error("it is encrypted with age; decrypt it first")]
    Age,
    /// Passed through a shell that rewrites output as text.
    #[error(
        "it was rewritten as UTF-16 text, as PowerShell's `>` does, and cannot be repaired; write the dump with `pg_dump -f`"
    )]
    Utf16,
    /// None of the above.
    #[error("it does not begin with PGDMP")]
    Unknown,
}

/// How the bytes contradict the format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// A field has a value that pg_dump never writes.
    #[error("{what} is {found}, expected {expected}")]
    Field {
        /// Which field.
        what: &'static str,
        /// The value in the file.
        found: String,
        /// Which values are possible.
        expected: &'static str,
    },
    /// Two entries of the table of contents have the same dump id.
    #[error("two entries of the table of contents have dump id {0}")]
    DuplicateDumpId(i32),
    /// A data block belongs to no entry.
    #[error("a data block has dump id {0}, which is not in the table of contents")]
    UnknownDumpId(i32),
    /// An entry has two data blocks.
    #[error("there is a second data block of {0}")]
    DuplicateBlock(String),
    /// An entry that has no data has a block.
    #[error("there is a data block of {0}, which has none according to the table of contents")]
    UnpromisedBlock(String),
    /// A block does not begin where the table of contents says.
    #[error("the data block begins at byte {found}, but the table of contents says {recorded}")]
    MisplacedBlock {
        /// Where the block begins.
        found: u64,
        /// Where the table of contents says it does.
        recorded: u64,
    },
    /// The decompressor rejected the data, or a checksum does not match.
    #[error("cannot decompress: {0}")]
    Decompression(#[source] io::Error),
    /// The chunks end before the compressed stream does.
    #[error("the block ends in the middle of its compressed stream")]
    ShortStream,
    /// The chunks go on behind the end of the compressed stream.
    #[error("the block goes on behind the end of its compressed stream")]
    LongStream,
    /// COPY data without its end-of-data line.
    #[error("the rows do not end with the end-of-data line `\\.`")]
    UnterminatedCopy,
    /// A row has more or fewer fields than the COPY statement has columns.
    #[error("a row has {found} fields, expected {expected}")]
    FieldCount {
        /// How many columns the COPY statement names.
        expected: usize,
        /// How many fields the row has.
        found: usize,
    },
    /// Bytes behind the last block.
    #[error("there are bytes behind the last data block")]
    TrailingGarbage,
}

/// A [`Corruption::Field`].
pub(crate) fn field(
    what: &'static str,
    found: impl fmt::Display,
    expected: &'static str,
) -> ErrorKind {
    Corruption::Field {
        what,
        found: found.to_string(),
        expected,
    }
    .into()
}
