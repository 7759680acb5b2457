//! A set, copied from one store to another, as it is stored. It goes on from what an interrupted copy has left.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use thiserror::Error;
use transfer_proof::Hasher;

use crate::error::OnPath as _;
use crate::listed::{compare_stored, size_of_listed};
use crate::manifest_file::read_manifest_with_bytes;
use crate::names::PARTIAL_SUFFIX;
use crate::store::{BegunFile, BegunSet, FileState, Keep, Left, Store, StoredSet};
use crate::verdict::Problem;
use crate::writer::measure;
use crate::{
    BackupError, FileRecord, MANIFEST_FILE, Manifest, NotJudged, SetError, VerificationFailed,
};

const BUFFER_BYTES: usize = 256 * 1024;

/// Why a set was not copied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// It cannot be read, or is not what its manifest says.
    #[error(transparent)]
    Source(#[from] BackupError),
    /// It cannot be written.
    #[error(transparent)]
    Target(#[from] SetError),
}

/// A set that was copied.
#[derive(Debug)]
#[non_exhaustive]
pub struct Copied {
    /// Where it is now.
    pub path: PathBuf,
    /// Its manifest, which is the one of the original.
    pub manifest: Manifest,
    /// Whether it was there already, with that very manifest.
    pub was_there: bool,
    /// How much of it an earlier copy had brought there.
    pub kept_bytes: u64,
}

/// What happens while a set is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyEvent<'a> {
    /// So much of a file is there.
    Copying {
        /// Its name.
        file: &'a str,
        /// How much.
        bytes: u64,
        /// Of how much.
        of: u64,
    },
    /// So much of a file that is there was read and compared.
    Comparing {
        /// Its name.
        file: &'a str,
        /// How much.
        bytes: u64,
        /// Of how much.
        of: u64,
    },
}

/// How a set is copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Whether what was stored is read from there and compared, before the copy counts.
    pub read_back: bool,
}

/// Copies `set` into `store` under its own name, to which a number is added where that is taken. What is stored is copied
/// byte by byte, encrypted or not, and compared with the manifest on the way; the manifest itself comes last, so that there is
/// a whole set or none. What arrived before an error stays without one, for the next copy to go on with.
pub fn copy_set(
    set: &dyn StoredSet,
    store: &impl Store,
    options: CopyOptions,
    observe: &mut dyn FnMut(CopyEvent<'_>),
) -> Result<Copied, CopyError> {
    let (manifest, json) = match read_manifest_with_bytes(set)? {
        Ok(read) => read,
        Err(unusable) => return Err(unusable.into_error(set).into()),
    };
    let name = set.location().file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        let why = "its name is no text".to_owned();
        return Err(BackupError::from(NotJudged::new(set.location(), why, false)).into());
    };
    let there = of_name(store, name);
    if let Some(path) = there.as_ref().and_then(|there| same(there, &json)) {
        return Ok(Copied {
            path,
            manifest,
            was_there: true,
            kept_bytes: 0,
        });
    }
    let is_begun = there.is_some_and(|there| is_part_of(&there, &manifest));
    let begun = if is_begun {
        store.resume(name)?
    } else {
        store.begin(name)?
    };
    let mut copying = Copying {
        set,
        begun: &begun,
        options,
        observe,
        kept_bytes: 0,
    };
    match copying.everything(&manifest, &json) {
        Ok(()) => Ok(Copied {
            path: begun.location().to_owned(),
            manifest,
            was_there: false,
            kept_bytes: copying.kept_bytes,
        }),
        Err(error) => {
            begun.remove(if is_of_content(&error) {
                Keep::Nothing
            } else {
                Keep::Data
            });
            Err(error)
        }
    }
}

/// Whether what was brought over is not what it should be, so that there is nothing to go on with.
fn is_of_content(error: &CopyError) -> bool {
    !matches!(
        error,
        CopyError::Source(BackupError::Io { .. }) | CopyError::Target(SetError::Io { .. })
    )
}

/// What there is under this name. A store that is not there yet has nothing.
fn of_name<S: Store>(store: &S, name: &str) -> Option<S::Set> {
    let mut sets = store.list().ok()?.into_iter();
    sets.find(|set| set.location().file_name().is_some_and(|one| one == name))
}

/// Where the set is, where it has this very manifest.
fn same(there: &dyn StoredSet, json: &[u8]) -> Option<PathBuf> {
    let (_, found) = read_manifest_with_bytes(there).ok()?.ok()?;
    (found == json).then(|| there.location().to_owned())
}

/// Whether it can be what an interrupted copy of a set with this manifest has left: nothing but files of it, and not more of
/// them than there should be.
fn is_part_of(there: &dyn StoredSet, manifest: &Manifest) -> bool {
    let Ok(files) = there.files() else {
        return false;
    };
    let is_part = |name: &str, found: u64| {
        let whole = name.strip_suffix(PARTIAL_SUFFIX).unwrap_or(name);
        let mut records = manifest.files().iter();
        let record = records.find(|record| record.name == whole);
        record.is_some_and(|record| found <= record.bytes)
    };
    there.look(MANIFEST_FILE).is_err()
        && !files.is_empty()
        && files.iter().all(|file| match file.state {
            FileState::File { bytes } => is_part(&file.name, bytes),
            FileState::NotAFile => false,
        })
}

struct Copying<'a, B> {
    set: &'a dyn StoredSet,
    begun: &'a B,
    options: CopyOptions,
    observe: &'a mut dyn FnMut(CopyEvent<'_>),
    kept_bytes: u64,
}

impl<B: BegunSet> Copying<'_, B> {
    fn everything(&mut self, manifest: &Manifest, json: &[u8]) -> Result<(), CopyError> {
        for record in manifest.files() {
            self.file(record)?;
        }
        if self.options.read_back {
            for record in manifest.files() {
                self.read_back(record)?;
            }
        }
        Ok(self.begun.seal(json)?)
    }

    fn file(&mut self, record: &FileRecord) -> Result<(), CopyError> {
        if let Err(problem) = size_of_listed(self.set, record)? {
            return Err(self.failed(problem));
        }
        let name = &record.name;
        let path = self.begun.location().join(name);
        match self.begun.left(name)? {
            Left::Nothing => {}
            Left::Whole(mut content) => {
                let mut hasher = Hasher::default();
                self.compare(record, &mut content, &mut hasher)
                    .on("read", &path)?;
                if compare_stored(hasher.measured(), record).is_none() {
                    self.kept_bytes += record.bytes;
                    return Ok(());
                }
            }
            Left::Part(file, mut content) => {
                let mut hasher = Hasher::default();
                self.compare(record, &mut content, &mut hasher)
                    .on("read", &path)?;
                let kept = hasher.measured().bytes();
                if kept <= record.bytes && self.copy(record, file, hasher)?.is_none() {
                    self.kept_bytes += kept;
                    return Ok(());
                }
            }
        }
        let file = self.begun.begin_file(name)?;
        match self.copy(record, file, Hasher::default())? {
            None => Ok(()),
            Some(problem) => Err(self.failed(problem)),
        }
    }

    /// Copies what comes after what `hasher` has taken, which is in the file already. The file is complete only if all of it
    /// is what the manifest says; else it is told how it differs.
    fn copy(
        &mut self,
        record: &FileRecord,
        mut file: B::File,
        mut hasher: Hasher,
    ) -> Result<Option<Problem>, CopyError> {
        let unread = |source: io::Error| BackupError::Io {
            path: self.set.location().join(&record.name),
            source,
        };
        let path = self.begun.location().join(&record.name);
        let mut bytes = hasher.measured().bytes();
        let mut stored = if bytes == 0 {
            self.set.read(&record.name)
        } else {
            self.set.read_range(&record.name, bytes..u64::MAX)
        }
        .map_err(unread)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = stored.read(&mut buffer).map_err(unread)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read]).on("write", &path)?;
            bytes += read as u64;
            (self.observe)(CopyEvent::Copying {
                file: &record.name,
                bytes,
                of: record.bytes,
            });
        }
        if let Some(problem) = compare_stored(hasher.measured(), record) {
            return Ok(Some(problem));
        }
        file.complete(record.bytes)?;
        Ok(None)
    }

    fn read_back(&mut self, record: &FileRecord) -> Result<(), CopyError> {
        let path = self.begun.location().join(&record.name);
        let mut stored = self.begun.read_back(&record.name).on("read back", &path)?;
        let mut hasher = Hasher::default();
        self.compare(record, &mut stored, &mut hasher)
            .on("read back", &path)?;
        match compare_stored(hasher.measured(), record) {
            None => Ok(()),
            Some(problem) => Err(SetError::ReadBack {
                path,
                why: problem.what,
            }
            .into()),
        }
    }

    fn compare(
        &mut self,
        record: &FileRecord,
        content: &mut Box<dyn io::Read + Send>,
        hasher: &mut Hasher,
    ) -> io::Result<()> {
        measure(content, hasher, |bytes| {
            (self.observe)(CopyEvent::Comparing {
                file: &record.name,
                bytes,
                of: record.bytes,
            });
        })
    }

    fn failed(&self, problem: Problem) -> CopyError {
        BackupError::from(VerificationFailed::new(self.set.location(), vec![problem])).into()
    }
}
