//! `verify`: is a backup intact?

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::backup_set::{Backup, BackupError, VerificationFailed};
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, bytes, count};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. Exit code 3: not intact; the error says which file, what, and at which byte."
)]
pub(super) struct Args {
    /// Directory of a backup set, or a dump file (made by hand, or by the CronJob)
    path: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    path: PathBuf,
    intact: bool,
    /// Whether there was a manifest to compare sizes and hashes with.
    has_manifest: bool,
    bytes: u64,
    sha256: String,
    tables: usize,
    rows: u64,
    instances: usize,
}

/// The verdict on a backup that is not intact, for programs; a person reads the error.
#[derive(Serialize)]
struct BadVerdict<'a> {
    path: &'a Path,
    intact: bool,
    problems: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let path = args.path.clone();
    // On a thread of its own: a signal must be heard meanwhile.
    let verdict = spawn_blocking(move || Verdict::of(&path)).await?;
    let verdict = verdict.inspect_err(|error| {
        if let BackupError::Failed(failed) = error {
            let _ = context.print(&BadVerdict::of(&args.path, failed));
        }
    })?;
    context.print(&verdict)?;
    Ok(Exit::Done)
}

impl Verdict {
    fn of(path: &Path) -> Result<Self, BackupError> {
        let backup = Backup::open(path)?;
        let intact = backup.verify()?;
        let tables = &intact.contents.tables;
        Ok(Self {
            path: path.to_owned(),
            intact: true,
            has_manifest: backup.manifest().is_some(),
            bytes: intact.bytes,
            sha256: intact.sha256,
            tables: tables.len(),
            rows: tables.iter().filter_map(|table| table.rows).sum(),
            instances: intact.instances.len(),
        })
    }
}

impl<'a> BadVerdict<'a> {
    fn of(path: &'a Path, failed: &VerificationFailed) -> Self {
        Self {
            path,
            intact: false,
            problems: failed.problems(),
        }
    }
}

impl Render for BadVerdict<'_> {
    fn human(&self, _out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Render for Verdict {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        writeln!(
            out,
            "{}: {}, {}, {}, {}",
            self.path.display(),
            "intact".style(styles.good),
            bytes(self.bytes),
            count(self.tables as u64, "table"),
            count(self.rows, "row"),
        )?;
        if !self.has_manifest {
            writeln!(
                out,
                "a dump without a manifest: its blocks are whole, but nothing tells whether this is what was dumped"
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}
