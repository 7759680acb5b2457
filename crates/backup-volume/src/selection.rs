//! Which files to fetch.

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use kube_transfer::file::Entry;
use wa_common::report::printable;

use crate::files::{self, FileKind};

/// Which files are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Exactly these, by their names on the volume.
    Named(Vec<String>),
    /// The newest dump.
    Latest,
    /// Every dump.
    All,
    /// The dumps that were written since then.
    Since(Timestamp),
}

impl Selection {
    /// The files meant, newest first; an error where there are none, or where one is named that cannot be fetched.
    pub fn choose(&self, found: Vec<Entry>) -> anyhow::Result<Vec<Entry>> {
        if let Self::Named(names) = self {
            return named(names, &found);
        }
        let mut found = dumps(found);
        if found.is_empty() {
            bail!("there are no dumps on the volume; nothing was fetched");
        }
        match self {
            Self::Named(_) | Self::All => {}
            Self::Latest => found.truncate(1),
            Self::Since(since) => {
                found.retain(|file| files::modified(file) >= *since);
                if found.is_empty() {
                    bail!("there are no dumps since {since}; nothing was fetched");
                }
            }
        }
        Ok(found)
    }
}

/// The dumps among the files, newest first.
pub fn dumps(mut files: Vec<Entry>) -> Vec<Entry> {
    files.retain(|file| FileKind::from_entry(file) == FileKind::Dump);
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
            Some(file) => match FileKind::from_entry(file) {
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
        let version = FileVersion {
            bytes: 1,
            modified,
            inode: 1,
        };
        Entry::new(name, kind, version)
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

    fn names(selection: &Selection) -> Vec<String> {
        let chosen = selection.choose(volume()).unwrap();
        chosen.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn dumps_are_chosen_newest_first_and_links_never() {
        let all = ["store.dump_20261121-230000", "store.dump_20261120-230000"];
        assert_eq!(names(&Selection::All), all);
        assert_eq!(names(&Selection::Latest), all[..1]);
        let since = Selection::Since(Timestamp::from_second(150).unwrap());
        assert_eq!(names(&since), all[..1]);
    }

    #[test]
    fn every_name_that_cannot_be_fetched_is_reported_at_once() {
        let files = [
            "by hand",
            "missing",
            "store.dump_20261122-230000",
            "auth-encryption-wa_20261121-230000.yaml",
        ];
        let selection = Selection::Named(files.map(str::to_owned).into());
        let error = selection.choose(volume()).unwrap_err().to_string();
        for part in [
            "\"missing\" is not on the volume",
            "is a symlink",
            "name the dump",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("by hand"), "{error}");
    }
}
