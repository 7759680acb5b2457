//! The sets in a directory.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::names::{PARTIAL_SUFFIX, without_number};
use crate::read::glance;
use crate::{BackupError, DUMP_FILE, MANIFEST_FILE, SetState};

/// One directory that is, or was to become, a backup set.
#[derive(Debug)]
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

/// The sets in `directory`, newest first. Other files and directories are passed over.
pub fn catalog(directory: &Path) -> Result<Vec<CatalogEntry>, BackupError> {
    let read = |source| BackupError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if is_set(&path) {
            entries.push(look(path));
        }
    }
    entries.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.path.cmp(&b.path)));
    Ok(entries)
}

/// A directory counts as a set when it has one of a set's files in it, or such a name that it was to become one.
fn is_set(path: &Path) -> bool {
    let partial_dump = format!("{DUMP_FILE}{PARTIAL_SUFFIX}");
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    path.is_dir()
        && (has(MANIFEST_FILE)
            || has(DUMP_FILE)
            || has(&partial_dump)
            || time_in_name(path).is_some())
}

fn look(path: PathBuf) -> CatalogEntry {
    let state = if path.join(MANIFEST_FILE).symlink_metadata().is_err() {
        SetState::Incomplete
    } else {
        // One unreadable set must not hide the others.
        glance(&path).unwrap_or_else(|error| SetState::Corrupt {
            reason: error.to_string(),
        })
    };
    let time = match &state {
        SetState::Complete(manifest) => Some(manifest.started_at),
        _ => time_in_name(&path),
    };
    CatalogEntry {
        bytes: size_of_files(&path),
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

fn size_of_files(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}
