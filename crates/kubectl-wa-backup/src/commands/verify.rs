//! `verify`: is a backup intact?

use std::io::{self, Write};
use std::path::PathBuf;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::backup_set::Backup;
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

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let backup = Backup::open(&args.path)?;
    let intact = backup.verify()?;
    context.print(&Verdict {
        path: args.path.clone(),
        intact: true,
        has_manifest: backup.manifest().is_some(),
        bytes: intact.bytes,
        sha256: intact.sha256,
        tables: intact.contents.tables.len(),
        rows: intact
            .contents
            .tables
            .iter()
            .filter_map(|table| table.rows)
            .sum(),
        instances: intact.instances.len(),
    })?;
    Ok(Exit::Done)
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
