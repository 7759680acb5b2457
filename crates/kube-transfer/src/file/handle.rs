//! A file in a container as what it is looked at, fetched and put in place through.

use crate::pod::PodHandle;

/// A file in a container, there or not.
#[derive(Debug, Clone)]
pub struct FileHandle {
    pub(super) pod: PodHandle,
    pub(super) path: String,
}

impl FileHandle {
    /// The container.
    pub fn pod(&self) -> &PodHandle {
        &self.pod
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl PodHandle {
    /// The file with this absolute path, which need not be there.
    pub fn file(&self, path: impl Into<String>) -> FileHandle {
        FileHandle {
            pod: self.clone(),
            path: path.into(),
        }
    }
}
