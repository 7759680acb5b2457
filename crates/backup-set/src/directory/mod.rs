//! Sets as directories on this machine.

mod begun;
mod parents;
mod place;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use begun::{BegunDirectory, DirectoryFile};
pub use place::Place;

use crate::error::{OnPath as _, in_the_way};
use crate::names::{PARTIAL_SUFFIX, numbered_names};
use crate::store::{FileState, Store, StoredFile, StoredSet};
use crate::{SetError, Target};

/// A directory that holds sets.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    directory: PathBuf,
}

impl DirectoryStore {
    /// The store in `directory`, which is made with its first set where it is missing.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }
}

impl Store for DirectoryStore {
    type Set = DirectorySet;
    type Begun = BegunDirectory;

    fn location(&self) -> &Path {
        &self.directory
    }

    fn list(&self) -> io::Result<Vec<DirectorySet>> {
        let mut sets = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.is_dir() {
                sets.push(DirectorySet::new(path));
            }
        }
        Ok(sets)
    }

    fn available_bytes(&self) -> Result<Option<u64>, SetError> {
        Ok(Some(Target::look(&self.directory)?.available_bytes))
    }

    /// Only the owner can read it: a dump holds what the assistants' users said.
    fn begin(&self, name: &str) -> Result<BegunDirectory, SetError> {
        let mut last = self.directory.join(name);
        for name in numbered_names(name) {
            let directory = self.directory.join(name);
            match parents::make(&directory) {
                Ok(parents) => return Ok(BegunDirectory::made(directory, parents)),
                Err((path, error))
                    if error.kind() == io::ErrorKind::AlreadyExists && path == directory =>
                {
                    last = directory;
                }
                Err((path, source)) => return Err(source).on("create directory", &path),
            }
        }
        Err(in_the_way(last, "is there, and so are all names before it"))
    }

    fn resume(&self, name: &str) -> Result<BegunDirectory, SetError> {
        let directory = self.directory.join(name);
        match Place::look(&directory) {
            Place::Free => match parents::make(&directory) {
                Ok(parents) => Ok(BegunDirectory::made(directory, parents)),
                Err((path, source)) => Err(source).on("create directory", &path),
            },
            Place::Unfinished => BegunDirectory::found(directory),
            Place::Set(_) => Err(in_the_way(directory, "is a backup set by now")),
            Place::InTheWay { what } => Err(in_the_way(directory, what)),
        }
    }
}

/// A set that is a directory.
#[derive(Debug)]
pub struct DirectorySet {
    path: PathBuf,
}

impl DirectorySet {
    /// The set in the directory `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl StoredSet for DirectorySet {
    fn location(&self) -> &Path {
        &self.path
    }

    fn look(&self, file: &str) -> io::Result<FileState> {
        Ok(state_of(&fs::symlink_metadata(self.path.join(file))?))
    }

    fn local_path(&self, file: &str) -> Option<PathBuf> {
        Some(self.path.join(file))
    }

    fn bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
            .sum()
    }

    fn read(&self, file: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path.join(file))?))
    }

    fn read_range(&self, file: &str, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        let mut opened = File::open(self.path.join(file))?;
        opened.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(opened.take(range.end.saturating_sub(range.start))))
    }

    fn again(&self) -> io::Result<Box<dyn StoredSet + Send>> {
        Ok(Box::new(Self::new(&self.path)))
    }

    fn files(&self) -> io::Result<Vec<StoredFile>> {
        // Another name of a set is not a second one, nor to be emptied.
        if fs::symlink_metadata(&self.path)?.is_symlink() {
            return Err(io::Error::other("it is a symbolic link"));
        }
        let entries = fs::read_dir(&self.path)?;
        let file = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let changed = metadata.modified().ok();
            Ok(StoredFile {
                name: entry.file_name().to_string_lossy().into_owned(),
                state: state_of(&metadata),
                changed: changed.and_then(|time| Timestamp::try_from(time).ok()),
            })
        };
        entries.map(file).collect()
    }

    fn put(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let partial = format!("{file}{PARTIAL_SUFFIX}");
        self.remove_file(&partial)?;
        let path = self.path.join(&partial);
        let mut opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let written = opened
            .write_all(content)
            .and_then(|()| opened.sync_all())
            .and_then(|()| fs::rename(&path, self.path.join(file)));
        if written.is_err() {
            // The error that is told is the first one.
            let _ = fs::remove_file(&path);
        }
        written
    }

    fn remove_file(&self, file: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn remove_place(&self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

fn state_of(metadata: &fs::Metadata) -> FileState {
    if metadata.is_file() {
        FileState::File {
            bytes: metadata.len(),
        }
    } else {
        FileState::NotAFile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_far_as_the_file_goes() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "0123456789").unwrap();
        let set = DirectorySet::new(parent.path());
        let read = |range| io::read_to_string(set.read_range("file", range).unwrap()).unwrap();
        assert_eq!(read(0..3), "012");
        assert_eq!(read(8..100), "89");
        assert_eq!(read(20..30), "");
    }

    #[test]
    fn what_is_no_file_is_reported_and_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("file"), "abc").unwrap();
        std::os::unix::fs::symlink("file", parent.path().join("link")).unwrap();
        let set = DirectorySet::new(parent.path());
        assert_eq!(set.look("file").unwrap(), FileState::File { bytes: 3 });
        assert_eq!(set.look("link").unwrap(), FileState::NotAFile);
        let error = set.look("nothing").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
