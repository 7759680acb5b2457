//! Files in pods: looked at, fetched in parts over several streams, and put in place whole.
//!
//! - [`PodHandle::list`](crate::PodHandle::list), [`PodHandle::space`](crate::PodHandle::space) and [`FileHandle::stat`]
//!   say what is there. The [`FileVersion`] they report is what a fetch holds the file to.
//! - [`FileHandle::fetch`] reads a file over parallel streams into a [`Partial`] that a later run can continue.
//! - [`FileHandle::upload`] writes a file beside its place, resumably, and gives it its name once its SHA-256 is
//!   confirmed.
//!
//! The container needs `sh` and coreutils or busybox, no `tar`. Paths travel in the URL of the request, which API
//! servers write to their audit log.

mod error;
pub mod fetch;
mod handle;
mod query;
pub mod upload;

use serde::{Deserialize, Serialize};

pub use error::FileError;
pub use fetch::{FetchError, FetchEvent, FetchOptions, Fetched, Partial, PartialError, RangeError};
pub use handle::FileHandle;
pub use upload::{UploadError, UploadEvent, UploadOptions, UploadSource, Uploaded};

/// The slowest volume that is not taken for a dead one.
const SLOWEST_BYTES_PER_SECOND: u64 = 4 << 20;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// Its length.
    pub bytes: u64,
    /// When its content was last changed, in seconds since 1970.
    pub modified: u64,
    /// Its number in its file system; a file that was replaced has another.
    pub inode: u64,
}

/// What a directory entry is; symbolic links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, to whatever.
    Symlink,
    /// A device, pipe or socket.
    Other,
}

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name without the directory. Bytes that are not UTF-8 show as U+FFFD; no file is found under such a name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its state; a symbolic link's own.
    pub version: FileVersion,
}

impl Entry {
    /// An entry with this name, which is this, in this state.
    pub fn new(name: impl Into<String>, kind: EntryKind, version: FileVersion) -> Self {
        Self {
            name: name.into(),
            kind,
            version,
        }
    }
}

/// The room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Its size.
    pub total: u64,
    /// What is taken.
    pub used: u64,
    /// What the container's user can still write, which may be less than the rest.
    pub available: u64,
}
