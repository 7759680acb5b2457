//! Where backups are that a path names: here, or wherever else a caller can reach.

use std::fmt::Debug;
use std::path::Path;

use crate::{Backup, BackupError, Identities, SetError, Target};

/// Opens backups by their paths, and looks where more could be made. Whoever works with a backup need not know where it is kept.
pub trait Places: Debug + Send + Sync {
    /// Opens the backup at `path`, with the keys to read it with where it is encrypted.
    fn open(&self, path: &Path, identities: Option<&Identities>) -> Result<Backup, BackupError>;

    /// Looks whether sets could be made in `path`, without making anything. None where the room has no end.
    fn look(&self, path: &Path) -> Result<Option<Target>, SetError>;
}

/// This machine alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisMachine;

impl Places for ThisMachine {
    fn open(&self, path: &Path, identities: Option<&Identities>) -> Result<Backup, BackupError> {
        Backup::open_with(path, identities)
    }

    fn look(&self, path: &Path) -> Result<Option<Target>, SetError> {
        Target::look(path).map(Some)
    }
}
