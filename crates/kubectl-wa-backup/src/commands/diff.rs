//! `diff`: what came or went between two backups, before anybody restores or prunes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_set::{
    Backup, BackupError, Change, Difference, Identities, InstanceChange, TableChange, Verified,
};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, Render, no_permissions};
use wa_common::report::{Styles, printable, table};

use super::keys::KeyArgs;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup diff wa-backups/wa-cpd-20261101T020000Z wa-backups/wa-cpd-20261102T020000Z",
        "kubectl wa-backup diff OLD NEW -o json",
    ],
    changes: "nothing",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. Both dumps are read from end to end. Rows are counted, not compared: a row that was \
                  changed is no difference. Ends with 0 whether or not there is one."
)]
pub(super) struct Args {
    /// Directory of the older backup set, or a dump file
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// Directory of the newer backup set, or a dump file
    #[arg(value_name = "NEW")]
    new: PathBuf,

    #[command(flatten)]
    keys: KeyArgs,
}

/// Two backups and what differs.
#[derive(Serialize)]
struct BackupDifference {
    old: Side,
    new: Side,
    #[serde(flatten)]
    difference: Difference,
}

#[derive(Serialize)]
struct Side {
    path: PathBuf,
    /// By the clock of the pod that dumped.
    created: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (old, new) = (args.old.clone(), args.new.clone());
    let keys = args.keys.identities()?;
    // On a thread of its own: a signal must be heard meanwhile.
    let found = spawn_blocking(move || -> Result<_, BackupError> {
        let (before, after) = (read(&old, keys.as_ref())?, read(&new, keys.as_ref())?);
        Ok(BackupDifference {
            difference: Difference::between(&before, &after),
            old: Side::new(old, &before),
            new: Side::new(new, &after),
        })
    });
    context.print(&found.await??)?;
    Ok(Exit::Done)
}

fn read(path: &Path, keys: Option<&Identities>) -> Result<Verified, BackupError> {
    Ok(Backup::open_with(path, keys)?.verify()?.verified)
}

impl Side {
    fn new(path: PathBuf, verified: &Verified) -> Self {
        Self {
            path,
            created: verified.contents.header.created.to_string(),
        }
    }
}

impl Render for BackupDifference {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for (label, side) in [("Old:", &self.old), ("New:", &self.new)] {
            let path = side.path.display().to_string();
            writeln!(
                out,
                "{} {}, created {}",
                label.style(styles.faint),
                printable(&path),
                printable(&side.created)
            )?;
        }
        if self.difference.is_empty() {
            return writeln!(
                out,
                "\nThe same service instances, and as many rows in every table."
            );
        }
        let instances = &self.difference.instances;
        if !instances.is_empty() {
            let rows = instances.iter().map(instance_row);
            writeln!(
                out,
                "\n{}",
                table(&["SERVICE INSTANCE", "ID", "CHANGE"], rows)
            )?;
        }
        let tables = &self.difference.tables;
        if !tables.is_empty() {
            let rows = tables.iter().map(table_row);
            writeln!(out, "\n{}", table(&["TABLE", "OLD", "NEW", "CHANGE"], rows))?;
        }
        Ok(())
    }

    /// What differs.
    fn names(&self) -> Vec<String> {
        let instances = self.difference.instances.iter();
        let tables = self.difference.tables.iter();
        instances
            .map(|change| format!("instance/{}", change.instance.id))
            .chain(tables.map(|change| format!("table/{}", change.table)))
            .collect()
    }
}

fn instance_row(change: &InstanceChange) -> [String; 3] {
    let name = |name: Option<&str>| {
        name.filter(|name| !name.is_empty())
            .unwrap_or("-")
            .to_owned()
    };
    let what = match change.change {
        Change::Gone => "gone".to_owned(),
        Change::New => "new".to_owned(),
        Change::Renamed => format!("was called {}", name(change.old_name.as_deref())),
    };
    let instance = &change.instance;
    [name(instance.name.as_deref()), instance.id.clone(), what]
}

fn table_row(change: &TableChange) -> [String; 4] {
    let rows = |is_there: bool, rows: Option<u64>| match rows {
        _ if !is_there => "-".to_owned(),
        Some(rows) => rows.to_string(),
        None => "not counted".to_owned(),
    };
    let what = match (change.in_old, change.in_new, change.growth()) {
        (true, false, _) => "gone".to_owned(),
        (false, true, _) => "new".to_owned(),
        (_, _, None) => "unknown".to_owned(),
        (_, _, Some(growth)) => format!("{growth:+}"),
    };
    [
        change.table.clone(),
        rows(change.in_old, change.old_rows),
        rows(change.in_new, change.new_rows),
        what,
    ]
}
