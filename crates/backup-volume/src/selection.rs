//! Which dumps to fetch.

use std::str::FromStr;

use anyhow::{anyhow, bail};
use clap::ArgGroup;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube_transfer::file::Entry;
use wa_common::report::printable;

use crate::files::{self, FileKind};

/// One way to say which.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("selection").required(true)))]
pub struct SelectionArgs {
    /// Files on the volume, by the names that `list` shows
    #[arg(group = "selection", value_name = "FILE")]
    files: Vec<String>,

    /// The newest dump
    #[arg(long, group = "selection")]
    latest: bool,

    /// Every dump
    #[arg(long, group = "selection")]
    all: bool,

    /// Dumps since then: 2026-11-20, 2026-11-20T23:00, 2026-11-20T23:00:00Z, or how long ago: 36h, 3d
    #[arg(long, group = "selection", value_name = "TIME")]
    since: Option<Since>,
}

/// The `--since` of the command line: a point in time; without a zone, this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since(Timestamp);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zone = TimeZone::system();
        let local = |time: DateTime| {
            time.to_zoned(zone.clone())
                .ok()
                .map(|time| time.timestamp())
        };
        let ago = || {
            let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
            let span = match days {
                Some(days) => SignedDuration::try_from_hours(24_i64.checked_mul(days)?)?,
                None => text.parse().ok()?,
            };
            Timestamp::now().checked_sub(span).ok()
        };
        // The most exact first: a date is the beginning of a time.
        text.parse()
            .ok()
            .or_else(|| local(text.parse().ok()?))
            .or_else(|| local(text.parse::<Date>().ok()?.into()))
            .or_else(ago)
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is no time: write 2026-11-20, 2026-11-20T23:00:00Z, 36h or 3d")
            })
    }
}

impl SelectionArgs {
    /// Whether the files are named one by one.
    pub fn is_by_name(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether only the newest dump is meant.
    pub fn is_latest(&self) -> bool {
        self.latest
    }

    /// The files meant, newest first; an error where there are none, or where one is named that cannot be fetched.
    pub fn choose(&self, mut found: Vec<Entry>) -> anyhow::Result<Vec<Entry>> {
        if !self.files.is_empty() {
            return named(&self.files, &found);
        }
        found = dumps(found);
        if found.is_empty() {
            bail!("there are no dumps on the volume; nothing was fetched");
        }
        if self.latest {
            found.truncate(1);
        }
        if let Some(Since(since)) = self.since {
            found.retain(|file| files::modified(file) >= since);
            if found.is_empty() {
                bail!("there are no dumps since {since}; nothing was fetched");
            }
        }
        Ok(found)
    }
}

/// The dumps among the files, newest first.
pub fn dumps(mut files: Vec<Entry>) -> Vec<Entry> {
    files.retain(|file| FileKind::of(file) == FileKind::Dump);
    files.sort_by_key(|file| std::cmp::Reverse(file.version.modified));
    files
}

/// All names at once, so that one run tells of every mistake.
fn named(names: &[String], found: &[Entry]) -> anyhow::Result<Vec<Entry>> {
    let mut chosen: Vec<Entry> = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        if chosen.iter().any(|file| file.name == *name) {
            continue;
        }
        match found.iter().find(|file| file.name == *name) {
            None => problems.push(format!("{:?} is not on the volume", printable(name))),
            Some(file) => match FileKind::of(file) {
                FileKind::Dump | FileKind::Other => chosen.push(file.clone()),
                FileKind::AuthEncryption => problems.push(format!(
                    "{:?} is fetched together with its dump; name the dump",
                    printable(name)
                )),
                kind => problems.push(format!(
                    "{:?} is a {}, not a file; it is not followed",
                    printable(name),
                    kind.name()
                )),
            },
        }
    }
    if problems.is_empty() {
        return Ok(chosen);
    }
    Err(anyhow!(
        "{}; nothing was fetched: `kubectl wa-pvc list` shows what there is",
        problems.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_transfer::file::{EntryKind, FileVersion};

    fn file(name: &str, modified: u64, kind: EntryKind) -> Entry {
        Entry {
            name: name.to_owned(),
            kind,
            version: FileVersion {
                bytes: 1,
                modified,
                inode: 1,
            },
        }
    }

    fn volume() -> Vec<Entry> {
        vec![
            file("store.dump_20261120-230000", 100, EntryKind::File),
            file("store.dump_20261121-230000", 200, EntryKind::File),
            file(
                "auth-encryption-wa_20261121-230000.yaml",
                201,
                EntryKind::File,
            ),
            file("store.dump_20261122-230000", 300, EntryKind::Symlink),
            file("by hand", 50, EntryKind::File),
        ]
    }

    fn args() -> SelectionArgs {
        SelectionArgs {
            files: Vec::new(),
            latest: false,
            all: true,
            since: None,
        }
    }

    fn names(args: &SelectionArgs) -> Vec<String> {
        let chosen = args.choose(volume()).unwrap();
        chosen.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn dumps_are_chosen_newest_first_and_links_never() {
        let all = ["store.dump_20261121-230000", "store.dump_20261120-230000"];
        assert_eq!(names(&args()), all);
        let latest = SelectionArgs {
            latest: true,
            ..args()
        };
        assert_eq!(names(&latest), all[..1]);
        let since = SelectionArgs {
            since: Some(Since(Timestamp::from_second(150).unwrap())),
            ..args()
        };
        assert_eq!(names(&since), all[..1]);
    }

    #[test]
    fn every_name_that_cannot_be_fetched_is_told_at_once() {
        let files = [
            "by hand",
            "missing",
            "store.dump_20261122-230000",
            "auth-encryption-wa_20261121-230000.yaml",
        ];
        let args = SelectionArgs {
            files: files.map(str::to_owned).into(),
            ..args()
        };
        let error = args.choose(volume()).unwrap_err().to_string();
        for part in [
            "\"missing\" is not on the volume",
            "is a symlink",
            "name the dump",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("by hand"), "{error}");
    }

    #[test]
    fn times_are_absolute_or_so_long_ago() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0);
        assert_eq!(
            since("2026-11-20T23:00:00Z").unwrap().to_string(),
            "2026-11-20T23:00:00Z"
        );
        for text in ["2026-11-20", "2026-11-20T23:00", "36h", "3d"] {
            assert!(since(text).is_ok(), "{text}");
        }
        let then = since("3d").unwrap();
        assert_eq!(Timestamp::now().duration_since(then).as_hours(), 72);
        for text in ["yesterday", "", "d", "99999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
