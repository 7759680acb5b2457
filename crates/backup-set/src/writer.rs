//! Writing a set so that it is either whole or not there.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;
use transfer_proof::Proof;

use crate::directories;
use crate::names::{PARTIAL_SUFFIX, numbered_names};
use crate::{FileRecord, FileRole, MANIFEST_FILE, Manifest, Place, PlaintextRecord};

const WRITE_BUFFER_BYTES: usize = 128 * 1024;

/// Why a set cannot be written.
#[derive(Debug, Error)]
pub enum SetError {
    /// Something else is where the set's directory is to be.
    #[error("{} {what}; nothing was changed: move it away, or choose another directory with --to", path.display())]
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
    /// The file system refused.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
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

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, or choose another directory with --to"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a directory you can write to with --to"
        }
        _ => "",
    }
}

fn in_the_way(path: PathBuf, what: impl Into<String>) -> SetError {
    let what = what.into();
    SetError::InTheWay { path, what }
}

trait OnPath<T> {
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

/// A set that is being written. Dropped before [`SetWriter::seal`], it removes itself.
#[derive(Debug)]
pub struct SetWriter {
    directory: PathBuf,
    /// Directories made for this set, outermost first: removed again, where empty, if it is not sealed.
    parents: Vec<PathBuf>,
    /// Whether the directory is this writer's; another process may be at work in one that was there before.
    made: bool,
    keep: Keep,
    sealed: bool,
}

/// What stays of a set that is not sealed.
#[derive(Debug, Clone, Copy)]
enum Keep {
    Nothing,
    /// The set, if there is data in it.
    Data,
    Everything,
}

/// A file of a set that is being written, under a name that ends in `.partial`.
#[derive(Debug)]
pub struct PartialFile {
    /// Buffered: a dump arrives in pieces of a few KiB.
    file: BufWriter<File>,
    directory: PathBuf,
    partial: PathBuf,
    name: &'static str,
    role: FileRole,
}

/// A file of a set that is complete, synced and under its own name: its [`Proof`] is in here.
#[derive(Debug)]
pub struct CompletedFile {
    /// The set that it is of.
    directory: PathBuf,
    name: &'static str,
    role: FileRole,
    proof: Proof,
}

impl CompletedFile {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.proof.bytes()
    }

    /// What the manifest says of it.
    pub(crate) fn into_record(self) -> FileRecord {
        let (bytes, sha256) = (self.proof.bytes(), self.proof.sha256().to_string());
        FileRecord {
            name: self.name.to_owned(),
            role: self.role,
            bytes,
            sha256: sha256.clone(),
            plaintext: Some(PlaintextRecord { bytes, sha256 }),
        }
    }
}

/// A set that is complete.
#[derive(Debug)]
pub struct SealedSet {
    path: PathBuf,
    manifest: Manifest,
}

impl SealedSet {
    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory and its manifest, as it was written.
    pub fn into_parts(self) -> (PathBuf, Manifest) {
        (self.path, self.manifest)
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

impl SetWriter {
    /// Makes the directory `name` in `parent`, which is made as well where it is missing; a number is added where that name
    /// is taken, by a backup of the same second. Only the owner can read it: a dump holds what the assistants' users said.
    pub fn create(parent: &Path, name: &str) -> Result<Self, SetError> {
        let mut last = parent.join(name);
        for name in numbered_names(name) {
            let directory = parent.join(name);
            match directories::make(&directory) {
                Ok(parents) => {
                    return Ok(Self {
                        directory,
                        parents,
                        made: true,
                        keep: Keep::Nothing,
                        sealed: false,
                    });
                }
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

    /// Goes on with the set `name` in `parent` where an earlier attempt left it without a manifest, else makes it. What is
    /// there already is kept, even where it holds no data: it may be another process's.
    pub fn resume_or_create(parent: &Path, name: &str) -> Result<Self, SetError> {
        let directory = parent.join(name);
        let (parents, made) = match Place::look(&directory) {
            Place::Free => match directories::make(&directory) {
                Ok(parents) => (parents, true),
                Err((path, source)) => return Err(source).on("create directory", &path),
            },
            Place::Unfinished => {
                // Also the proof that it is this user's own: nobody else may change the mode.
                fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
                    .on("resume the set in", &directory)?;
                (Vec::new(), false)
            }
            Place::Set(_) => return Err(in_the_way(directory, "is a backup set by now")),
            Place::InTheWay { what } => return Err(in_the_way(directory, what)),
        };
        Ok(Self {
            directory,
            parents,
            made,
            keep: if made { Keep::Nothing } else { Keep::Data },
            sealed: false,
        })
    }

    /// Leaves what was written so far in place if the set is not sealed, for a look at it.
    pub fn keep_partial(&mut self) {
        self.keep = Keep::Everything;
    }

    /// Leaves what was written so far in place if the set is not sealed, to go on with it. Where nothing was written,
    /// nothing is left.
    pub fn keep_data(&mut self) {
        self.keep = Keep::Data;
    }

    /// The set's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens a file of the set for writing; what an earlier attempt wrote is discarded.
    pub fn file(&self, name: &'static str, role: FileRole) -> Result<PartialFile, SetError> {
        let partial = self.partial_path(name);
        let file = create_private(&partial)?;
        Ok(PartialFile {
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            directory: self.directory.clone(),
            partial,
            name,
            role,
        })
    }

    /// Where the file `name` belongs. A transfer that has its own way of writing puts it there once it is whole, for
    /// [`SetWriter::adopt`] to take.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn partial_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}{PARTIAL_SUFFIX}"))
    }

    /// Takes the file at [`SetWriter::path`], which `proof` is of, into the set and syncs it.
    pub fn adopt(
        &self,
        name: &'static str,
        role: FileRole,
        proof: Proof,
    ) -> Result<CompletedFile, SetError> {
        let path = self.path(name);
        let bytes = proof.bytes();
        let found = fs::symlink_metadata(&path).on("look at", &path)?;
        if !found.is_file() || found.len() != bytes {
            return Err(SetError::Changed { path, bytes });
        }
        let file = File::open(&path).on("open", &path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .on("protect", &path)?;
        file.sync_all().on("sync", &path)?;
        Ok(CompletedFile {
            directory: self.directory.clone(),
            name,
            role,
            proof,
        })
    }

    /// Writes a small file in one go.
    pub fn write(
        &self,
        name: &'static str,
        role: FileRole,
        content: &[u8],
    ) -> Result<CompletedFile, SetError> {
        let mut file = self.file(name, role)?;
        file.write_all(content).on("write", &file.partial)?;
        file.complete(Proof::of_own(content))
    }

    /// Writes the manifest, with these files and no others, and syncs the directory: from here on the set is complete.
    pub fn seal(
        mut self,
        dump: CompletedFile,
        others: Vec<CompletedFile>,
        manifest: Manifest,
    ) -> Result<SealedSet, SetError> {
        if dump.role != FileRole::StoreDump {
            return Err(self.foreign(&dump, "not its dump"));
        }
        let mut files = vec![dump];
        files.extend(others);
        if let Some(other) = files.iter().find(|file| file.directory != self.directory) {
            return Err(self.foreign(other, "a file of another set"));
        }
        let manifest = manifest.of_files(files);
        let path = self.directory.join(MANIFEST_FILE);
        let partial = self.partial_path(MANIFEST_FILE);
        let json = manifest.to_json().on("write", &path)?;
        let mut file = create_private(&partial)?;
        file.write_all(&json).on("write", &partial)?;
        file.sync_all().on("sync", &partial)?;
        // The files before the manifest that vouches for them.
        sync_directory(&self.directory)?;
        fs::rename(&partial, &path).on("rename", &partial)?;
        sync_directory(&self.directory)?;
        self.sealed = true;
        if let Some(parent) = self
            .directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            // The name of the set itself; a failure here leaves a complete set.
            let _ = sync_directory(parent);
        }
        Ok(SealedSet {
            path: self.directory.clone(),
            manifest,
        })
    }

    fn foreign(&self, file: &CompletedFile, what: &'static str) -> SetError {
        SetError::Foreign {
            path: self.directory.clone(),
            file: file.name.to_owned(),
            what,
        }
    }
}

impl Drop for SetWriter {
    fn drop(&mut self) {
        let kept = match self.keep {
            Keep::Nothing => false,
            Keep::Data => holds_data(&self.directory),
            Keep::Everything => true,
        };
        if self.sealed || kept {
            return;
        }
        // Nothing to be done if it fails: the set has no manifest, and `list` calls it incomplete.
        let _ = if self.made {
            fs::remove_dir_all(&self.directory)
        } else {
            fs::remove_dir(&self.directory)
        };
        directories::remove_empty(&self.parents);
    }
}

impl PartialFile {
    /// Syncs the file, which `proof` is of, and gives it its own name.
    pub fn complete(self, proof: Proof) -> Result<CompletedFile, SetError> {
        let file = self
            .file
            .into_inner()
            .map_err(IntoInnerError::into_error)
            .on("write", &self.partial)?;
        file.sync_all().on("sync", &self.partial)?;
        // What the hashes are of was in memory.
        let found = file.metadata().on("look at", &self.partial)?;
        let bytes = proof.bytes();
        if found.len() != bytes {
            let path = self.partial;
            return Err(SetError::Changed { path, bytes });
        }
        let path = self.partial.with_file_name(self.name);
        fs::rename(&self.partial, path).on("rename", &self.partial)?;
        Ok(CompletedFile {
            directory: self.directory,
            name: self.name,
            role: self.role,
            proof,
        })
    }
}

impl Write for PartialFile {
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
