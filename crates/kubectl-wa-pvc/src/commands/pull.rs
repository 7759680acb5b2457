//! `pull`: dumps on the volume become verified backup sets here.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{bail, ensure};
use backup_places::{BucketArgs, EncryptArgs};
use backup_set::{DirectoryStore, EncryptedStore, Target, ToolRecord, VerificationFailed};
use backup_volume::permissions::COMMANDS;
use backup_volume::{
    AccessMethod, Entry, FetchOptions, FetchedSet, FileKind, OpenVolume, Selection, dumps, modified,
};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, DryRun, Exit, Render, access_of};
use wa_common::report::{Event, Styles, bytes, printable};

use super::access::{AccessArgs, find};
use super::fallback;
use super::selection::SelectionArgs;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc pull --latest --to /mnt/backups",
        "kubectl wa-pvc pull store.dump_20261121-230004 --resume",
        "kubectl wa-pvc pull --since 3d --via snapshot",
        "kubectl wa-pvc pull --latest --to s3://backups/wa --encrypt-to age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        "kubectl wa-pvc pull --all --dry-run",
    ],
    changes: "as `list`; here, a new directory for each dump in that of --to",
    permissions: || access_of(&COMMANDS, "pull"),
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What goes into a bucket, or is encrypted, is read as one stream, which does not go on where it broke: it is begun \
again, as --retries says. In a directory here, several streams read at the same time, and --resume goes on."
)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) that the backup sets are made in
    #[arg(long, value_name = "DIR", default_value = "./wa-backups")]
    to: PathBuf,

    #[command(flatten)]
    encrypt: EncryptArgs,

    #[command(flatten)]
    bucket: BucketArgs,

    #[command(flatten)]
    fetch: FetchArgs,

    /// Look and say what would be done, but change nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,

    #[command(flatten)]
    access: AccessArgs,
}

/// How to fetch.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
struct FetchArgs {
    /// Go on where an earlier pull of the same file was broken off
    #[arg(long)]
    resume: bool,

    /// How many streams read a file at the same time
    #[arg(long, value_name = "N", hide_short_help = true, default_value_t = FetchOptions::DEFAULT_STREAMS, value_parser = clap::value_parser!(u8).range(1..=32))]
    streams: u8,

    /// How often a stream that brings nothing is opened again
    #[arg(long, value_name = "N", hide_short_help = true, default_value_t = FetchOptions::DEFAULT_RETRIES)]
    retries: u32,

    /// Do not read the dump's data blocks (its size and SHA-256 are compared all the same)
    #[arg(long)]
    no_verify: bool,

    /// Read what was stored back from there and compare, before the set counts
    #[arg(long)]
    read_back: bool,

    /// Fetch a dump also where its auth-encryption file cannot be read; restored data cannot be read without that key
    #[arg(long)]
    without_key: bool,
}

impl FetchArgs {
    fn options(&self) -> FetchOptions {
        FetchOptions {
            tool: ToolRecord {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            resume: self.resume,
            streams: self.streams,
            retries: self.retries,
            verify: !self.no_verify,
            read_back: self.read_back,
            without_key: self.without_key,
        }
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let recipients = args.encrypt.recipients()?;
    let bucket = args.bucket.bucket([&args.to], context)?;
    let is_here = !bucket.look(&args.to)?;
    if is_here {
        Target::look(&args.to)?;
    }
    ensure!(
        !args.fetch.resume || is_here && recipients.is_none(),
        "--resume goes on with what is in a directory here: of what goes into a bucket, or is encrypted, nothing is kept when it breaks"
    );
    let volume = find(&args.access, context).await?;
    if args.dry_run.is_some_and(DryRun::is_on) {
        context.print(&Intention {
            via: volume.plan().method(),
            plan: volume.plan().to_string(),
            to: args.to.clone(),
        })?;
        return Ok(Exit::Done);
    }
    let volume = volume.open().await?;
    let files = volume.files().await?;
    let selection = args.selection.selection();
    let candidates = match &selection {
        Selection::Named(_) => files.clone(),
        _ => finished(&files, &volume, context)?,
    };
    let all = dumps(candidates.clone());
    let chosen = selection.choose(candidates)?;
    let options = args.fetch.options();
    let largest = chosen.iter().map(|dump| dump.version.bytes).max();
    let store = bucket.store_to_write(&args.to, largest.unwrap_or_default(), context)?;
    let (files, chosen, options) = (&files, &chosen, &options);
    let outcome = match (store, recipients) {
        (None, None) => volume.fetch(files, chosen, &args.to, options).await,
        (Some(store), None) => volume.fetch_into(files, chosen, &store, options).await,
        (Some(store), Some(recipients)) => {
            let store = EncryptedStore::new(store, recipients);
            volume.fetch_into(files, chosen, &store, options).await
        }
        (None, Some(recipients)) => {
            let store = EncryptedStore::new(DirectoryStore::new(&args.to), recipients);
            volume.fetch_into(files, chosen, &store, options).await
        }
    }?;
    if selection == Selection::Latest && outcome.failures.iter().any(is_of_a_broken_dump) {
        // The first is the one that is broken.
        let older = all.get(1..).unwrap_or_default();
        let next = async {
            fallback::report(context, &volume, older, &args.access, &args.to).await;
            Ok(())
        };
        volume.guard(next).await?;
    }
    let not_judged = outcome.sets.iter().any(FetchedSet::is_not_judged);
    if !outcome.sets.is_empty() {
        context.print(&Sets { sets: outcome.sets })?;
    }
    context.conclude(outcome.failures)?;
    Ok(if not_judged {
        Exit::NotJudged
    } else {
        Exit::Done
    })
}

fn is_of_a_broken_dump(failure: &anyhow::Error) -> bool {
    let mut causes = failure.chain();
    causes.any(<dyn std::error::Error>::is::<VerificationFailed>)
}

/// Without the dumps that a running backup may still write to; one that is named is fetched all the same.
fn finished(files: &[Entry], volume: &OpenVolume, context: &Context) -> anyhow::Result<Vec<Entry>> {
    let began = volume.discovery().backup_running_since();
    let is_dump = |file: &&Entry| FileKind::from_entry(file) == FileKind::Dump;
    let (being_written, finished): (Vec<&Entry>, Vec<&Entry>) = files
        .iter()
        .filter(is_dump)
        .partition(|dump| began.is_some_and(|began| modified(dump) >= began));
    for dump in &being_written {
        context.reporter.report(&Event::Warning {
            message: format!(
                "{} is left out: a backup is running and may be writing it",
                dump.name
            ),
        });
    }
    if finished.is_empty() && !being_written.is_empty() {
        bail!(
            "a backup is running, and no dump is finished; nothing was fetched: try again when it is over"
        );
    }
    Ok(finished.into_iter().cloned().collect())
}

/// What `--dry-run` prints.
#[derive(Serialize)]
struct Intention {
    via: AccessMethod,
    plan: String,
    to: PathBuf,
}

impl Render for Intention {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        writeln!(
            out,
            "dumps would be fetched to {} via {}: {} (dry run)",
            self.to.display(),
            self.via.name(),
            printable(&self.plan)
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.via.name().to_owned()]
    }
}

/// What was fetched.
#[derive(Serialize)]
struct Sets {
    sets: Vec<FetchedSet>,
}

impl Render for Sets {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for set in &self.sets {
            let path = set.path.display();
            if !set.fetched {
                writeln!(out, "backup {path} is there already: {}", set.file())?;
                continue;
            }
            let verified = if set.is_verified() {
                "verified"
            } else if set.is_not_judged() {
                "not judged"
            } else {
                "not verified"
            };
            writeln!(
                out,
                "backup {path} {}: {}, {}, {verified}",
                "fetched".style(styles.good),
                set.file(),
                bytes(set.bytes()),
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let path = |set: &FetchedSet| set.path.display().to_string();
        self.sets.iter().map(path).collect()
    }
}
