//! What pgmig prints: shown line by line, and kept on this machine.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use wa_common::report::{Event, Reporter, elapsed, printable};

use super::work::Work;

/// A longer line is shown in parts.
const LONGEST_LINE: usize = 500;
/// How many logs of pgmigs that did not end well are kept of one restore.
const MOST_EARLIER: u32 = 99;

/// The log of one migration.
pub(super) struct MigrationLog<'a> {
    reporter: &'a dyn Reporter,
    path: PathBuf,
    /// None where it cannot be written.
    file: Option<File>,
    /// Whether its lines are shown too.
    is_shown: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    began: Instant,
}

impl<'a> MigrationLog<'a> {
    /// A log in a file of this machine; where that cannot be written it is only shown.
    pub(super) fn keep(work: &Work<'a>, run: &str) -> Self {
        let path = work.inputs.log_to.join(format!("{run}.pgmig.log"));
        let created = create(&path, OpenOptions::new().create(true).truncate(true));
        Self::new(work, path, created, true)
    }

    /// The log of an earlier one that did not end well, and is run again. It has a number, `RUN.pgmig.1.log`; it is kept only.
    pub(super) fn keep_earlier(work: &Work<'a>, run: &str) -> Self {
        let mut path = PathBuf::new();
        let mut created = Err(io::ErrorKind::AlreadyExists.into());
        for number in 1..=MOST_EARLIER {
            path = work.inputs.log_to.join(format!("{run}.pgmig.{number}.log"));
            created = create(&path, OpenOptions::new().create_new(true));
            let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
            if !created.as_ref().is_err_and(is_taken) {
                break;
            }
        }
        Self::new(work, path, created, false)
    }

    fn new(work: &Work<'a>, path: PathBuf, created: io::Result<File>, is_shown: bool) -> Self {
        let reporter: &dyn Reporter = &**work.reporter;
        let file = match created {
            Ok(file) => Some(file),
            Err(error) => {
                reporter.report(&Event::Warning {
                    message: format!(
                        "the log of pgmig is not kept in {}: {error}",
                        path.display()
                    ),
                });
                None
            }
        };
        Self {
            reporter,
            path,
            file,
            is_shown,
            line: Vec::new(),
            began: Instant::now(),
        }
    }

    /// More of it.
    pub(super) fn add(&mut self, data: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(data)
        {
            self.reporter.report(&Event::Warning {
                message: format!(
                    "the log of pgmig is kept in {} only up to here: {error}",
                    self.path.display()
                ),
            });
            self.file = None;
        }
        if !self.is_shown {
            return;
        }
        for byte in data {
            if *byte == b'\n' || self.line.len() >= LONGEST_LINE {
                self.show();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
    }

    /// There is no more.
    pub(super) fn end(&mut self) {
        if !self.line.is_empty() {
            self.show();
        }
    }

    /// It has said nothing for a while.
    pub(super) fn still_at_work(&self) {
        self.reporter.report(&Event::Step {
            step: "pgmig",
            detail: format!(
                "still at work, for {}; it says nothing while it restores",
                elapsed(self.began.elapsed())
            ),
        });
    }

    /// The file, where it could be written.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| &*self.path)
    }

    fn show(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        self.reporter.report(&Event::Step {
            step: "pgmig",
            detail: printable(line.trim_end()).into_owned(),
        });
        self.line.clear();
    }
}

/// For the user alone: nobody knows what pgmig prints.
fn create(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path.parent().unwrap_or(path))?;
    how.write(true).mode(0o600).open(path)
}
