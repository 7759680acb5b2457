//! The sets in a directory.

use std::error::Error;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::io_error;
use crate::names::{PARTIAL_SUFFIX, without_number};
use crate::read::glance;
use crate::store::{Store, StoredSet};
use crate::{BackupError, DUMP_FILE, MANIFEST_FILE, SetState};

/// One directory that is, or was to become, a backup set.
#[derive(Debug)]
#[non_exhaustive]
pub struct CatalogEntry {
    /// Its path.
    pub path: PathBuf,
    /// When the backup was begun.
    pub time: Option<Timestamp>,
    /// The size of its files in bytes, finished or not.
    pub bytes: u64,
    /// What there is of it.
    pub state: SetState,
}

/// The sets in a store, newest first. What else is there is passed over.
pub fn catalog(store: &impl Store) -> Result<Vec<CatalogEntry>, BackupError> {
    let sets = catalog_of_sets(store)?.into_iter();
    Ok(sets.map(|(_, entry)| entry).collect())
}

/// As [`catalog`], with the sets themselves.
pub(crate) fn catalog_of_sets<S: Store>(
    store: &S,
) -> Result<Vec<(S::Set, CatalogEntry)>, BackupError> {
    let listed = store
        .list()
        .map_err(|source| io_error(store.location(), source))?;
    let mut entries: Vec<(S::Set, CatalogEntry)> = listed
        .into_iter()
        .filter(|set| is_set(set))
        .map(|set| {
            let entry = look(&set);
            (set, entry)
        })
        .collect();
    entries.sort_by(|(_, a), (_, b)| b.time.cmp(&a.time).then_with(|| a.path.cmp(&b.path)));
    Ok(entries)
}

/// What is listed counts as a set when it has one of a set's files in it, or such a name that it was to become one.
fn is_set(set: &dyn StoredSet) -> bool {
    let partial_dump = format!("{DUMP_FILE}{PARTIAL_SUFFIX}");
    let has = |name: &str| set.look(name).is_ok();
    has(MANIFEST_FILE)
        || has(DUMP_FILE)
        || has(&partial_dump)
        || time_in_name(set.location()).is_some()
}

/// The name without time and number, of a set whose name has them: `wa-cpd`.
pub(crate) fn owner_in_name(path: &Path) -> Option<&str> {
    time_in_name(path)?;
    let name = path.file_name()?.to_str()?;
    Some(without_number(name).rsplit_once('-')?.0)
}

/// An error with its cause.
fn reason(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn look(set: &dyn StoredSet) -> CatalogEntry {
    let path = set.location().to_owned();
    let state = if set.look(MANIFEST_FILE).is_err() {
        SetState::Incomplete
    } else {
        // One unreadable set must not hide the others.
        glance(set).unwrap_or_else(|error| SetState::Corrupt {
            reason: reason(&error),
        })
    };
    let time = match &state {
        SetState::Complete(manifest) => Some(manifest.started_at),
        _ => time_in_name(&path),
    };
    CatalogEntry {
        bytes: set.bytes(),
        path,
        time,
        state,
    }
}

fn time_in_name(path: &Path) -> Option<Timestamp> {
    let name = path.file_name()?.to_str()?;
    let (_, stamp) = without_number(name).rsplit_once('-')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}
