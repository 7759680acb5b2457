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

/// The log of one migration.
pub(super) struct MigrationLog<'a> {
    reporter: &'a dyn Reporter,
    path: PathBuf,
    /// None where it cannot be written.
    file: Option<File>,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    began: Instant,
}

impl<'a> MigrationLog<'a> {
    /// A log in a file of this machine; where that cannot be written it is only shown.
    pub(super) fn keep(work: &Work<'a>, run: &str) -> Self {
        let reporter: &dyn Reporter = &**work.reporter;
        let directory = &work.inputs.log_to;
        let path = directory.join(format!("{run}.pgmig.log"));
        let file = match create(directory, &path) {
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

    /// Where it is.
    pub(super) fn shown(&self) -> String {
        match &self.file {
            Some(_) => self.path.display().to_string(),
            None => "the pod".to_owned(),
        }
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
fn create(directory: &Path, path: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}
