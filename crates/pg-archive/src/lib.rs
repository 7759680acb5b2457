//! Reads and verifies the custom-format archives of `pg_dump -Fc`, without PostgreSQL.
//!
//! [`Archive::open`] reads the header and the table of contents from any [`Read`](std::io::Read), a pipe included.
//! From there an archive is read once, forward, in one of two ways: [`Archive::verify`] walks all of it and reports what
//! is in it, or where it is damaged; [`Archive::rows`] yields the rows of one table. [`Archive::verify_with`] does both
//! in one pass.
//!
//! ```
//! use pg_archive::{Archive, Row, TocEntry, Visitor};
//!
//! /// Collects the ids of the tenants.
//! #[derive(Default)]
//! struct Tenants(Vec<String>);
//!
//! impl Visitor for Tenants {
//!     fn wants(&mut self, table: &TocEntry) -> bool {
//!         table.schema.as_deref() == Some("public") && table.tag == "tenant"
//!     }
//!
//!     fn row(&mut self, _table: &TocEntry, row: &Row) {
//!         let id = row.get("tenant_id").and_then(|field| field.to_text());
//!         self.0.extend(id.map(String::from));
//!     }
//! }
//!
//! # let file = &include_bytes!("../tests/fixtures/pg17-zstd.dump")[..];
//! let archive = Archive::open(file)?;
//! assert_eq!(archive.header().version.to_string(), "1.16");
//! let mut tenants = Tenants::default();
//! let contents = archive.verify_with(&mut tenants)?;
//! assert_eq!(contents.tables.len(), 5);
//! assert_eq!(tenants.0, ["t-1", "t-2", "t-3"]);
//! # Ok::<(), pg_archive::ArchiveError>(())
//! ```
//!
//! # Three verdicts
//!
//! A file is *sound* ([`Contents`]), *damaged* or no archive at all, or *not judged* ([`ArchiveError::verdict`]): of a
//! newer version or in another way beyond this crate, and perhaps as sound as any. pg_restore is the measure. It looks at
//! nothing after the last data block, so what is there ([`Contents::after_end`]) makes no archive unsound, and it refuses
//! everything in front of `PGDMP`, so an archive there is damaged until that is cut ([`ArchiveError::bytes_to_cut`]).
//! Tables that are defined without data ([`Contents::tables_without_data`]) are none of its business either.
//!
//! Of a damaged file, [`ArchiveError::alteration`] tells what was done to all of it, where the bytes show that. Of a file
//! that is no archive, [`NoArchive`] tells what it looks like.
//!
//! # What verification finds
//!
//! - **Truncation**, at whichever byte: each block has an end mark, and each entry that promises data must have a block.
//! - **Damage to the structure**: versions, lengths, types, ids, recorded offsets, the end-of-data line of each table.
//! - **Damage to data compressed with gzip**: an Adler-32 checksum covers every block. It is weak for blocks of a few
//!   hundred bytes: of all single bits flipped in one of 2 KB, one in 4000 goes unnoticed.
//!
//! pg_dump asks lz4 and zstd for no checksum and adds none of its own, so a flipped bit in an lz4, zstd or uncompressed
//! block can yield other data that is just as sound; names in the table of contents are not covered at all. Only a
//! checksum kept beside the archive finds those.
//!
//! # Memory
//!
//! The archive is not trusted: nothing is allocated because a length in it says so. At most are held:
//!
//! - of the table of contents, the entries with data up to 64 MiB, while they grow 160 MiB, and those without data up to
//!   16 MiB, while they grow 40 MiB; what more there is without data, as the entry that each large object had until
//!   pg_dump 16, is read and not held. That of a usual database takes some kilobytes;
//! - two buffers of 64 KiB, and 16 KiB of the beginning of the file; of a damaged file, as much once more;
//! - the state of one decompressor: 64 KiB for gzip; for lz4 two blocks, 0.2 MiB as pg_dump writes them and 9 MiB at
//!   most; for zstd the window, 2 MiB at pg_dump's default level and 128 MiB at most, which is also what pg_restore
//!   accepts;
//! - where rows are asked for, one row and its decoded form, 16 MiB each unless [set](Archive::with_row_limit); up to
//!   four times as much while they grow. Rows that are only counted are not held.
//!
//! # The format
//!
//! Written by `pg_backup_archiver.c`, `pg_backup_custom.c` and `compress_*.c` of PostgreSQL's `src/bin/pg_dump`.
//!
//! An *integer* is a sign byte (0 or 1) and a magnitude of 4 bytes, least significant first (8 if the header says so). A
//! *string* is an integer, its length, and its bytes, without a terminator; the length -1 means NULL.
//!
//! | part | content |
//! |---|---|
//! | header | `PGDMP`; version: major, minor, revision, a byte each; bytes in an integer; bytes in a file offset; format (1) |
//! | | until 1.14 the compression level, an integer; from 1.15 the method, a byte: 0 none, 1 gzip, 2 lz4, 3 zstd |
//! | | creation time as integers: second, minute, hour, day, month from 0, year from 1900, daylight saving |
//! | | strings: database, server version, pg_dump version |
//! | contents | number of entries, then for each: |
//! | | integers: dump id, whether it has data; strings, decimal: oid of its catalog, oid |
//! | | strings: tag, kind; integer: section |
//! | | strings: definition, drop statement, COPY statement, schema, tablespace, from 1.14 table access method |
//! | | from 1.16 an integer, the relation kind; strings: owner, whether it has oids |
//! | | dependencies: decimal strings up to a NULL |
//! | | data state, a byte: 1 offset not recorded, 2 recorded, 3 no data; then the file offset of its block |
//! | blocks | for each entry with data, up to the end of the file: type, a byte; dump id, an integer |
//! | | type 1, data: chunks |
//! | | type 3, large objects: for each its oid, an integer, and chunks; then the integer 0 |
//! | contents | where pg_dump can only append, once more, with the offsets; definitions of statistics are left out |
//! | chunks | length, an integer, and as many bytes; then the integer 0. Together one compressed stream (zlib, an LZ4 frame, a Zstandard frame), or the data itself |
//!
//! | version | written by pg_dump |
//! |---|---|
//! | 1.12 | 9.0 to 10.2 and minor releases of the time |
//! | 1.13 | 10.3 to 11: names in definitions are qualified |
//! | 1.14 | 12 to 15: table access methods |
//! | 1.15 | 16: lz4 and zstd |
//! | 1.16 | 17 and 18: relation kinds; several blocks of large objects instead of one |
//!
//! Rows are COPY text: fields separated by tabs, `\N` for NULL, backslash escapes, a newline after each row; then `\.`
//! and three newlines. A dump to a file has offsets of its blocks, a dump to a pipe has none. From version 16 on pg_dump
//! appends to its standard output, so that of a dump by `>` the offsets are in a second table of contents, after the
//! blocks, which pg_restore does not read; with `>>` that is so in every version.

mod alteration;
mod archive;
mod blocks;
mod chunks;
mod content;
mod copy;
mod decompress;
mod entry;
mod error;
mod header;
mod lookalike;
mod rows;
mod source;
mod summary;
mod tail;
mod toc;
mod version;

pub use alteration::Alteration;
pub use archive::{Archive, Rows, Visitor};
pub use copy::{Field, Row};
pub use entry::TocEntry;
pub use error::{ArchiveError, Corruption, ErrorKind, Place, Verdict};
pub use header::{Compression, CreationTime, Header};
pub use lookalike::{Compressor, Lookalike, NoArchive};
pub use summary::{Contents, LargeObjects, TableData, TableName};
pub use tail::{AfterEnd, Trailing};
pub use version::Version;

// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
