//! What the files on the backup volume are, by their names.

use jiff::Timestamp;
use jiff::civil::Date;
use kube_transfer::file::{Entry, EntryKind};
use serde::Serialize;
use wa_common::assistant::Retention;

const DUMP: &str = "store.dump";
const AUTH_ENCRYPTION: &str = "auth-encryption-";
/// The key is written right after the dump: a file whose name has another time belongs to it when it is this close.
const KEY_FOLLOWS_WITHIN_SECONDS: u64 = 600;

/// What a file on the volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A dump of the store database: `store.dump_YYYYMMDD-TIME`.
    Dump,
    /// The auth-encryption secret at the time of a dump: `auth-encryption-<instance>_YYYYMMDD-TIME.yaml`.
    AuthEncryption,
    /// A file somebody else has put there.
    Other,
    /// A symbolic link; never followed, since it may lead out of the volume.
    Symlink,
    /// A directory, such as `lost+found`.
    Directory,
    /// A device, a socket, a pipe.
    Special,
}

/// What the CronJob's retention counts a dump as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptAs {
    /// One of every day.
    Daily,
    /// One of every week.
    Weekly,
}

impl FileKind {
    /// What a file is, by its name and what the file system calls it.
    pub fn from_entry(entry: &Entry) -> Self {
        match entry.kind {
            EntryKind::File if entry.name.starts_with(DUMP) => Self::Dump,
            EntryKind::File
                if entry.name.starts_with(AUTH_ENCRYPTION) && stem(&entry.name).is_some() =>
            {
                Self::AuthEncryption
            }
            EntryKind::File => Self::Other,
            EntryKind::Symlink => Self::Symlink,
            EntryKind::Directory => Self::Directory,
            _ => Self::Special,
        }
    }

    /// Its name for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::AuthEncryption => "auth-encryption",
            Self::Other => "other",
            Self::Symlink => "symlink",
            Self::Directory => "directory",
            Self::Special => "special",
        }
    }
}

impl KeptAs {
    /// How the CronJob counts that dump: it looks at the day in the name.
    pub fn from_name(name: &str, retention: Retention) -> Option<Self> {
        let day: Date = stamp(name)?.get(..8)?.parse().ok()?;
        Some(if day.weekday() == retention.weekly_day {
            Self::Weekly
        } else {
            Self::Daily
        })
    }

    /// Its name for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }
}

/// When the file was last written.
pub fn modified(entry: &Entry) -> Timestamp {
    let seconds = i64::try_from(entry.version.modified).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// The auth-encryption file that was written with `dump`.
pub(crate) fn key_of<'a>(dump: &Entry, files: &'a [Entry]) -> Option<&'a Entry> {
    let keys = || {
        files
            .iter()
            .filter(|file| FileKind::from_entry(file) == FileKind::AuthEncryption)
    };
    let wanted = stamp(&dump.name)?;
    keys()
        .find(|file| stamp(&file.name) == Some(wanted))
        .or_else(|| {
            let distance = |file: &&Entry| file.version.modified.abs_diff(dump.version.modified);
            keys()
                .filter(|file| distance(file) <= KEY_FOLLOWS_WITHIN_SECONDS)
                .min_by_key(distance)
        })
}

/// Whether keys are kept with the dumps on the volume.
pub(crate) fn any_has_key(files: &[Entry]) -> bool {
    let is_dump = |file: &&Entry| FileKind::from_entry(file) == FileKind::Dump;
    let mut dumps = files.iter().filter(is_dump);
    dumps.any(|dump| key_of(dump, files).is_some())
}

/// The name of a YAML file without its ending.
fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".yaml")
}

/// The time in a file's name, `YYYYMMDD-TIME`.
fn stamp(name: &str) -> Option<&str> {
    let (_, stamp) = name.rsplit_once('_')?;
    let stamp = stem(stamp).unwrap_or(stamp);
    let (day, _) = stamp.split_once('-')?;
    (day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit())).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Weekday;
    use kube_transfer::file::FileVersion;

    fn file(name: &str, modified: u64) -> Entry {
        let version = FileVersion {
            bytes: 1,
            modified,
            inode: 1,
        };
        Entry::new(name, EntryKind::File, version)
    }

    #[test]
    fn kinds_are_known_by_name_and_never_for_links() {
        let kind = |name| FileKind::from_entry(&file(name, 0));
        assert_eq!(kind("store.dump_20261121-230004"), FileKind::Dump);
        assert_eq!(
            kind("auth-encryption-wa_20261121-230004.yaml"),
            FileKind::AuthEncryption
        );
        assert_eq!(kind("notes.txt"), FileKind::Other);
        let mut link = file("store.dump_20261121-230004", 0);
        link.kind = EntryKind::Symlink;
        assert_eq!(FileKind::from_entry(&link), FileKind::Symlink);
    }

    #[test]
    fn a_dump_counts_by_the_day_in_its_name() {
        let retention = Retention {
            weekly_day: Weekday::Sunday,
            keep_weekly: Some(4),
            keep_daily: Some(6),
        };
        let kept = |name| KeptAs::from_name(name, retention);
        assert_eq!(kept("store.dump_20261122-230004"), Some(KeptAs::Weekly));
        assert_eq!(kept("store.dump_20261121-230004"), Some(KeptAs::Daily));
        assert_eq!(kept("store.dump_before_the_upgrade"), None);
        assert_eq!(kept("store.dump_99999999-1"), None);
    }

    #[test]
    fn a_key_belongs_to_the_dump_of_its_time() {
        let files = [
            file("auth-encryption-wa_20261120-230004.yaml", 100),
            file("auth-encryption-wa_20261121-230004.yaml", 5000),
        ];
        let key =
            |name, modified| key_of(&file(name, modified), &files).map(|file| file.name.as_str());
        assert_eq!(
            key("store.dump_20261120-230004", 9000),
            Some(files[0].name.as_str())
        );
        assert_eq!(
            key("store.dump_20261121-230001", 4990),
            Some(files[1].name.as_str())
        );
        assert_eq!(key("store.dump_20261119-230001", 3000), None);
        assert_eq!(key("store.dump", 100), None);
    }
}
