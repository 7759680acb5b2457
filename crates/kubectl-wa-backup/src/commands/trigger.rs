//! `trigger`: a backup by a Job of the CronJob, now.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use backup_jobs::permissions::COMMANDS;
use backup_jobs::{Afterwards, JobEnd, JobError, Outcome, Trigger, Written, written_by};
use backup_places::{Bucket, BucketArgs, EncryptArgs};
use backup_set::{DirectoryStore, EncryptedStore, Recipients, Target, ToolRecord};
use backup_volume::{
    AccessOptions, Caller, ClosedVolume, Entry, FetchOptions, FetchOutcome, FetchedSet, OpenVolume,
};
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, DryRun, Exit, Render, TimeLimit, access_of};
use wa_common::report::{Styles, bytes, elapsed, printable};

use super::create::DEFAULT_DIRECTORY;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup trigger --wait",
        "kubectl wa-backup trigger --pull --to /mnt/backups",
        "kubectl wa-backup trigger --pull --to s3://backups/wa",
        "kubectl wa-backup trigger --keep-job -n cpd -i wa",
        "kubectl wa-backup trigger --dry-run",
    ],
    changes: "makes a Job, which leaves a dump on the backup volume, where the oldest one may make room for it. The Job is recorded \
              in a Lease first. With --wait it is removed at the end, also after an error and after Ctrl-C; without, the cluster \
              removes it a day after its end; --keep-job leaves it",
    permissions: || access_of(&COMMANDS, "trigger"),
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The Job is made from the template of the backup CronJob, as `kubectl create job --from` makes it. It is refused while \
                  another backup runs, unless the CronJob's concurrencyPolicy is Allow.

With -o json, `outcome` tells how the Job ended: complete, failed, deadlineExceeded, evicted, deleted; or started, where it was \
not waited for."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Args {
    /// Wait until the Job has ended, and show what its pod logs
    #[arg(long)]
    wait: bool,

    /// Fetch the dump that the Job wrote as a verified backup set; waits for the Job
    #[arg(long)]
    pull: bool,

    /// With --pull, directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) that the backup set is made in
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY, requires = "pull")]
    to: PathBuf,

    #[command(flatten)]
    encrypt: EncryptArgs,

    #[command(flatten)]
    bucket: BucketArgs,

    /// With --pull, read what was stored back from there and compare, before the set counts
    #[arg(long, requires = "pull")]
    read_back: bool,

    /// Leave the Job when it has ended, for a look at it
    #[arg(long)]
    keep_job: bool,

    /// Longest wait for the end of the Job, which goes on after that; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "0")]
    timeout: TimeLimit,

    /// Look and say what would be done, but start no Job
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
}

impl Args {
    fn waits(&self) -> bool {
        self.wait || self.pull
    }

    fn afterwards(&self) -> Afterwards {
        match (self.keep_job, self.waits()) {
            (true, _) => Afterwards::Kept,
            (false, true) => Afterwards::Removed,
            (false, false) => Afterwards::RemovedByCluster,
        }
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let instance = context.global.instance.as_deref();
    let caller = Caller {
        cluster: context.connect()?,
        reporter: context.reporter.clone(),
        exit_hooks: context.exit_hooks.clone(),
    };
    let recipients = args.encrypt.recipients()?;
    ensure!(
        args.pull || recipients.is_none(),
        "without --pull nothing comes here that could be encrypted"
    );
    let bucket = args.bucket.bucket([&args.to], context)?;
    if args.pull && !bucket.look(&args.to)? {
        Target::look(&args.to)?;
    }
    let trigger = Trigger::prepare(caller.clone(), instance, args.waits()).await?;
    let instance = trigger.instance().name.clone();
    let claims = trigger.cron_job().claims();
    if args.pull {
        // A backup that could then not be fetched is not what was asked for.
        find(&caller, &instance).await?;
    }
    let mut report = Report {
        job: None,
        namespace: caller.cluster.namespace().to_owned(),
        cron_job: trigger.cron_job().name(),
        outcome: "wouldBeStarted",
        why: None,
        pod: None,
        started: None,
        finished: None,
        afterwards: args.afterwards(),
        sets: Vec::new(),
    };
    if args.dry_run.is_some_and(DryRun::is_on) {
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    let job = trigger.start(args.afterwards()).await?;
    report.job = Some(job.name());
    report.outcome = "started";
    if !args.waits() {
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    let TimeLimit(limit) = args.timeout;
    let end = match job.follow(limit.unwrap_or(Duration::MAX)).await {
        Ok(end) => end,
        Err(error) => {
            let timed_out = error.downcast_ref::<JobError>();
            if let Some(JobError::TimedOut { .. }) = timed_out {
                report.outcome = "timedOut";
                report.afterwards = Afterwards::Kept;
                context.print(&report)?;
            }
            return Err(error);
        }
    };
    report.take(&end);
    if end.outcome != Outcome::Complete {
        context.print(&report)?;
        let how = end.in_words();
        return Err(JobError::Ended { job: end.job, how }.into());
    }
    if !args.pull {
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    let beside = Written::look(&caller.cluster, &end, &claims).await?;
    let volume = find(&caller, &instance).await;
    let to = Destination {
        path: &args.to,
        bucket,
        recipients,
        read_back: args.read_back,
        context,
    };
    pull(&to, report, volume, (&end, &beside)).await
}

/// Where the set is made.
struct Destination<'a> {
    path: &'a Path,
    bucket: Bucket,
    recipients: Option<Recipients>,
    read_back: bool,
    context: &'a Context,
}

impl Destination<'_> {
    async fn fetch(
        &self,
        volume: &OpenVolume,
        files: &[Entry],
        dump: Entry,
    ) -> anyhow::Result<FetchOutcome> {
        let tool = ToolRecord {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let options = &FetchOptions {
            read_back: self.read_back,
            ..FetchOptions::new(tool)
        };
        let bytes = dump.version.bytes;
        let dumps = &[dump];
        let store = self.bucket.store_to_write(self.path, bytes, self.context)?;
        match (store, self.recipients.clone()) {
            (None, None) => volume.fetch(files, dumps, self.path, options).await,
            (Some(store), None) => volume.fetch_into(files, dumps, &store, options).await,
            (Some(store), Some(recipients)) => {
                let store = EncryptedStore::new(store, recipients);
                volume.fetch_into(files, dumps, &store, options).await
            }
            (None, Some(recipients)) => {
                let store = EncryptedStore::new(DirectoryStore::new(self.path), recipients);
                volume.fetch_into(files, dumps, &store, options).await
            }
        }
    }
}

async fn pull(
    to: &Destination<'_>,
    mut report: Report,
    volume: anyhow::Result<ClosedVolume>,
    (end, beside): (&JobEnd, &Written),
) -> anyhow::Result<Exit> {
    let fetched = async {
        let volume = volume?.open().await?;
        let files = volume.files().await?;
        let dump = written_by(end, beside, &files)?;
        to.fetch(&volume, &files, dump).await
    };
    let outcome = fetched
        .await
        .with_context(|| format!("job {} is complete, but its dump was not fetched", end.job))?;
    let not_judged = outcome.sets.iter().any(FetchedSet::is_not_judged);
    report.sets = outcome.sets;
    to.context.print(&report)?;
    to.context.conclude(outcome.failures)?;
    Ok(if not_judged {
        Exit::NotJudged
    } else {
        Exit::Done
    })
}

async fn find(caller: &Caller, instance: &str) -> anyhow::Result<ClosedVolume> {
    ClosedVolume::find(caller.clone(), Some(instance), AccessOptions::default()).await
}

/// What became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    job: Option<String>,
    namespace: String,
    cron_job: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    pod: Option<String>,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    #[serde(rename = "jobAfterwards")]
    afterwards: Afterwards,
    sets: Vec<FetchedSet>,
}

impl Report {
    fn take(&mut self, end: &JobEnd) {
        self.outcome = end.outcome.name();
        self.why.clone_from(&end.why);
        self.pod.clone_from(&end.pod);
        self.started = end.started;
        self.finished = end.finished;
    }

    /// How long its pod ran.
    fn took(&self) -> Option<String> {
        let took = self.finished?.duration_since(self.started?);
        // Nodes tell whole seconds.
        let took = Duration::try_from(took).ok().filter(|took| !took.is_zero());
        Some(elapsed(took?))
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let Some(job) = &self.job else {
            return writeln!(
                out,
                "a job would be started from CronJob {} (dry run)",
                self.cron_job
            );
        };
        match self.outcome {
            "started" => {
                let then = match self.afterwards {
                    Afterwards::Kept => "nobody removes it",
                    _ => "the cluster removes it a day after its end",
                };
                writeln!(
                    out,
                    "job {job} {}; follow it with `kubectl logs -f job/{job} -n {}`; {then}",
                    "started".style(styles.good),
                    self.namespace
                )?;
            }
            "complete" => {
                let took = self.took();
                let took = took.map_or_else(String::new, |took| format!(" in {took}"));
                writeln!(out, "job {job} {}{took}", "complete".style(styles.good))?;
            }
            // The error tells.
            _ => {}
        }
        for set in &self.sets {
            writeln!(
                out,
                "backup {} {}: {}, {}",
                set.path.display(),
                "fetched".style(styles.good),
                printable(&set.file()),
                bytes(set.bytes())
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let path = |set: &FetchedSet| set.path.display().to_string();
        let job = self.job.iter().map(|job| format!("job/{job}"));
        job.chain(self.sets.iter().map(path)).collect()
    }
}
