//! `verify`: is a backup intact?

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_places::{Bucket, BucketArgs};
use backup_set::{Backup, BackupError, Identities, counted_rows, rows_text};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, KeyArgs, Render, no_permissions};
use wa_common::report::{Styles, bytes, count, printable};

use super::several::{OtherVerdict, Several, resolved};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup verify wa-backups/*",
        "kubectl wa-backup verify store.dump -o json",
        "kubectl wa-backup verify latest --identity key.txt",
    ],
    changes: "nothing",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. One of three verdicts: intact, with remarks where there are any (exit code 0); not \
intact, with which file, what, at which byte, and how to repair it where that can be done (3); cannot be judged, being of a newer \
format for instance, and perhaps intact (7). A dump without any data is no backup (3). Of several backups the worst decides."
)]
pub(super) struct Args {
    /// Directories or URLs of backup sets, dump files (made by hand, or by the CronJob), `latest`, `latest~N`, days, or beginnings of sets' names
    #[arg(required = true, value_name = "BACKUP")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    keys: KeyArgs,

    #[command(flatten)]
    bucket: BucketArgs,
}

/// The verdict on one backup.
#[derive(Serialize)]
#[serde(untagged)]
enum Verdict {
    Intact(IntactVerdict),
    Other(OtherVerdict),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IntactVerdict {
    path: PathBuf,
    verdict: &'static str,
    intact: bool,
    /// Whether there was a manifest to compare sizes and hashes with.
    has_manifest: bool,
    bytes: u64,
    sha256: String,
    tables: usize,
    /// Those that can be counted; none where no table's can.
    rows: Option<u64>,
    instances: Option<usize>,
    remarks: Vec<String>,
    #[serde(skip)]
    rows_text: String,
    #[serde(skip)]
    instances_text: String,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let keys = args.keys.identities()?;
    let bucket = args.bucket.bucket(&args.paths, context)?;
    let paths = resolved(&args.paths, &bucket)?;
    if let [path] = &paths[..] {
        let verdict = read(path, keys.as_ref(), &bucket).await?;
        return match verdict {
            Ok(intact) => {
                context.print(&Verdict::Intact(intact))?;
                Ok(Exit::Done)
            }
            Err(error) => {
                // What could not be read has no verdict.
                if !matches!(error, BackupError::Io { .. } | BackupError::NoSet { .. }) {
                    context.print(&Verdict::Other(OtherVerdict::from_error(path, &error)))?;
                }
                Err(error.into())
            }
        };
    }
    let mut several = Several::new(context);
    for path in &paths {
        match read(path, keys.as_ref(), &bucket).await? {
            Ok(intact) => several.intact(Verdict::Intact(intact))?,
            Err(error) => several.other(
                Verdict::Other(OtherVerdict::from_error(path, &error)),
                error,
            ),
        }
    }
    several.conclude()
}

async fn read(
    path: &Path,
    keys: Option<&Identities>,
    bucket: &Bucket,
) -> anyhow::Result<Result<IntactVerdict, BackupError>> {
    let (path, keys, bucket) = (path.to_owned(), keys.cloned(), bucket.clone());
    // On a thread of its own: a signal must be heard meanwhile.
    spawn_blocking(move || {
        let backup = bucket.open(&path, keys.as_ref())?;
        IntactVerdict::from_path(&path, &backup)
    })
    .await
    .map_err(Into::into)
}

impl IntactVerdict {
    fn from_path(path: &Path, backup: &Backup) -> Result<Self, BackupError> {
        let intact = backup.verify()?;
        let verified = &intact.verified;
        let tables = &verified.contents.tables;
        Ok(Self {
            path: path.to_owned(),
            verdict: "intact",
            intact: true,
            has_manifest: backup.manifest().is_some(),
            bytes: intact.bytes,
            tables: tables.len(),
            rows: counted_rows(&verified.contents),
            instances: verified.live_instances(),
            remarks: verified.remarks.iter().map(ToString::to_string).collect(),
            rows_text: rows_text(&verified.contents),
            instances_text: verified.instances_text(),
            sha256: intact.sha256,
        })
    }
}

impl Render for Verdict {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let Self::Intact(intact) = self else {
            return Ok(());
        };
        writeln!(
            out,
            "{}: {}, {}, {}, {}, {}",
            printable(&intact.path.display().to_string()),
            "intact".style(styles.good),
            bytes(intact.bytes),
            count(intact.tables as u64, "table"),
            intact.rows_text,
            intact.instances_text,
        )?;
        for remark in &intact.remarks {
            writeln!(
                out,
                "  {} {}",
                "remark:".style(styles.warning),
                printable(remark)
            )?;
        }
        if !intact.has_manifest {
            writeln!(
                out,
                "  a dump without a manifest: its blocks are whole, but nothing tells whether this is what was dumped"
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Intact(intact) => vec![intact.path.display().to_string()],
            Self::Other(_) => Vec::new(),
        }
    }
}
