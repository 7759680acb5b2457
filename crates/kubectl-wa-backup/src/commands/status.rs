//! `status`: how old the newest good backup is, for cron and monitoring.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backup_places::BucketArgs;
use backup_set::{DirectorySet, DirectoryStore, Installation, Surveyed, survey};
use backup_volume::permissions::COMMANDS;
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, Exit, access_of};
use wa_common::report::Event;

use super::metrics;
use super::newest::StatusReport;
use super::span::Age;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup status",
        "kubectl wa-backup status /mnt/backups --max-age 26h",
        "kubectl wa-backup status --metrics /var/lib/node_exporter/wa_backup.prom",
        "kubectl wa-backup status s3://backups/wa --volume --max-age 26h",
    ],
    changes: "nothing; with --metrics, that file; with --volume, in the cluster what `kubectl wa-pvc list` changes",
    permissions: || access_of(&COMMANDS, "list"),
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of each installation the newest backup counts that is complete and that no rehearsal has failed to restore; safety \
backups do not count. Exit code 3: one is older than --max-age, or there is none. The age is that of the data: of a dump that was \
fetched from the volume, since the CronJob wrote it. With -i and -n, only that installation is looked at.

Without --volume it works without a cluster. With it, the newest dump on the volume of the nightly backup is shown too, and must be \
no older than --max-age either. Where no pod has the volume mounted, it is reached as `kubectl wa-pvc list` does: by a helper pod \
or a snapshot, which take a while; `kubectl wa-pvc info` tells. Whether a dump on the volume is intact, only fetching it tells: one \
counts that is finished, begins as a dump and is not much smaller than the others."
)]
pub(super) struct Args {
    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) to look in [default: ./wa-backups]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    bucket: BucketArgs,

    /// Look at the volume of the nightly backup too, in the cluster
    #[arg(long)]
    volume: bool,

    /// Exit with 3 where the newest good backup is older, such as 26h
    #[arg(long, value_name = "AGE")]
    max_age: Option<Age>,

    /// Write the figures to this file too, in Prometheus' text format
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let default = Path::new(super::create::DEFAULT_DIRECTORY);
    let directory = args.directory.as_deref().unwrap_or(default).to_owned();
    let now = Timestamp::now();
    let max_age = args.max_age.map(|Age(age)| age);
    let bucket = args.bucket.bucket(&args.directory, context)?;
    let global = &context.global;
    let wanted = |one: &Installation| {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        is(&global.instance, &one.instance) && is(&global.connection.namespace, &one.namespace)
    };
    let report = match bucket.store(&directory, 0)? {
        Some(store) => {
            let sets = spawn_blocking(move || survey(&store, now)).await??;
            let report = StatusReport::new(directory, &sets, wanted, max_age, now);
            report
                .with_volume(args.volume, context, &sets, max_age)
                .await?
        }
        None if directory.exists() => {
            let store = DirectoryStore::new(&directory);
            let sets = spawn_blocking(move || survey(&store, now)).await??;
            let report = StatusReport::new(directory, &sets, wanted, max_age, now);
            report
                .with_volume(args.volume, context, &sets, max_age)
                .await?
        }
        // No directory is no backup, which is what monitoring is to be told.
        None => {
            let none: &[Surveyed<DirectorySet>] = &[];
            let report = StatusReport::new(directory, none, wanted, max_age, now);
            report
                .with_volume(args.volume, context, none, max_age)
                .await?
        }
    };
    if let Some(file) = &args.metrics {
        metrics::write(file, &report)
            .with_context(|| format!("cannot write the metrics to {}", file.display()))?;
    }
    context.print(&report)?;
    let complaints = report.complaints(max_age);
    for message in &complaints {
        context.reporter.report(&Event::Failure {
            message: message.clone(),
            leftovers: Vec::new(),
        });
    }
    Ok(if complaints.is_empty() {
        Exit::Done
    } else {
        Exit::VerificationFailed
    })
}
