//! `latest` and `latest~1`, a date, or how a name begins: sets of a directory by a word.

use std::path::{Path, PathBuf};

use human_text::count;
use jiff::Timestamp;
use thiserror::Error;

use crate::error::BackupError;
use crate::names::scheme_of;
use crate::{CatalogEntry, DirectoryStore, Manifest, Purpose, SetState, Store, catalog};

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
    /// Several sets are meant by the word.
    #[error("{word} means several backups in {}: {}; name one of them", directory.display(), names.join(", "))]
    Several {
        /// The word.
        word: String,
        /// The directory.
        directory: PathBuf,
        /// The sets.
        names: Vec<String>,
    },
    /// It is a URL, and not read here.
    #[error("{} is no path of this machine", given.display())]
    Url {
        /// What was given.
        given: PathBuf,
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
/// `DIR/latest` the newest one of `DIR`. `2026-11-27`, `2026-11-27T23` and so on are the set of that day or hour, UTC as in
/// names of sets; the beginning of a name is the set of that name. Any other path is itself, and what is there under that
/// very name is meant first.
///
/// Safety backups are passed over, but for the beginning of their name; sets that are not complete always are. Where a
/// directory holds sets of several instances, the newest one is not guessed, and where a word means several, none is.
pub fn resolve_backup(given: &Path) -> Result<PathBuf, LatestError> {
    let Some(word) = given.file_name().and_then(|name| name.to_str()) else {
        return Ok(given.to_owned());
    };
    if given.symlink_metadata().is_ok() {
        return Ok(given.to_owned());
    }
    if scheme_of(given).is_some() {
        return Err(LatestError::Url {
            given: given.to_owned(),
        });
    }
    let directory = match given.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new(DEFAULT_DIRECTORY),
    };
    let found = resolve_in(&DirectoryStore::new(directory), word)?;
    Ok(found.unwrap_or_else(|| given.to_owned()))
}

/// As [`resolve_backup`], of a word in any store; none where it means no set there.
pub fn resolve_in(store: &impl Store, word: &str) -> Result<Option<PathBuf>, LatestError> {
    match steps_back(word) {
        Some(back) => latest(store, back).map(Some),
        None => named_by(store, word),
    }
}

/// The newest set of the store, or the one so many before it.
fn latest(store: &impl Store, back: usize) -> Result<PathBuf, LatestError> {
    let directory = store.location().to_owned();
    let listed = match catalog(store) {
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

/// The only set of the store whose time or name begins as the word does; none where there is none, or no such store.
fn named_by(store: &impl Store, word: &str) -> Result<Option<PathBuf>, LatestError> {
    let Ok(listed) = catalog(store) else {
        return Ok(None);
    };
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in listed {
        let SetState::Complete(manifest) = &entry.state else {
            continue;
        };
        let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_backup = manifest.purpose == Purpose::Backup;
        if name.starts_with(word) || is_backup && is_of_time(manifest.started_at, word) {
            found.push((name.to_owned(), entry.path));
        }
    }
    match &mut found[..] {
        [] => Ok(None),
        [(_, only)] => Ok(Some(std::mem::take(only))),
        _ => Err(LatestError::Several {
            word: word.to_owned(),
            directory: store.location().to_owned(),
            names: found.into_iter().map(|(name, _)| name).collect(),
        }),
    }
}

/// Whether the word is the day of that time, or more of it: `2026-11-27`, `20261127`, `2026-11-27T23:00`.
fn is_of_time(time: Timestamp, word: &str) -> bool {
    const DAY: usize = "2026-11-27".len();
    let forms = ["%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ"];
    let is_long_enough = word.len() >= DAY || word.len() == "20261127".len() && !word.contains('-');
    is_long_enough
        && forms
            .iter()
            .any(|form| time.strftime(form).to_string().starts_with(word))
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
    fn a_day_or_more_of_a_time_is_known_in_both_forms() {
        let time: Timestamp = "2026-11-27T23:00:04Z".parse().unwrap();
        for word in [
            "2026-11-27",
            "20261127",
            "2026-11-27T23",
            "2026-11-27T23:00:04Z",
            "20261127T2300",
        ] {
            assert!(is_of_time(time, word), "{word}");
        }
        for word in [
            "2026",
            "2026-11",
            "2026-11-2",
            "202611",
            "2026-11-28",
            "20261127T22",
            "27",
        ] {
            assert!(!is_of_time(time, word), "{word}");
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
