//! Commands that read several backups: one that is bad does not keep the others from being read.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_places::Bucket;
use backup_set::BackupError;
use serde::Serialize;
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Event, Styles, causes_text, count};

/// The verdict on a backup that was not found intact, for programs; a person reads the error.
#[derive(Serialize)]
pub(super) struct OtherVerdict {
    path: PathBuf,
    verdict: &'static str,
    intact: bool,
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<String>,
}

impl OtherVerdict {
    pub(super) fn from_error(path: &Path, error: &BackupError) -> Self {
        let (verdict, problems, repair) = match error {
            BackupError::Failed(failed) => (failed.verdict(), failed.problems(), failed.repair()),
            BackupError::NotJudged(not) => ("notJudged", vec![not.why().to_owned()], None),
            _ => ("unread", vec![causes_text(error)], None),
        };
        Self {
            path: path.to_owned(),
            verdict,
            intact: false,
            problems,
            repair: repair.map(str::to_owned),
        }
    }
}

/// The paths that are meant, with the sets that `latest` and the like stand for.
pub(super) fn resolved(paths: &[PathBuf], bucket: &Bucket) -> anyhow::Result<Vec<PathBuf>> {
    paths.iter().map(|path| bucket.resolve(path)).collect()
}

/// The results on several backups.
pub(super) struct Several<'a, T> {
    context: &'a Context,
    /// What a program gets, in one document at the end.
    items: Vec<T>,
    tally: Tally,
}

impl<'a, T: Render> Several<'a, T> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            items: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Takes the result on a backup that is intact. A person gets it now: the last one may be hours away.
    pub(super) fn intact(&mut self, item: T) -> anyhow::Result<()> {
        self.tally.intact += 1;
        if self.context.global.output.is_structured() {
            self.items.push(item);
            return Ok(());
        }
        self.context.print(&item)
    }

    /// Takes the result on any other.
    pub(super) fn other(&mut self, item: T, error: BackupError) {
        *match &error {
            BackupError::Failed(_) => &mut self.tally.not_intact,
            BackupError::NotJudged(_) => &mut self.tally.not_judged,
            _ => &mut self.tally.unread,
        } += 1;
        let message = self.context.error_text(&error.into());
        self.context.reporter.report(&Event::Failure {
            message,
            leftovers: Vec::new(),
        });
        self.items.push(item);
    }

    /// Prints the summary. The exit code is that of the worst.
    pub(super) fn conclude(self) -> anyhow::Result<Exit> {
        self.context.print(&Summary {
            items: &self.items,
            tally: &self.tally,
        })?;
        Ok(self.tally.exit())
    }
}

/// What is printed last: for a person how many there are of each kind, for a program all of them.
#[derive(Serialize)]
struct Summary<'a, T> {
    items: &'a [T],
    #[serde(rename = "summary")]
    tally: &'a Tally,
}

impl<T: Serialize> Render for Summary<'_, T> {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        writeln!(out, "{}", self.tally)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// How many backups there are of each kind.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    intact: u64,
    not_intact: u64,
    not_judged: u64,
    unread: u64,
}

impl Tally {
    /// The exit code of the worst.
    fn exit(&self) -> Exit {
        if self.not_intact > 0 {
            Exit::VerificationFailed
        } else if self.unread > 0 {
            Exit::Error
        } else if self.not_judged > 0 {
            Exit::NotJudged
        } else {
            Exit::Done
        }
    }
}

impl fmt::Display for Tally {
    /// `3 backups: 2 intact, 1 not intact`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.intact + self.not_intact + self.not_judged + self.unread;
        write!(f, "{}: {} intact", count(all, "backup"), self.intact)?;
        for (number, what) in [
            (self.not_intact, "not intact"),
            (self.not_judged, "cannot be judged"),
            (self.unread, "could not be read"),
        ] {
            if number > 0 {
                write!(f, ", {number} {what}")?;
            }
        }
        Ok(())
    }
}
