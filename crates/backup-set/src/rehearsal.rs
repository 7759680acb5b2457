//! The record that a set was restored, as a trial: a file beside `backup.json`, which stays as it was sealed.

use std::io;
use std::path::Path;

use human_text::printable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::beside;
use crate::store::StoredSet;
use crate::{DirectorySet, FileRole, Manifest, ToolRecord};

/// The file's name.
pub const REHEARSAL_FILE: &str = "rehearsal.json";
/// Of the file's format. A newer one is passed over.
const FORMAT_VERSION: u32 = 1;

/// Where a set was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RehearsalPlace {
    /// In a pod of its own, with the image of the database's pods.
    Pod,
    /// On the machine of whoever asked for it.
    Local,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    format_version: u32,
    /// What has tried it.
    pub tool: ToolRecord,
    /// When.
    pub rehearsed_at: Timestamp,
    /// Of which dump: another one in its place was not restored.
    pub dump_sha256: String,
    /// Where.
    pub place: RehearsalPlace,
    /// The version of the PostgreSQL that it was restored into.
    pub postgres: String,
    /// How long pg_restore took, in milliseconds.
    pub restore_milliseconds: u64,
    /// How many tables were compared with the archive, row count by row count.
    pub tables: u64,
    /// How many rows they have.
    pub rows: u64,
    /// How many large objects were compared, by their number and size; none was before they were.
    #[serde(default)]
    pub large_objects: u64,
    /// How many service instances are in it; none where they cannot be counted.
    pub instances: Option<u64>,
    /// What went wrong, or is not as in the archive. None: the set restores.
    pub problems: Vec<String>,
}

impl Rehearsal {
    /// A trial that ends now.
    pub fn new(tool: ToolRecord, dump_sha256: &str, place: RehearsalPlace) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool,
            rehearsed_at: Timestamp::now(),
            dump_sha256: dump_sha256.to_owned(),
            place,
            postgres: String::new(),
            restore_milliseconds: 0,
            tables: 0,
            rows: 0,
            large_objects: 0,
            instances: None,
            problems: Vec::new(),
        }
    }

    /// Whether the set restores.
    pub fn succeeded(&self) -> bool {
        self.problems.is_empty()
    }

    /// `restored on 2026-11-27 in 41 s`
    pub fn in_words(&self) -> String {
        let date = self.rehearsed_at.strftime("%Y-%m-%d");
        if self.succeeded() {
            format!("restored on {date} in {}", self.time())
        } else {
            format!("did NOT restore on {date}")
        }
    }

    /// `41 s`
    pub fn time(&self) -> String {
        let milliseconds = self.restore_milliseconds;
        match milliseconds / 1000 {
            0..10 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
            seconds @ 10..600 => format!("{seconds} s"),
            seconds => format!("{} min", seconds / 60),
        }
    }

    /// The last trial of the set in `directory`, where there was one of the dump that `manifest` lists.
    pub fn of_set(directory: &Path, manifest: &Manifest) -> Option<Self> {
        Self::of_stored(&DirectorySet::new(directory), manifest)
    }

    /// As [`Self::of_set`], of a set wherever it is kept.
    pub fn of_stored(set: &dyn StoredSet, manifest: &Manifest) -> Option<Self> {
        let dump = manifest
            .files()
            .iter()
            .find(|file| file.role == FileRole::StoreDump)?;
        Self::read_of(set, dump.plaintext_sha256())
    }

    /// The last trial in `directory`, where it was of the dump with that SHA-256. A file that cannot be read, or is of a
    /// newer format, is none: nothing depends on it.
    pub fn of_dump(directory: &Path, sha256: &str) -> Option<Self> {
        Self::read_of(&DirectorySet::new(directory), sha256)
    }

    fn read_of(set: &dyn StoredSet, sha256: &str) -> Option<Self> {
        let found = Self::read(set)?;
        let is_of_it = found.dump_sha256.eq_ignore_ascii_case(sha256);
        (found.format_version <= FORMAT_VERSION && is_of_it).then_some(found)
    }

    fn read(set: &dyn StoredSet) -> Option<Self> {
        let json = beside::read(set, REHEARSAL_FILE).ok()??;
        let mut found: Self = serde_json::from_slice(&json).ok()?;
        // Anyone may have written it.
        for text in found.problems.iter_mut().chain([&mut found.postgres]) {
            *text = printable(text).into_owned();
        }
        Some(found)
    }

    /// Puts the record into the set, in place of an earlier one.
    pub fn put(&self, set: &dyn StoredSet) -> io::Result<()> {
        beside::write(set, REHEARSAL_FILE, self)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rehearsal() -> Rehearsal {
        let tool = ToolRecord {
            name: "test".to_owned(),
            version: "0".to_owned(),
        };
        Rehearsal::new(tool, "ab", RehearsalPlace::Pod)
    }

    #[test]
    fn the_time_is_as_exact_as_it_is_of_use() {
        let time = |restore_milliseconds| {
            let rehearsal = Rehearsal {
                restore_milliseconds,
                ..rehearsal()
            };
            rehearsal.time()
        };
        assert_eq!(
            [1_250, 41_900, 599_999, 3_600_000].map(time),
            ["1.2 s", "41 s", "599 s", "60 min"]
        );
    }

    #[test]
    fn a_record_is_read_back_and_what_is_none_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut failed = rehearsal();
        failed
            .problems
            .push("the table a\u{1b}[2J is missing".to_owned());
        let set = DirectorySet::new(directory.path());
        failed.put(&set).unwrap();
        failed.put(&set).unwrap();
        let path = directory.path().join(REHEARSAL_FILE);
        let read = Rehearsal::read(&set).unwrap();
        assert!(!read.succeeded() && read.in_words().starts_with("did NOT restore on 20"));
        assert!(!read.problems[0].contains('\u{1b}'), "{:?}", read.problems);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let of_dump = |sha256| Rehearsal::of_dump(directory.path(), sha256);
        assert_eq!(of_dump("AB").as_ref(), Some(&read));
        assert_eq!(of_dump("cd"), None);
        for json in ["", "{}", "[]", "{\"formatVersion\": 1}"] {
            fs::write(&path, json).unwrap();
            assert_eq!(Rehearsal::read(&set), None, "{json}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(Rehearsal::read(&set), None);
    }
}
