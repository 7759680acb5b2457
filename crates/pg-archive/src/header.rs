//! The header: what kind of archive this is, who made it, when, from which database.

use std::{fmt, io::Read};

use memchr::memmem;

use crate::{
    error::{ArchiveError, ErrorKind, field},
    lookalike::{self, Lookalike, NoArchive, SNIFFED_BYTES},
    source::{Source, Width},
    version::Version,
};

const MAGIC: &[u8; 5] = b"PGDMP";

/// The format code of `pg_dump -Fc`; tar and directory dumps have a similar `toc.dat` with another code.
const FORMAT_CUSTOM: u8 = 1;

/// What is kept of names and version strings, which are short.
const STRING_BYTES: usize = 64 * 1024;

/// What the header says about the whole archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the archive format, which is not a version of PostgreSQL.
    pub version: Version,
    /// How the data blocks are compressed.
    pub compression: Compression,
    /// When the dump began.
    pub created: CreationTime,
    /// Name of the dumped database.
    pub database: Option<String>,
    /// Version of the server that was dumped, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Option<String>,
    /// Version of the pg_dump that wrote the archive.
    pub pg_dump_version: Option<String>,
    pub(crate) offset_width: Width,
}

/// How the data blocks of an archive are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// A zlib stream a block, with an Adler-32 checksum.
    Gzip,
    /// An LZ4 frame a block.
    Lz4,
    /// A Zstandard frame a block.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// When a dump began, on the clock and in the time zone of the machine that pg_dump ran on. The archive does not say
/// which zone that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CreationTime {
    /// Year, e.g. 2024.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60.
    pub second: u8,
}

impl fmt::Display for CreationTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    }
}

/// What stands before the archive in its file: a message that a program printed there, for instance.
#[derive(Debug)]
pub(crate) struct InFront {
    pub(crate) bytes: u64,
    pub(crate) line: Option<String>,
}

impl Header {
    /// Reads what follows the magic.
    pub(crate) fn read<R: Read>(source: &mut Source<R>) -> Result<Self, ArchiveError> {
        let [major, minor, _revision] = source.array("the archive version")?;
        let version = Version { major, minor };
        if !(Version::OLDEST..=Version::NEWEST).contains(&version) {
            return Err(source.error(ErrorKind::UnsupportedVersion(version)));
        }
        let int_width = read_width(source, "the size of an integer")?;
        source.set_int_width(int_width);
        let offset_width = read_width(source, "the size of a file offset")?;
        match source.byte("the format code")? {
            FORMAT_CUSTOM => {}
            3 | 5 => {
                return Err(source.error(ErrorKind::NotAnArchive(NoArchive {
                    lookalike: Lookalike::TocOnly,
                    first_line: None,
                })));
            }
            code => return Err(source.error(field("the format code", code, "1 (custom format)"))),
        }
        Ok(Self {
            version,
            compression: read_compression(source, version)?,
            created: read_creation_time(source)?,
            database: source.string("the name of the database", STRING_BYTES)?,
            server_version: source.string("the version of the server", STRING_BYTES)?,
            pg_dump_version: source.string("the version of pg_dump", STRING_BYTES)?,
            offset_width,
        })
    }
}

/// Reads the magic, which may have something in front of it.
pub(crate) fn read_magic<R: Read>(source: &mut Source<R>) -> Result<Option<InFront>, ArchiveError> {
    let begin = source.peek(MAGIC.len())?;
    let in_front = if begin == MAGIC {
        None
    } else if !begin.is_empty() && MAGIC.starts_with(&begin) {
        source.consume(begin.len());
        None
    } else {
        Some(pass_over(source)?)
    };
    source.array::<{ MAGIC.len() }>("the magic PGDMP")?;
    Ok(in_front)
}

/// Passes over what is in front of an archive, if there is one.
fn pass_over<R: Read>(source: &mut Source<R>) -> Result<InFront, ArchiveError> {
    let start = source.peek(SNIFFED_BYTES)?;
    let file = NoArchive::from_start(&start);
    // What has a magic of its own may hold an archive, but is to be opened in another way.
    let begin = find_archive(&start).filter(|_| file.lookalike == Lookalike::Unknown);
    let Some(begin) = begin else {
        return Err(source.error(ErrorKind::NotAnArchive(file)));
    };
    source.begin_archive_after(begin);
    Ok(InFront {
        bytes: begin as u64,
        line: lookalike::first_line(&start[..begin]),
    })
}

/// Where in these bytes an archive begins.
pub(crate) fn find_archive(bytes: &[u8]) -> Option<usize> {
    memmem::find_iter(bytes, MAGIC).find(|&begin| {
        let after = &bytes[begin + MAGIC.len()..];
        // The major version, which no text has.
        after.first() == Some(&1)
    })
}

fn read_width<R: Read>(source: &mut Source<R>, what: &'static str) -> Result<Width, ArchiveError> {
    let byte = source.byte(what)?;
    Width::from_byte(byte).ok_or_else(|| source.error(field(what, byte, "4 or 8")))
}

/// Until 1.14 the header has the level that was asked for: 0 for none, -1 for zlib's default.
fn read_compression<R: Read>(
    source: &mut Source<R>,
    version: Version,
) -> Result<Compression, ArchiveError> {
    if version < Version::COMPRESSION_METHOD {
        return match source.int("the compression level")? {
            0 => Ok(Compression::None),
            -1 | 1..=9 => Ok(Compression::Gzip),
            level => Err(source.error(field("the compression level", level, "-1 to 9"))),
        };
    }
    match source.byte("the compression method")? {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Gzip),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        method => Err(source.error(ErrorKind::UnsupportedCompression(method))),
    }
}

/// The fields of a C `struct tm`, months counted from 0 and years from 1900.
fn read_creation_time<R: Read>(source: &mut Source<R>) -> Result<CreationTime, ArchiveError> {
    let second = read_ranged(source, "the second of the creation time", 0, 60)?;
    let minute = read_ranged(source, "the minute of the creation time", 0, 59)?;
    let hour = read_ranged(source, "the hour of the creation time", 0, 23)?;
    let day = read_ranged(source, "the day of the creation time", 1, 31)?;
    let month = read_ranged(source, "the month of the creation time", 0, 11)? + 1;
    let year = source.int("the year of the creation time")?;
    let year = year.checked_add(1900).ok_or_else(|| {
        source.error(field(
            "the year of the creation time",
            year,
            "years since 1900",
        ))
    })?;
    let daylight_saving = source.int("the daylight saving flag")?;
    if !(-1..=1).contains(&daylight_saving) {
        return Err(source.error(field(
            "the daylight saving flag",
            daylight_saving,
            "-1, 0 or 1",
        )));
    }
    Ok(CreationTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
    })
}

fn read_ranged<R: Read>(
    source: &mut Source<R>,
    what: &'static str,
    low: u8,
    high: u8,
) -> Result<u8, ArchiveError> {
    let value = source.int(what)?;
    u8::try_from(value)
        .ok()
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| source.error(field(what, value, "a date and time of day")))
}
