//! The directory that sets are made in, looked at before a backup begins.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use crate::SetError;
use crate::names::scheme_of;

/// What there is of a target directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Bytes that this user may still write on its file system.
    pub available_bytes: u64,
}

impl Target {
    /// Looks whether a set could be made in `directory`, or in what exists of its path, without making anything.
    pub fn look(directory: &Path) -> Result<Self, SetError> {
        if scheme_of(directory).is_some() && !directory.exists() {
            return Err(SetError::Url {
                path: directory.to_owned(),
            });
        }
        let existing = directory
            .ancestors()
            .map(|ancestor| {
                if ancestor.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    ancestor
                }
            })
            .find(|ancestor| ancestor.exists())
            .unwrap_or(Path::new("."));
        let refuse = |source: io::Error| SetError::Io {
            action: "create a backup set in",
            path: directory.to_owned(),
            source,
        };
        if !existing.is_dir() {
            return Err(refuse(io::ErrorKind::NotADirectory.into()));
        }
        access(existing, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| refuse(error.into()))?;
        let space = statvfs(existing).map_err(|error| refuse(error.into()))?;
        Ok(Self {
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_yet_to_be_made_counts_as_the_one_it_is_made_in() {
        let parent = tempfile::tempdir().unwrap();
        let here = Target::look(parent.path()).unwrap();
        let deep = Target::look(&parent.path().join("a/b/c")).unwrap();
        assert!(here.available_bytes > 0 && deep.available_bytes > 0);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        Target::look(Path::new("relative/path")).unwrap();
    }

    #[test]
    fn a_url_is_no_directory_to_be_made() {
        for url in ["s3://bucket/prefix", "gs://bucket", "https://host/x"] {
            let error = Target::look(Path::new(url)).unwrap_err();
            assert!(matches!(error, SetError::Url { .. }), "{error}");
        }
        Target::look(Path::new("a:b//c")).unwrap();
    }

    #[test]
    fn a_file_on_the_way_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "").unwrap();
        let error = Target::look(&parent.path().join("file/sets")).unwrap_err();
        let SetError::Io { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
    }
}
