//! A set, copied from one store to another, as it is stored.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use thiserror::Error;
use transfer_proof::Hasher;

use crate::error::OnPath as _;
use crate::listed::{compare_stored, size_of_listed};
use crate::manifest_file::read_manifest_with_bytes;
use crate::store::{BegunFile as _, BegunSet, Keep, Store, StoredSet};
use crate::verdict::Problem;
use crate::{BackupError, FileRecord, Manifest, NotJudged, SetError, VerificationFailed};

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
}

/// Copies `set` into `store` under its own name, to which a number is added where that is taken. What is stored is copied
/// byte by byte, encrypted or not, and compared with the manifest on the way; the manifest itself comes last, so that there is
/// a whole set or none.
pub fn copy_set(set: &dyn StoredSet, store: &impl Store) -> Result<Copied, CopyError> {
    let (manifest, json) = match read_manifest_with_bytes(set)? {
        Ok(read) => read,
        Err(unusable) => return Err(unusable.into_error(set).into()),
    };
    let name = set.location().file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        let why = "its name is no text".to_owned();
        return Err(BackupError::from(NotJudged::new(set.location(), why, false)).into());
    };
    if let Some(path) = same_in(store, name, &json) {
        return Ok(Copied {
            path,
            manifest,
            was_there: true,
        });
    }
    let begun = store.begin(name)?;
    match copy_files(set, &manifest, &json, &begun) {
        Ok(()) => Ok(Copied {
            path: begun.location().to_owned(),
            manifest,
            was_there: false,
        }),
        Err(error) => {
            begun.remove(Keep::Nothing);
            Err(error)
        }
    }
}

/// The set of this name with this very manifest. A store that is not there yet has none.
fn same_in(store: &impl Store, name: &str, json: &[u8]) -> Option<PathBuf> {
    let sets = store.list().ok()?;
    let there = sets
        .into_iter()
        .find(|set| set.location().file_name().is_some_and(|one| one == name))?;
    let (_, found) = read_manifest_with_bytes(&there).ok()?.ok()?;
    (found == json).then(|| there.location().to_owned())
}

fn copy_files(
    set: &dyn StoredSet,
    manifest: &Manifest,
    json: &[u8],
    begun: &impl BegunSet,
) -> Result<(), CopyError> {
    for record in manifest.files() {
        copy_file(set, record, begun)?;
    }
    Ok(begun.seal(json)?)
}

fn copy_file(
    set: &dyn StoredSet,
    record: &FileRecord,
    begun: &impl BegunSet,
) -> Result<(), CopyError> {
    let failed = |problem: Problem| {
        CopyError::from(BackupError::from(VerificationFailed::new(
            set.location(),
            vec![problem],
        )))
    };
    if let Err(problem) = size_of_listed(set, record)? {
        return Err(failed(problem));
    }
    let unread = |source: io::Error| BackupError::Io {
        path: set.location().join(&record.name),
        source,
    };
    let mut stored = set.read(&record.name).map_err(unread)?;
    let mut file = begun.begin_file(&record.name)?;
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; BUFFER_BYTES]);
    loop {
        let read = stored.read(&mut buffer).map_err(unread)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read])
            .on("write", &begun.location().join(&record.name))?;
    }
    if let Some(problem) = compare_stored(hasher.measured(), record) {
        return Err(failed(problem));
    }
    file.complete(record.bytes)?;
    Ok(())
}
