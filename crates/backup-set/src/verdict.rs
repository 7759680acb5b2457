//! The three verdicts on a dump: intact, damaged, not judged.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pg_archive::{AfterEnd, ArchiveError, Contents, ErrorKind};
use serde::Serialize;
use thiserror::Error;

use crate::remarks::{Remark, counted_rows, rows_text};
use crate::{DUMP_FILE, ServiceInstance, TenantRows};
use human_text::{count, printable};

/// What reading a dump to its end came to.
#[derive(Debug)]
pub enum Verdict {
    /// pg_restore restores all of it.
    Intact(Box<Verified>),
    /// It may be intact, but is of a kind that this tool does not read; says why.
    NotJudged(String),
    /// It cannot be restored from as it is.
    Failed(Fault),
    /// It could not be read, which says nothing about it.
    Unread(io::Error),
}

/// Proof that every data block of a dump was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    /// The dump's header and tables.
    pub contents: Contents,
    /// The service instances in it.
    pub instances: Vec<ServiceInstance>,
    /// What there is to know about it that makes it no less intact.
    pub remarks: Vec<Remark>,
}

impl Verified {
    /// How many service instances a restore needs a target for, where they can be counted.
    pub fn live_instances(&self) -> Option<usize> {
        let counted = !self.remarks.contains(&Remark::TenantsNotCounted);
        counted.then(|| self.instances.iter().filter(|one| one.is_live()).count())
    }

    /// What was counted, for a program to read.
    pub fn counts(&self) -> VerifiedCounts {
        VerifiedCounts {
            tables: self.contents.tables.len(),
            rows: counted_rows(&self.contents),
            service_instances: self.live_instances(),
        }
    }

    /// `3 service instances`
    pub fn instances_text(&self) -> String {
        self.live_instances().map_or_else(
            || "service instances not counted".to_owned(),
            |live| count(live as u64, "service instance"),
        )
    }
}

/// What was counted in a verified dump; what could not be counted is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct VerifiedCounts {
    /// The tables with data.
    pub tables: usize,
    /// The rows of the tables whose rows can be counted.
    pub rows: Option<u64>,
    /// The service instances that a restore needs a target for.
    pub service_instances: Option<usize>,
}

impl fmt::Display for Verified {
    /// `5 tables, 1204 rows, 3 service instances`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {}",
            count(self.contents.tables.len() as u64, "table"),
            rows_text(&self.contents),
            self.instances_text()
        )
    }
}

impl Verdict {
    /// Judges what was found in a dump.
    pub fn from_read(read: Result<Contents, ArchiveError>, tenants: TenantRows) -> Self {
        let contents = match read {
            Ok(contents) => contents,
            Err(error) => return Self::of_error(error),
        };
        if let Some(AfterEnd::AnotherArchive { offset }) = contents.after_end {
            return Self::Failed(Fault::TwoDumps { second_at: offset });
        }
        if !contents.has_data() {
            return Self::Failed(Fault::NoData {
                tables: contents.tables_without_data.len(),
            });
        }
        let remarks = Remark::on(&contents, &tenants);
        Self::Intact(Box::new(Verified {
            contents,
            instances: tenants.into_instances(),
            remarks,
        }))
    }

    fn of_error(error: ArchiveError) -> Self {
        match (error.verdict(), error.kind()) {
            (_, ErrorKind::Io(source)) => {
                Self::Unread(io::Error::new(source.kind(), source.to_string()))
            }
            (pg_archive::Verdict::NotJudged, _) => {
                Self::NotJudged(printable(&error.to_string()).into_owned())
            }
            _ => Self::Failed(Fault::Archive(error)),
        }
    }
}

/// Why a dump cannot be restored from as it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It is damaged, or no archive.
    Archive(ArchiveError),
    /// Another dump stands after it, which pg_restore does not see.
    TwoDumps {
        /// At which byte that begins.
        second_at: u64,
    },
    /// It is whole, but there is no data in it.
    NoData {
        /// How many tables it defines.
        tables: usize,
    },
}

/// What kind of a bad backup it is, which decides the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Badness {
    Damaged,
    NoArchive,
    NoData,
}

impl Fault {
    fn badness(&self) -> Badness {
        match self {
            Self::Archive(error) if error.verdict() == pg_archive::Verdict::NoArchive => {
                Badness::NoArchive
            }
            Self::Archive(_) | Self::TwoDumps { .. } => Badness::Damaged,
            Self::NoData { .. } => Badness::NoData,
        }
    }

    /// The commands that get a sound dump out of the file.
    fn repair(&self, dump: &Path) -> Option<String> {
        let file = shell_word(&dump.to_string_lossy());
        let new = |what: &str| shell_word(&format!("{}.{what}", dump.display()));
        // `tail` counts from 1.
        match self {
            Self::Archive(error) => error
                .bytes_to_cut()
                .map(|bytes| format!("tail -c +{} {file} > {}", bytes + 1, new("repaired"))),
            Self::TwoDumps { second_at } => Some(format!(
                "tail -c +{} {file} > {}   # the first alone: head -c {second_at} {file} > {}",
                second_at + 1,
                new("second"),
                new("first")
            )),
            Self::NoData { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => f.write_str(&printable(&error.to_string())),
            Self::TwoDumps { second_at } => write!(
                f,
                "two dumps stand one after the other: the second begins at byte {second_at}, and pg_restore restores only the first"
            ),
            Self::NoData { tables: 0 } => f.write_str(
                "it is a whole archive, but there is neither a table nor any data in it",
            ),
            Self::NoData { tables } => write!(
                f,
                "it is a whole archive, but it only defines {} and has the data of none, as with --schema-only",
                count(*tables as u64, "table")
            ),
        }
    }
}

/// A word for a shell that stands for this text.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Everything that is wrong with a backup.
#[derive(Debug, Error)]
pub struct VerificationFailed {
    path: PathBuf,
    badness: Badness,
    problems: Vec<Problem>,
    repair: Option<String>,
}

/// One thing that is wrong with one file.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) file: String,
    pub(crate) what: String,
}

impl VerificationFailed {
    pub(crate) fn new(path: &Path, problems: Vec<Problem>) -> Self {
        Self {
            path: path.to_owned(),
            badness: Badness::Damaged,
            problems,
            repair: None,
        }
    }

    /// A dump in a backup that is at rest: what is wrong can be mended there, if at all.
    pub(crate) fn at_rest(path: &Path, dump: &Path, fault: &Fault, others: Vec<Problem>) -> Self {
        let name = dump
            .file_name()
            .map_or_else(|| DUMP_FILE.into(), |name| name.to_string_lossy());
        // Where more is wrong, the dump alone is not what decides.
        let alone = others.is_empty();
        let mut problems = vec![Problem::new(&name, fault.to_string())];
        problems.extend(others);
        Self {
            path: path.to_owned(),
            badness: if alone {
                fault.badness()
            } else {
                Badness::Damaged
            },
            problems,
            repair: fault.repair(dump).filter(|_| alone),
        }
    }

    /// Where the file is not what a command could mend.
    pub(crate) fn without_repair(self) -> Self {
        Self {
            repair: None,
            ..self
        }
    }

    /// A dump that was found bad while it arrived, and is not kept.
    pub fn of_dump(path: &Path, fault: &Fault) -> Self {
        Self {
            path: path.to_owned(),
            badness: fault.badness(),
            problems: vec![Problem::new(DUMP_FILE, fault.to_string())],
            repair: None,
        }
    }

    /// What is wrong, a sentence each, beginning with the file's name.
    pub fn problems(&self) -> Vec<String> {
        self.problems.iter().map(Problem::to_string).collect()
    }

    /// The shell command that gets a sound dump out of it, where there is one.
    pub fn repair(&self) -> Option<&str> {
        self.repair.as_deref()
    }

    /// The verdict in a word, for programs.
    pub fn verdict(&self) -> &'static str {
        match self.badness {
            Badness::Damaged => "damaged",
            Badness::NoArchive => "noDump",
            Badness::NoData => "noData",
        }
    }
}

impl fmt::Display for VerificationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = match self.badness {
            Badness::Damaged => "is not an intact backup:",
            Badness::NoArchive => "is no dump to restore from as it is:",
            Badness::NoData => "holds no data, and is no backup:",
        };
        write!(f, "{} {heading}", self.path.display())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        match (&self.repair, self.badness) {
            (Some(command), _) => write!(
                f,
                "\nit can be repaired: verify what this writes, and restore from that:\n  {command}"
            ),
            (None, Badness::Damaged) => f.write_str(
                "\ndo not restore from it: take a new backup, or copy it again from where it is intact",
            ),
            (None, Badness::NoArchive) => Ok(()),
            (None, Badness::NoData) => f.write_str(
                "\npg_restore makes empty tables of it at best: take a new backup, with data",
            ),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl Problem {
    pub(crate) fn new(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: printable(file).into_owned(),
            what: what.into(),
        }
    }
}

/// A backup that may be intact, and that this tool cannot tell.
#[derive(Debug, Error)]
#[error(
    "{} cannot be judged: {why}\nit may well be intact{}",
    path.display(),
    if *.as_recorded { ": its size and SHA-256 are those that backup.json has of it" } else { "" }
)]
pub struct NotJudged {
    path: PathBuf,
    why: String,
    as_recorded: bool,
    needs_key: bool,
}

impl NotJudged {
    pub(crate) fn new(path: &Path, why: String, as_recorded: bool) -> Self {
        Self {
            path: path.to_owned(),
            why,
            as_recorded,
            needs_key: false,
        }
    }

    /// That a key is needed to know more.
    pub(crate) fn encrypted(path: &Path, why: String, as_recorded: bool) -> Self {
        Self {
            needs_key: true,
            ..Self::new(path, why, as_recorded)
        }
    }

    /// Whether it could be judged with the key that it is encrypted to.
    pub fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Why it cannot be judged.
    pub fn why(&self) -> &str {
        &self.why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_whatever_the_file_is_called() {
        assert_eq!(shell_word("/mnt/a-b_c.dump"), "/mnt/a-b_c.dump");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("a'$(x)"), r"'a'\''$(x)'");
        assert_eq!(shell_word(""), "''");
    }
}
