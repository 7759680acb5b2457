//! What can be wrong with an archive, and where.

use std::{fmt, io};

use crate::{
    alteration::Alteration,
    lookalike::{Lookalike, NoArchive},
    version::Version,
};

/// Why an archive could not be read: what happened, at which byte, in which part of the file.
#[derive(Debug)]
pub struct ArchiveError(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    offset: u64,
    place: Option<Place>,
    alteration: Option<Alteration>,
}

/// What an error says about the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is an archive that was damaged, or has something in front of it. pg_restore does not restore all of it.
    Damaged,
    /// It is no archive at all.
    NoArchive,
    /// It may be a sound archive, but of a kind that this crate does not read, or with something in it that is over a
    /// limit of this crate.
    NotJudged,
    /// Nothing: the reader failed, or what was asked for is not there.
    None,
}

impl ArchiveError {
    pub(crate) fn new(kind: impl Into<ErrorKind>, offset: u64) -> Self {
        Self(Box::new(Details {
            kind: kind.into(),
            offset,
            place: None,
            alteration: None,
        }))
    }

    pub(crate) fn altered(mut self, alteration: Option<Alteration>) -> Self {
        self.0.alteration = alteration;
        self
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

    /// What the error says about the file.
    pub fn verdict(&self) -> Verdict {
        match self.kind() {
            ErrorKind::Truncated { .. }
            | ErrorKind::MissingData { .. }
            | ErrorKind::Corrupt(_)
            | ErrorKind::SomethingInFront { after: None, .. } => Verdict::Damaged,
            ErrorKind::SomethingInFront {
                after: Some(after), ..
            } => after.verdict(),
            ErrorKind::NotAnArchive(NoArchive {
                lookalike: Lookalike::TarDump,
                ..
            })
            | ErrorKind::UnsupportedVersion(_)
            | ErrorKind::UnsupportedCompression(_)
            | ErrorKind::TooLarge { .. } => Verdict::NotJudged,
            ErrorKind::NotAnArchive(_) => Verdict::NoArchive,
            ErrorKind::NoSuchTable(_)
            | ErrorKind::NoCopyData(_)
            | ErrorKind::AmbiguousTable { .. }
            | ErrorKind::Io(_) => Verdict::None,
        }
    }

    /// How many bytes in front of a sound archive must be cut for the file to be one.
    pub fn bytes_to_cut(&self) -> Option<u64> {
        match self.kind() {
            ErrorKind::SomethingInFront {
                bytes, after: None, ..
            } => Some(*bytes),
            _ => None,
        }
    }

    /// What was done to the whole file, where its bytes tell.
    pub fn alteration(&self) -> Option<Alteration> {
        match self.kind() {
            ErrorKind::SomethingInFront {
                after: Some(after), ..
            } => after.alteration(),
            _ => self.0.alteration,
        }
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
            alteration,
        } = &*self.0;
        // Where in the file that was noticed is of no use.
        if let ErrorKind::SomethingInFront { .. }
        | ErrorKind::NotAnArchive(_)
        | ErrorKind::UnsupportedVersion(_)
        | ErrorKind::UnsupportedCompression(_) = kind
        {
            return kind.fmt(f);
        }
        if let Some(alteration) = alteration {
            write!(f, "{alteration}; noticed because ")?;
        }
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
    /// The list of objects after the header.
    TableOfContents,
    /// Between the data blocks.
    BetweenBlocks,
    /// After the last data block.
    AfterBlocks,
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
            Self::AfterBlocks => f.write_str("what follows the data blocks"),
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
    NotAnArchive(NoArchive),

    /// An archive begins after something else.
    #[error("{}", in_front(*bytes, line.as_deref(), after.as_ref()))]
    SomethingInFront {
        /// How many bytes are in front.
        bytes: u64,
        /// Their first line, where it is text.
        line: Option<String>,
        /// What else is wrong with the archive; where nothing is, it is sound as soon as the bytes in front are cut.
        after: Option<ArchiveError>,
    },

    /// An archive version this crate does not know, so nothing after it can be trusted.
    #[error(
        "it has archive version {0}, and only {oldest} to {newest} (pg_dump 9.0 to 18) are known here; \
         use a release of this program that knows it, or that version's pg_restore",
        oldest = Version::OLDEST, newest = Version::NEWEST
    )]
    UnsupportedVersion(Version),

    /// A compression method this crate does not know.
    #[error(
        "it has compression method {0}, and only none (0), gzip (1), lz4 (2) and zstd (3) are known here; \
         use a release of this program that knows it, or the pg_restore that belongs to it"
    )]
    UnsupportedCompression(u8),

    /// The file ends in the middle of something.
    #[error("the archive is truncated: it ends where {expected} is expected")]
    Truncated {
        /// What should have come next.
        expected: &'static str,
    },

    /// The file ends at a block boundary, but the table of contents promises more blocks.
    #[error(
        "the archive is truncated: it ends without the data of {first} ({missing} of {promised} data blocks are missing)"
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
    #[error("the archive is corrupt: {0}")]
    Corrupt(Corruption),

    /// Something is larger than this crate is willing to hold in memory.
    #[error("{what} is larger than the limit of {limit_bytes} bytes that is set here")]
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
    Io(io::Error),
}

impl From<Corruption> for ErrorKind {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl ErrorKind {
    /// Whether the bytes were changed or cut.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Truncated { .. } | Self::MissingData { .. } | Self::Corrupt(_)
        )
    }
}

fn in_front(bytes: u64, line: Option<&str>, after: Option<&ArchiveError>) -> String {
    let line = line.map_or_else(String::new, |line| format!(", beginning with {line:?}"));
    let after = after.map_or_else(
        || "after them it is sound".to_owned(),
        |error| format!("and after them: {error}"),
    );
    format!("{bytes} bytes stand in front of the archive{line}; {after}")
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
    #[error("a data block has dump id {0}, which no entry with data has")]
    UnknownDumpId(i32),
    /// An entry has two data blocks.
    #[error("there is a second data block of {0}")]
    DuplicateBlock(String),
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
    Decompression(io::Error),
    /// The chunks end before the compressed stream does.
    #[error("the block ends in the middle of its compressed stream")]
    ShortStream,
    /// The chunks go on after the end of the compressed stream.
    #[error("the block goes on after the end of its compressed stream")]
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
