//! Why a set cannot be written, and why a backup cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{NotJudged, VerificationFailed};

/// Why a set cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetError {
    /// Something else is where the set's directory is to be.
    #[error("{} {what}; nothing was changed", path.display())]
    InTheWay {
        /// The directory.
        path: PathBuf,
        /// What is there: the end of the sentence.
        what: String,
    },
    /// A file to be adopted is not what its transfer made.
    #[error("{} is not the regular file of {bytes} bytes that was received: something else has changed it; fetch it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The size it should have.
        bytes: u64,
    },
    /// A set was to be sealed with a file of another set, or with something else for its dump.
    #[error("cannot seal {} with {file}, which is {what}: this is a bug", path.display())]
    Foreign {
        /// The set.
        path: PathBuf,
        /// The file's name.
        file: String,
        /// What it is instead.
        what: &'static str,
    },
    /// What is stored is not what was written.
    #[error("{} was read back, and is not what was written: {why}", path.display())]
    ReadBack {
        /// The file.
        path: PathBuf,
        /// How it differs.
        why: String,
    },
    /// It is a URL, where a directory is meant.
    #[error("{} is no directory, and nothing else is taken here: `kubectl wa-backup create` and `copy` write to object storage", path.display())]
    Url {
        /// What was given.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `create`, `write`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Why a path cannot be read as a backup at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nothing of that name where sets are kept.
    #[error("there is no backup set {}; list what is there with `kubectl wa-backup list`", path.display())]
    NoSet {
        /// What was named.
        path: PathBuf,
    },
    /// It is encrypted to others.
    #[error("none of the given keys opens {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// It is read, and not intact.
    #[error(transparent)]
    Failed(#[from] VerificationFailed),
    /// It is read, and cannot be judged.
    #[error(transparent)]
    NotJudged(#[from] NotJudged),
}

pub(crate) fn in_the_way(path: PathBuf, what: impl Into<String>) -> SetError {
    let what = what.into();
    SetError::InTheWay { path, what }
}

/// Says of a refusal what was tried, and where.
pub(crate) trait OnPath<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SetError>;
}

impl<T> OnPath<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, SetError> {
        self.map_err(|source| SetError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

impl SetError {
    /// The file system refused what a transfer wrote to `path`.
    pub fn writing(path: &Path, source: io::Error) -> Self {
        Self::Io {
            action: "write",
            path: path.to_owned(),
            source,
        }
    }
}

/// The file or directory could not be read.
pub(crate) fn io_error(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io {
        path: path.to_owned(),
        source,
    }
}
