//! Where backups are that a path names: here, or wherever else a caller can reach.

use std::fmt::Debug;
use std::path::Path;

use crate::{Backup, BackupError, Identities};

/// Opens backups by their paths. Whoever works with a backup need not know where it is kept.
pub trait Places: Debug + Send + Sync {
    /// Opens the backup at `path`, with the keys to read it with where it is encrypted.
    fn open(&self, path: &Path, identities: Option<&Identities>) -> Result<Backup, BackupError>;
}

/// This machine alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisMachine;

impl Places for ThisMachine {
    fn open(&self, path: &Path, identities: Option<&Identities>) -> Result<Backup, BackupError> {
        Backup::open_with(path, identities)
    }
}
