//! `list`: the backups in a directory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_places::BucketArgs;
use backup_set::{DirectoryStore, NOT_IN_A_DUMP, Rehearsal, SetState, Store, Surveyed, survey};
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, Render, no_permissions};
use wa_common::report::{Styles, age, bytes};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup list",
        "kubectl wa-backup list /mnt/backups -o wide",
    ],
    changes: "nothing",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) to look in [default: ./wa-backups]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    bucket: BucketArgs,
}

#[derive(Serialize)]
struct ListReport {
    directory: PathBuf,
    backups: Vec<ListedSet>,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedSet {
    name: String,
    path: PathBuf,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    time: Option<Timestamp>,
    bytes: u64,
    release: Option<String>,
    /// Live service instances; unknown where the set is not complete, was not verified or does not tell.
    instances: Option<usize>,
    /// What came of the last trial to restore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Rehearsal>,
    /// Whether `prune` leaves it alone.
    protected: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let default = Path::new(super::create::DEFAULT_DIRECTORY);
    let directory = args.directory.as_deref().unwrap_or(default);
    let bucket = args.bucket.bucket(&args.directory, context)?;
    let now = Timestamp::now();
    // Before the first backup the default directory is not there, which is no error; a directory that was named must be.
    let mut backups = if args.directory.is_none() && !default.exists() {
        Vec::new()
    } else {
        match bucket.store(directory, 0)? {
            Some(store) => listed(store, now).await?,
            None => listed(DirectoryStore::new(directory), now).await?,
        }
    };
    backups.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.path.cmp(&b.path)));
    context.print(&ListReport {
        directory: directory.to_owned(),
        backups,
        now,
    })?;
    Ok(Exit::Done)
}

async fn listed(
    store: impl Store + Send + 'static,
    now: Timestamp,
) -> anyhow::Result<Vec<ListedSet>> {
    // On a thread of its own: a signal must be heard meanwhile.
    let listed = spawn_blocking(move || survey(&store, now)).await??;
    Ok(listed.into_iter().map(ListedSet::from_entry).collect())
}

impl ListedSet {
    fn from_entry<S>(set: Surveyed<S>) -> Self {
        let (entry, rehearsal, protected) = (set.entry, set.rehearsal, set.protected);
        let (state, reason, manifest) = match entry.state {
            SetState::Complete(manifest) if manifest.not_judged.is_some() => {
                ("not judged", manifest.not_judged.clone(), Some(manifest))
            }
            SetState::Complete(manifest) => ("complete", None, Some(manifest)),
            SetState::NotJudged { reason } => ("not judged", Some(reason), None),
            SetState::Incomplete => ("incomplete", None, None),
            SetState::Corrupt { reason } => ("corrupt", Some(reason), None),
        };
        Self {
            name: file_name(&entry.path),
            rehearsal,
            protected: protected.is_on(),
            path: entry.path,
            state,
            reason,
            time: entry.time,
            bytes: entry.bytes,
            instances: manifest
                .as_ref()
                .and_then(|manifest| manifest.live_instances()),
            release: manifest.and_then(|manifest| manifest.release),
        }
    }
}

impl ListedSet {
    /// `complete`, whether it was restored as a trial, and whether it is protected.
    fn state_in_words(&self) -> String {
        let mut words = vec![self.state.to_owned()];
        words.extend(self.rehearsal.as_ref().map(Rehearsal::in_words));
        words.extend(self.protected.then(|| "protected".to_owned()));
        words.join(", ")
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

impl Render for ListReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        if self.backups.is_empty() {
            return writeln!(out, "No backups in {}.", self.directory.display());
        }
        let dash = || "-".to_owned();
        let rows = self.backups.iter().map(|entry| {
            let mut row = vec![
                entry.name.clone(),
                entry.time.map_or_else(dash, |time| age(time, self.now)),
                bytes(entry.bytes),
                entry.release.clone().unwrap_or_else(dash),
                entry.instances.map_or_else(dash, |count| count.to_string()),
                entry.state_in_words(),
            ];
            if wide {
                row.push(
                    entry
                        .reason
                        .clone()
                        .unwrap_or_else(|| entry.path.display().to_string()),
                );
            }
            row
        });
        let mut header = vec!["NAME", "AGE", "SIZE", "RELEASE", "INSTANCES", "STATE"];
        header.extend(wide.then_some("PATH OR REASON"));
        writeln!(out, "{}", styles.table(&header, rows))?;
        if wide {
            writeln!(out, "\nOf each of them: {NOT_IN_A_DUMP}")?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.backups
            .iter()
            .map(|entry| entry.path.display().to_string())
            .collect()
    }
}
