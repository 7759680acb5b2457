//! `pull`: dumps on the volume become verified backup sets here.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use backup_set::{Target, ToolRecord, VerificationFailed};
use kube_transfer::file::Entry;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{Context, DryRun, Exit, Render};
use wa_common::report::{Event, Share, Styles, bytes, count, printable};

use backup_volume::access::{AccessArgs, Method};
use backup_volume::fallback;
use backup_volume::fetch::{Fetch, FetchArgs, Pulled};
use backup_volume::files::{self, FileKind};
use backup_volume::selection::{self, SelectionArgs};
use backup_volume::volume::{ClosedVolume, OpenVolume};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Directory that the backup sets are made in
    #[arg(long, value_name = "DIR", default_value = "./wa-backups")]
    to: PathBuf,

    #[command(flatten)]
    fetch: FetchArgs,

    /// Look and say what would be done, but change nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,

    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let target = Target::look(&args.to)?;
    let volume = ClosedVolume::find(context, &args.access).await?;
    if args.dry_run.is_some_and(DryRun::is_on) {
        context.print(&Intention {
            via: volume.plan.method(),
            plan: volume.plan.to_string(),
            to: args.to.clone(),
        })?;
        return Ok(Exit::Done);
    }
    let volume = volume.open(context, &args.access).await?;
    let files = volume.files().await?;
    let candidates = if args.selection.is_by_name() {
        files.clone()
    } else {
        finished(&files, &volume, context)?
    };
    let all = selection::dumps(candidates.clone());
    let dumps = args.selection.choose(candidates)?;
    let fetches = fetches(args, context, &volume, &dumps, &files);
    let needed = fetches.iter().map(Fetch::bytes_to_store).sum();
    if target.available_bytes < needed {
        bail!(
            "{} needs {} in {}, and only {} are free; nothing was fetched: choose another directory with --to",
            count(dumps.len() as u64, "dump"),
            bytes(needed),
            args.to.display(),
            bytes(target.available_bytes)
        );
    }
    let work = async {
        let (sets, failures) = fetch_all(&fetches).await;
        if args.selection.is_latest() && failures.iter().any(is_of_a_broken_dump) {
            // The first is the one that is broken.
            let older = all.get(1..).unwrap_or_default();
            fallback::tell(context, &volume, older, &args.access, &args.to).await;
        }
        let not_judged = sets.iter().any(Pulled::is_not_judged);
        if !sets.is_empty() {
            context.print(&Sets { sets })?;
        }
        context.conclude(failures)?;
        Ok(if not_judged {
            Exit::NotJudged
        } else {
            Exit::Done
        })
    };
    volume.access.guard(work).await
}

fn is_of_a_broken_dump(failure: &anyhow::Error) -> bool {
    let mut causes = failure.chain();
    causes.any(<dyn std::error::Error>::is::<VerificationFailed>)
}

/// Without the dumps that a running backup may still write to; one that is named is fetched all the same.
fn finished(files: &[Entry], volume: &OpenVolume, context: &Context) -> anyhow::Result<Vec<Entry>> {
    let began = volume.discovery.backup_running_since();
    let is_dump = |file: &&Entry| FileKind::of(file) == FileKind::Dump;
    let (being_written, finished): (Vec<&Entry>, Vec<&Entry>) = files
        .iter()
        .filter(is_dump)
        .partition(|dump| began.is_some_and(|began| files::modified(dump) >= began));
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

fn fetches<'a>(
    args: &'a Args,
    context: &'a Context,
    volume: &'a OpenVolume,
    dumps: &'a [Entry],
    files: &'a [Entry],
) -> Vec<Fetch<'a>> {
    let of = dumps.iter().map(|dump| dump.version.bytes).sum();
    let mut before = 0;
    let keys_are_kept = files::any_has_key(files);
    let fetch = |dump: &'a Entry| {
        let overall = (dumps.len() > 1).then_some(Share { bytes: before, of });
        before += dump.version.bytes;
        Fetch {
            context,
            volume,
            to: &args.to,
            args: &args.fetch,
            tool: ToolRecord {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            dump,
            key: files::key_of(dump, files),
            keys_are_kept,
            overall,
            shown: Arc::from(printable(&dump.name)),
        }
    };
    dumps.iter().map(fetch).collect()
}

/// One dump after the other: a dump that cannot be fetched does not keep the others from it.
async fn fetch_all(fetches: &[Fetch<'_>]) -> (Vec<Pulled>, Vec<anyhow::Error>) {
    let mut sets = Vec::new();
    let mut failures = Vec::new();
    for fetch in fetches {
        match fetch.run().await {
            Ok(pulled) => sets.push(pulled),
            Err(error) => failures.push(error.context(format!("{:?}", fetch.shown))),
        }
    }
    (sets, failures)
}

/// What `--dry-run` prints.
#[derive(Serialize)]
struct Intention {
    via: Method,
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
    sets: Vec<Pulled>,
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
        let path = |set: &Pulled| set.path.display().to_string();
        self.sets.iter().map(path).collect()
    }
}
