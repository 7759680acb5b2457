//! What a verified archive has in it.

use crate::header::Header;

/// What is in an archive, all of which was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What the header says.
    pub header: Header,
    /// The tables with data, in the order of their blocks.
    pub tables: Vec<TableData>,
    /// All large objects together.
    pub large_objects: LargeObjects,
    /// Size of the archive itself.
    pub archive_bytes: u64,
}

/// The data of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableData {
    /// The schema that the table is in.
    pub schema: Option<String>,
    /// The name of the table.
    pub name: String,
    /// How many rows it has; unknown for a table dumped as INSERTs.
    pub rows: Option<u64>,
    /// Size of the data, decompressed.
    pub bytes: u64,
    /// Size of the data in the archive.
    pub stored_bytes: u64,
}

/// The large objects of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeObjects {
    /// How many there are.
    pub count: u64,
    /// Their size, decompressed.
    pub bytes: u64,
    /// Their size in the archive.
    pub stored_bytes: u64,
}
