//! What a verified archive has in it.

use std::fmt;

use crate::{header::Header, tail::AfterEnd};

/// What is in an archive, all of which was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What the header says.
    pub header: Header,
    /// The tables with data, in the order of their blocks.
    pub tables: Vec<TableData>,
    /// All large objects together.
    pub large_objects: LargeObjects,
    /// The tables that are defined in the archive but have no data in it, empty tables not among them: left out by an
    /// option such as `--schema-only` or `--exclude-table-data`. A partitioned table has its data in its partitions.
    pub tables_without_data: Vec<TableName>,
    /// Whether no table is defined in the archive, as by `--data-only`.
    pub defines_no_table: bool,
    /// Size of the archive itself, a second table of contents included.
    pub archive_bytes: u64,
    /// What follows the archive in its file.
    pub after_end: Option<AfterEnd>,
}

impl Contents {
    /// Whether there is any data in the archive: rows, if only of an empty table, or large objects.
    pub fn has_data(&self) -> bool {
        !self.tables.is_empty() || self.large_objects.count > 0
    }
}

/// The name of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema that the table is in.
    pub schema: Option<String>,
    /// Its own name.
    pub name: String,
}

impl fmt::Display for TableName {
    /// `public.tenant`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
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
