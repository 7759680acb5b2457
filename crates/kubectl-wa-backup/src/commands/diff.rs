//! `diff`: what came or went between two backups, or a backup and the database, before anybody restores or prunes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use backup_places::{Bucket, BucketArgs};
use backup_set::{Change, Difference, Holding, Identities, InstanceChange, TableChange};
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_backup::{COMMANDS, live_holding, prepare};
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, KeyArgs, Render, access_of};
use wa_common::report::{Steps, Styles, printable};

/// The word for the live database.
const LIVE: &str = "live";

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup diff latest~1 latest",
        "kubectl wa-backup diff latest live",
        "kubectl wa-backup diff 2026-11-01 2026-11-02 -o json",
        "kubectl wa-backup diff wa-backups/wa-cpd-20261101T020000Z",
    ],
    changes: "nothing",
    permissions: || access_of(&COMMANDS, "diff"),
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Dumps are read from end to end. Rows are counted, not compared: a row that was changed is no difference. The rows of the live \
                  database are counted in one look, which reads every table. Ends with 0 whether or not there is a difference."
)]
pub(super) struct Args {
    /// Older backup: directory or URL of a set, dump file, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// Newer backup, or `live` for what the database holds now
    #[arg(value_name = "NEW", default_value = LIVE)]
    new: PathBuf,

    #[command(flatten)]
    keys: KeyArgs,

    #[command(flatten)]
    bucket: BucketArgs,
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
    /// None of the live database.
    path: Option<PathBuf>,
    /// By the clock of the pod that dumped; of the live database, when it was looked at.
    created: String,
    #[serde(skip)]
    shown: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if is_live(&args.old) {
        bail!(
            "the live database is named after the backup it is compared with: `diff BACKUP live`"
        );
    }
    let keys = args.keys.identities()?;
    let bucket = args.bucket.bucket([&args.old, &args.new], context)?;
    let (old, before) = of_backup(&args.old, keys.clone(), bucket.clone()).await?;
    let (new, after) = if is_live(&args.new) {
        of_database(context).await?
    } else {
        of_backup(&args.new, keys, bucket).await?
    };
    context.print(&BackupDifference {
        difference: Difference::between(&before, &after),
        old,
        new,
    })?;
    Ok(Exit::Done)
}

/// What is there under that very name is meant first.
fn is_live(path: &Path) -> bool {
    path == Path::new(LIVE) && path.symlink_metadata().is_err()
}

async fn of_backup(
    given: &Path,
    keys: Option<Identities>,
    bucket: Bucket,
) -> anyhow::Result<(Side, Holding)> {
    let path = bucket.resolve(given)?;
    // On a thread of its own: a signal must be heard meanwhile.
    let read = spawn_blocking(move || {
        let verified = bucket.open(&path, keys.as_ref())?.verify()?.verified;
        let side = Side {
            shown: path.display().to_string(),
            path: Some(path),
            created: verified.contents.header.created.to_string(),
        };
        anyhow::Ok((side, Holding::from(&verified)))
    });
    read.await?
}

async fn of_database(context: &Context) -> anyhow::Result<(Side, Holding)> {
    let cluster = context.connect()?;
    let reporter = &*context.reporter;
    let instance = context.global.instance.as_deref();
    let steps = Steps::new(reporter);
    let ready = prepare(&cluster, reporter, &steps, instance, None).await?;
    let side = Side {
        path: None,
        created: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        shown: format!(
            "the live database of {} in {}",
            ready.instance.name, ready.instance.namespace
        ),
    };
    Ok((side, live_holding(&cluster, &ready).await?))
}

impl Render for BackupDifference {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for (label, side) in [("Old:", &self.old), ("New:", &self.new)] {
            let when = if side.path.is_some() { "created" } else { "at" };
            writeln!(
                out,
                "{}  {}, {when} {}",
                label.style(styles.faint),
                printable(&side.shown),
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
                styles.table(&["SERVICE INSTANCE", "ID", "CHANGE"], rows)
            )?;
        }
        let tables = &self.difference.tables;
        if !tables.is_empty() {
            let rows = tables.iter().map(table_row);
            writeln!(
                out,
                "\n{}",
                styles.table(&["TABLE", "OLD", "NEW", "CHANGE"], rows)
            )?;
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
