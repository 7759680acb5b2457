//! A directory that is to become a set.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::parents;
use crate::error::OnPath as _;
use crate::names::PARTIAL_SUFFIX;
use crate::store::{BegunFile, BegunSet, Encoded, Keep, Left, LocalSet};
use crate::{MANIFEST_FILE, SetError};

const WRITE_BUFFER_BYTES: usize = 128 * 1024;

/// A directory that is to become a set.
#[derive(Debug)]
pub struct BegunDirectory {
    directory: PathBuf,
    /// Directories made for this set, outermost first: removed again, where empty, if it is not sealed.
    parents: Vec<PathBuf>,
    /// Whether the directory is this writer's; another process may be at work in one that was there before.
    made: bool,
}

impl BegunDirectory {
    /// One that was just made, and `parents` for it.
    pub(super) fn made(directory: PathBuf, parents: Vec<PathBuf>) -> Self {
        Self {
            directory,
            parents,
            made: true,
        }
    }

    /// One that an earlier attempt left.
    pub(super) fn found(directory: PathBuf) -> Result<Self, SetError> {
        // Also the proof that it is this user's own: nobody else may change the mode.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
            .on("resume the set in", &directory)?;
        Ok(Self {
            directory,
            parents: Vec::new(),
            made: false,
        })
    }

    fn partial_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}{PARTIAL_SUFFIX}"))
    }
}

impl BegunSet for BegunDirectory {
    type File = DirectoryFile;

    fn location(&self) -> &Path {
        &self.directory
    }

    fn begin_file(&self, name: &str) -> Result<DirectoryFile, SetError> {
        let partial = self.partial_path(name);
        let file = create_private(&partial)?;
        Ok(DirectoryFile {
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            partial,
            path: self.path(name),
        })
    }

    fn read_back(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn left(&self, name: &str) -> Result<Left<DirectoryFile>, SetError> {
        let (path, partial) = (self.path(name), self.partial_path(name));
        let is_file = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        if is_file(&path) {
            let content = File::open(&path).on("read", &path)?;
            return Ok(Left::Whole(Box::new(content)));
        }
        if !is_file(&partial) {
            return Ok(Left::Nothing);
        }
        let file = OpenOptions::new().append(true).open(&partial);
        let file = file.on("go on with", &partial)?;
        let content = File::open(&partial).on("read", &partial)?;
        let file = DirectoryFile {
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            partial,
            path,
        };
        Ok(Left::Part(file, Box::new(content)))
    }

    fn seal(&self, manifest: &[u8]) -> Result<(), SetError> {
        let path = self.path(MANIFEST_FILE);
        let partial = self.partial_path(MANIFEST_FILE);
        let mut file = create_private(&partial)?;
        file.write_all(manifest).on("write", &partial)?;
        file.sync_all().on("sync", &partial)?;
        // The files before the manifest that vouches for them.
        sync_directory(&self.directory)?;
        fs::rename(&partial, &path).on("rename", &partial)?;
        sync_directory(&self.directory)?;
        if let Some(parent) = self
            .directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            // The name of the set itself; a failure here leaves a complete set.
            let _ = sync_directory(parent);
        }
        Ok(())
    }

    /// A directory that was there before is removed only where it is empty.
    fn remove(&self, keep: Keep) {
        let kept = match (keep, self.made) {
            (Keep::Nothing, true) => false,
            (Keep::Everything, _) => true,
            (Keep::Nothing | Keep::Data, _) => holds_data(&self.directory),
        };
        if kept {
            return;
        }
        // Nothing to be done if it fails: the set has no manifest, and `list` calls it incomplete.
        let _ = if self.made {
            fs::remove_dir_all(&self.directory)
        } else {
            fs::remove_dir(&self.directory)
        };
        parents::remove_empty(&self.parents);
    }
}

impl LocalSet for BegunDirectory {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn adopt(&self, name: &str, bytes: u64) -> Result<(), SetError> {
        let path = self.path(name);
        let found = fs::symlink_metadata(&path).on("look at", &path)?;
        if !found.is_file() || found.len() != bytes {
            return Err(SetError::Changed { path, bytes });
        }
        let file = File::open(&path).on("open", &path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .on("protect", &path)?;
        file.sync_all().on("sync", &path)
    }
}

/// A file that is being written, under a name that ends in `.partial`.
#[derive(Debug)]
pub struct DirectoryFile {
    /// Buffered: a dump arrives in pieces of a few KiB.
    file: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
}

impl BegunFile for DirectoryFile {
    fn complete(self, bytes: u64) -> Result<Option<Encoded>, SetError> {
        let file = self
            .file
            .into_inner()
            .map_err(IntoInnerError::into_error)
            .on("write", &self.partial)?;
        file.sync_all().on("sync", &self.partial)?;
        // What the hashes are of was in memory.
        let found = file.metadata().on("look at", &self.partial)?;
        if found.len() != bytes {
            let path = self.partial;
            return Err(SetError::Changed { path, bytes });
        }
        fs::rename(&self.partial, self.path).on("rename", &self.partial)?;
        Ok(None)
    }
}

impl Write for DirectoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether there is more in `directory` than empty files and records about them.
fn holds_data(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        // Rather left behind than lost.
        return true;
    };
    entries.flatten().any(|entry| {
        let record = entry.path().extension() == Some(OsStr::new("json"));
        let empty = |found: fs::Metadata| found.is_file() && found.len() == 0;
        !record && !entry.metadata().is_ok_and(empty)
    })
}

/// A new, empty file that only its owner can read. What an earlier attempt wrote there is unlinked, not emptied:
/// a thread of that attempt may still be about to write.
fn create_private(path: &Path) -> Result<File, SetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).on("replace", path);
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .on("create", path)
}

/// Some file systems (shared folders of virtual machines, old CIFS) can sync files but no directories.
fn sync_directory(path: &Path) -> Result<(), SetError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    match synced {
        Err(error) if cannot_sync_directories(&error) => Ok(()),
        synced => synced.on("sync", path),
    }
}

fn cannot_sync_directories(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP | Errno::NOSYS)
    )
}
