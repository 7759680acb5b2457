//! Removing a set, and nothing but a set.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::manifest_file::read_manifest_text;
use crate::names::PARTIAL_SUFFIX;
use crate::store::{FileState, StoredFile, StoredSet};
use crate::{
    AUTH_ENCRYPTION_FILE, DUMP_FILE, MANIFEST_FILE, Manifest, PROTECTION_FILE, REHEARSAL_FILE,
};

/// Why a set is still there, or a part of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemovalError {
    /// It was not begun: something is in it that is not of it.
    #[error("{} was not deleted: something else is in it: {}", path.display(), files.join(", "))]
    Foreign {
        /// The set.
        path: PathBuf,
        /// What is in it.
        files: Vec<String>,
    },
    /// Its manifest could not be removed: it is as it was.
    #[error("{} was not deleted", path.display())]
    Refused {
        /// The set.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It has no manifest any more, so nobody takes it for a backup, but some of it is still there.
    #[error("{} was not deleted as a whole, and is no backup any more: delete the rest", path.display())]
    Begun {
        /// The set.
        path: PathBuf,
        /// Why not all of it.
        #[source]
        source: io::Error,
    },
}

/// What is in a set and neither listed in its manifest nor of those files that every set may have.
pub(crate) fn foreign_files(manifest: Option<&Manifest>, files: &[StoredFile]) -> Vec<String> {
    let is_own = |file: &StoredFile| {
        let is_file = matches!(file.state, FileState::File { .. });
        is_file && (is_of_every_set(&file.name) || is_listed(manifest, &file.name))
    };
    let foreign = files.iter().filter(|file| !is_own(file));
    foreign.map(|file| file.name.clone()).collect()
}

fn is_listed(manifest: Option<&Manifest>, name: &str) -> bool {
    let files = manifest.iter().flat_map(|manifest| manifest.files());
    files.into_iter().any(|record| record.name == name)
}

/// Also where it is not finished: a file being written, and the record of a fetch that goes on where it stopped.
fn is_of_every_set(name: &str) -> bool {
    let name = name
        .strip_suffix(".json")
        .filter(|name| name.ends_with(PARTIAL_SUFFIX))
        .unwrap_or(name);
    let name = name.strip_suffix(PARTIAL_SUFFIX).unwrap_or(name);
    let name = name.strip_suffix(".age").unwrap_or(name);
    [
        DUMP_FILE,
        AUTH_ENCRYPTION_FILE,
        MANIFEST_FILE,
        REHEARSAL_FILE,
        PROTECTION_FILE,
    ]
    .contains(&name)
}

/// Removes a set: its manifest first, so that what is left when something goes wrong does not look like a backup, and of
/// the rest only what is of it. Where the store holds the next file fast, such as a dump that is locked by itself, the manifest is put
/// back: nothing else is gone.
pub fn remove_set(set: &dyn StoredSet, manifest: Option<&Manifest>) -> Result<(), RemovalError> {
    let path = || set.location().to_owned();
    let refused = |source| RemovalError::Refused {
        path: path(),
        source,
    };
    let files = set.files().map_err(refused)?;
    let foreign = foreign_files(manifest, &files);
    if !foreign.is_empty() {
        return Err(RemovalError::Foreign {
            path: path(),
            files: foreign,
        });
    }
    // None where there is none that could be put back.
    let sealed = read_manifest_text(set).ok().and_then(Result::ok);
    set.remove_file(MANIFEST_FILE).map_err(refused)?;
    let begun = |source| RemovalError::Begun {
        path: path(),
        source,
    };
    let rest = files.iter().filter(|file| file.name != MANIFEST_FILE);
    // What somebody locks by itself is the dump.
    let (dump, others): (Vec<_>, Vec<_>) = rest.partition(|file| file.name.starts_with(DUMP_FILE));
    for (number, file) in dump.into_iter().chain(others).enumerate() {
        let Err(source) = set.remove_file(&file.name) else {
            continue;
        };
        let is_whole = number == 0 && is_there_still(set, file, &source);
        let sealed = sealed.as_ref().filter(|_| is_whole);
        return Err(match sealed.map(|sealed| set.put(MANIFEST_FILE, sealed)) {
            Some(Ok(())) => refused(source),
            _ => begun(source),
        });
    }
    set.remove_place().map_err(begun)
}

/// Whether a file was not deleted, and not only not heard to be.
fn is_there_still(set: &dyn StoredSet, file: &StoredFile, error: &io::Error) -> bool {
    let found = || set.again()?.look(&file.name);
    error.kind() == io::ErrorKind::PermissionDenied
        && found().is_ok_and(|found| found == file.state)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::DirectorySet;

    #[test]
    fn only_a_set_is_removed_and_nothing_that_somebody_put_into_it() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("wa-cpd-20261122T205500Z");
        fs::create_dir(&directory).unwrap();
        let own = [
            DUMP_FILE,
            MANIFEST_FILE,
            "store.dump.partial.json",
            "store.dump.age",
            REHEARSAL_FILE,
        ];
        for name in own {
            fs::write(directory.join(name), "x").unwrap();
        }
        let set = DirectorySet::new(&directory);
        for foreign in ["notes.txt", "store.dump.old", "partial.json"] {
            fs::write(directory.join(foreign), "x").unwrap();
            let error = remove_set(&set, None).unwrap_err().to_string();
            assert!(
                error.contains(&format!("something else is in it: {foreign}")),
                "{error}"
            );
            assert_eq!(fs::read_dir(&directory).unwrap().count(), own.len() + 1);
            fs::remove_file(directory.join(foreign)).unwrap();
        }
        // A directory of that name is no file of the set.
        fs::remove_file(directory.join(DUMP_FILE)).unwrap();
        fs::create_dir(directory.join(DUMP_FILE)).unwrap();
        remove_set(&set, None).unwrap_err();
        fs::remove_dir(directory.join(DUMP_FILE)).unwrap();
        remove_set(&set, None).unwrap();
        assert!(!directory.exists());
    }
}
