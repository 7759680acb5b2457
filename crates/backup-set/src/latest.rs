//! `latest` and `latest~1`: the newest sets of a directory, by a word.

use std::path::{Path, PathBuf};

use human_text::count;
use thiserror::Error;

use crate::error::BackupError;
use crate::{CatalogEntry, DirectoryStore, Manifest, Purpose, SetState, catalog};

/// Where sets are when no directory is named.
pub const DEFAULT_DIRECTORY: &str = "wa-backups";
/// The word for the newest set of a directory.
const LATEST: &str = "latest";

/// Why there is no set that the word can mean.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LatestError {
    /// The directory could not be looked at.
    #[error("cannot look for the latest backup in {}", directory.display())]
    Unreadable {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: BackupError,
    },
    /// It holds sets of several instances, of which the newest might be anyone's.
    #[error("{} holds backups of several installations ({}): name the set", directory.display(), owners.join(", "))]
    SeveralOwners {
        /// The directory.
        directory: PathBuf,
        /// Whose they are.
        owners: Vec<String>,
    },
    /// It holds fewer complete sets than were counted back.
    #[error("there {} in {}", sets_text(*sets), directory.display())]
    TooFew {
        /// The directory.
        directory: PathBuf,
        /// How many there are.
        sets: usize,
    },
}

fn sets_text(sets: usize) -> String {
    match sets {
        0 => "is no complete backup set".to_owned(),
        1 => "is only 1 complete backup set".to_owned(),
        sets => format!("are only {}", count(sets as u64, "complete backup set")),
    }
}

/// The path that `given` means: `latest` and `latest~1` are the newest set of [`DEFAULT_DIRECTORY`] and the one before it,
/// `DIR/latest` the newest one of `DIR`; any other path is itself. What is there under that very name is meant first.
///
/// Safety backups are passed over, and so are sets that are not complete. Where a directory holds sets of several
/// instances, the newest one is not guessed.
pub fn resolve_backup(given: &Path) -> Result<PathBuf, LatestError> {
    let word = given.file_name().and_then(|name| name.to_str());
    let Some(back) = word.and_then(steps_back) else {
        return Ok(given.to_owned());
    };
    if given.symlink_metadata().is_ok() {
        return Ok(given.to_owned());
    }
    let directory = match given.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new(DEFAULT_DIRECTORY),
    };
    let directory = directory.to_owned();
    let listed = match catalog(&DirectoryStore::new(&directory)) {
        Ok(listed) => listed,
        Err(source) => return Err(LatestError::Unreadable { directory, source }),
    };
    let sets = complete(listed);
    let mut owners: Vec<String> = sets.iter().map(|(_, manifest)| owner(manifest)).collect();
    owners.sort();
    owners.dedup();
    if owners.len() > 1 {
        return Err(LatestError::SeveralOwners { directory, owners });
    }
    let count = sets.len();
    let set = sets.into_iter().nth(back);
    set.map(|(path, _)| path).ok_or(LatestError::TooFew {
        directory,
        sets: count,
    })
}

/// 0 for `latest`, 1 for `latest~` and `latest~1`.
fn steps_back(word: &str) -> Option<usize> {
    match word.strip_prefix(LATEST)? {
        "" => Some(0),
        "~" => Some(1),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

fn complete(entries: Vec<CatalogEntry>) -> Vec<(PathBuf, Box<Manifest>)> {
    let sets = entries.into_iter().filter_map(|entry| match entry.state {
        SetState::Complete(manifest) => Some((entry.path, manifest)),
        _ => None,
    });
    sets.filter(|(_, manifest)| manifest.purpose == Purpose::Backup)
        .collect()
}

fn owner(manifest: &Manifest) -> String {
    format!(
        "{} in {} on {}",
        manifest.instance, manifest.namespace, manifest.cluster.server
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_a_word_only_where_nothing_has_that_name() {
        let directory = tempfile::tempdir().unwrap();
        let latest = directory.path().join("latest");
        let error = resolve_backup(&latest).unwrap_err().to_string();
        assert!(error.contains("is no complete backup set"), "{error}");
        std::fs::create_dir(&latest).unwrap();
        assert_eq!(resolve_backup(&latest).unwrap(), latest);
        for plain in ["store.dump", "latest.dump", "latest~x"] {
            assert_eq!(resolve_backup(Path::new(plain)).unwrap(), Path::new(plain));
        }
    }

    #[test]
    fn steps_back_are_counted_from_the_newest() {
        assert_eq!(steps_back("latest"), Some(0));
        assert_eq!(steps_back("latest~"), Some(1));
        assert_eq!(steps_back("latest~3"), Some(3));
        assert_eq!(steps_back("latest~-1"), None);
    }
}
