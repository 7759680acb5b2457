//! The rows of one table out of a backup: one deleted skill is got back by hand without a restore.

use std::io::Read;

use pg_archive::{Archive, Rows};

use crate::{Backup, BackupError, Intact};

/// A longer row is an error. PostgreSQL's longest value has 1 GiB, and a row that is read is held in memory.
const ROW_LIMIT_BYTES: usize = 256 << 20;

/// Why the rows of a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The backup cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no such table in it, or not as rows.
    #[error(transparent)]
    Archive(#[from] pg_archive::ArchiveError),
}

impl Backup {
    /// The rows of a table, of a backup that was found to be intact: what was printed of a damaged one could not be
    /// taken back. `table` is its name, or `schema.table`.
    pub fn rows(
        &self,
        _intact: &Intact,
        table: &str,
    ) -> Result<Rows<Box<dyn Read + Send>>, RowsError> {
        let archive = Archive::open(self.open_dump()?)?.with_row_limit(ROW_LIMIT_BYTES);
        // A table's own name may have a dot in it.
        let is_name = archive
            .entries()
            .iter()
            .any(|entry| entry.is_table_data() && entry.tag == table);
        match table.split_once('.') {
            Some((schema, name)) if !is_name => Ok(archive.rows(Some(schema), name)?),
            _ => Ok(archive.rows(None, table)?),
        }
    }
}
