//! `prune`: old backups deleted, by rules.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backup_places::BucketArgs;
use backup_set::retention::{Fate, Policy};
use backup_set::{
    DirectoryStore, PlanError, Protected, Pruning, RemovalError, Selection, Store, StoredSet,
    Surveyed, remove_set, survey,
};
use jiff::Timestamp;
use jiff::civil::Weekday;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use tokio::task::spawn_blocking;
use wa_common::cli::{About, Context, DryRun, Exit, Render, confirm, no_permissions};
use wa_common::report::{Event, Styles, age, bytes, causes_text, count};

use super::span::Age;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup prune --keep-daily 6 --keep-weekly 4 --dry-run",
        "kubectl wa-backup prune /mnt/backups --keep-daily 7 --keep-monthly 12 --yes",
        "kubectl wa-backup prune --older-than 90d -n cpd -i wa",
    ],
    changes: "nothing in the cluster; deletes backup sets here, after it has asked",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What one of the rules keeps, stays. The rules are those of the product's CronJob, --keep-daily 6 and \
--keep-weekly 4 its defaults; of several backups of a day the newest verified one stands for it. Days are those of UTC. Without \
--keep-weekly, every day is a day for --keep-daily.\n\n\
Whatever the rules: the newest verified backup stays, no verified one goes for one that is not, and what is protected, newer than \
this version knows, corrupt, or no backup set stays. A set that was never finished goes a day after its last change. Safety backups \
are counted by themselves. Backups of another installation stay; where there are several, name one with -i, -n and -s."
)]
pub(super) struct Args {
    /// Directory or bucket (s3://, gs://, az:// or obc://NAME/PREFIX) to look in [default: ./wa-backups]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    bucket: BucketArgs,

    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: usize,

    /// Keep the newest of each of N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: usize,

    /// Keep the newest of each of N weekly days
    #[arg(long, value_name = "N")]
    keep_weekly: Option<usize>,

    /// The weekly day: 0 is Sunday, 6 is Saturday
    #[arg(long, value_name = "DAY", default_value = "0", value_parser = parse_weekday, requires = "keep_weekly")]
    weekly_day: Weekday,

    /// Keep the newest of each of N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_monthly: usize,

    /// Delete only what is older, such as 30d
    #[arg(long, value_name = "AGE")]
    older_than: Option<Age>,

    /// Look and say what would go, but delete nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

fn parse_weekday(text: &str) -> Result<Weekday, String> {
    let day = text
        .parse()
        .ok()
        .and_then(|day| Weekday::from_sunday_zero_offset(day).ok());
    day.ok_or_else(|| "expected a number from 0, which is Sunday, to 6".to_owned())
}

impl Args {
    fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            weekly_day: self.weekly_day,
            monthly: self.keep_monthly,
            older_than: self.older_than.map(|Age(age)| age),
        }
    }
}

fn selection(context: &Context) -> Selection {
    let global = &context.global;
    Selection {
        instance: global.instance.clone(),
        namespace: global.connection.namespace.clone(),
        server: global.connection.server.clone(),
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let default = Path::new(super::create::DEFAULT_DIRECTORY);
    let directory = args.directory.as_deref().unwrap_or(default).to_owned();
    let bucket = args.bucket.bucket(&args.directory, context)?;
    match bucket.store(&directory, 0)? {
        Some(store) => prune(args, context, directory, store).await,
        None => {
            prune(
                args,
                context,
                directory.clone(),
                DirectoryStore::new(directory),
            )
            .await
        }
    }
}

async fn prune(
    args: &Args,
    context: &Context,
    directory: PathBuf,
    store: impl Store + Send + 'static,
) -> anyhow::Result<Exit> {
    let (policy, selection) = (args.policy(), selection(context));
    let now = Timestamp::now();
    let looked = spawn_blocking(move || -> anyhow::Result<_> {
        let sets = survey(&store, now)?;
        let pruning = Pruning::plan(&sets, &selection, &policy, now)?;
        Ok((sets, pruning))
    });
    let (sets, pruning) = match looked.await? {
        Ok(looked) => looked,
        Err(error) => return refuse(context, error),
    };
    let mut report = PruneReport::new(directory, &sets, &pruning, now);
    let is_dry = args.dry_run.is_some_and(DryRun::is_on);
    if is_dry || report.going() == 0 {
        report.dry_run = is_dry;
        context.print(&report)?;
        return Ok(Exit::Done);
    }
    let is_structured = context.global.output.is_structured();
    if !is_structured {
        context.print(&report)?;
    }
    let question = format!(
        "Delete {} ({})?",
        count(report.going() as u64, "backup set"),
        bytes(report.going_bytes())
    );
    if !confirm(&question, args.yes).await? {
        failure(context, "nothing was deleted: it was not confirmed; --yes confirms it where nobody can be asked".to_owned());
        return Ok(Exit::Refused);
    }
    let exit = delete(context, sets, &pruning, &mut report).await?;
    if is_structured {
        context.print(&report)?;
    } else {
        context.reporter.report(&Event::Step {
            step: "deleted",
            detail: report.deleted_in_words(),
        });
    }
    Ok(exit)
}

/// What the user has to say first is a refusal, with the flags by which it is said.
fn refuse(context: &Context, error: anyhow::Error) -> anyhow::Result<Exit> {
    let advice = match error.downcast_ref() {
        Some(PlanError::EmptyPolicy) => {
            "give --keep-last, --keep-daily, --keep-weekly, --keep-monthly or --older-than"
        }
        Some(PlanError::SeveralInstallations { .. }) => {
            "say with -i INSTANCE, -n NAMESPACE and -s SERVER whose are meant"
        }
        _ => return Err(error),
    };
    failure(context, format!("nothing was deleted: {error}; {advice}"));
    Ok(Exit::Refused)
}

fn failure(context: &Context, message: String) {
    context.reporter.report(&Event::Failure {
        message,
        leftovers: Vec::new(),
    });
}

async fn delete<S: StoredSet + Send + 'static>(
    context: &Context,
    sets: Vec<Surveyed<S>>,
    pruning: &Pruning,
    report: &mut PruneReport,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let going: Vec<usize> = pruning
        .fates
        .iter()
        .filter(|(_, fate)| !fate.stays())
        .map(|(at, _)| *at)
        .collect();
    for (at, set) in sets.into_iter().enumerate() {
        if !going.contains(&at) {
            continue;
        }
        let row = report
            .backups
            .iter_mut()
            .find(|row| row.path == set.entry.path);
        let row = row.context("a set that is to go is not in the table: this is a bug")?;
        match spawn_blocking(move || remove(&set)).await? {
            Ok(None) => row.deleted = true,
            Ok(Some(why)) => {
                row.stays = true;
                why.clone_into(&mut row.why);
                let message = format!("{} stays: {why}", row.name);
                context.reporter.report(&Event::Warning { message });
            }
            Err(error) if is_locked(&error) => {
                row.stays = true;
                "locked".clone_into(&mut row.why);
                let message = format!("{} stays, it is locked: {}", row.name, causes_text(&error));
                context.reporter.report(&Event::Warning { message });
            }
            Err(error) => {
                row.stays = true;
                row.why = causes_text(&error);
                failure(context, causes_text(&error));
                exit = Exit::Error;
            }
        }
    }
    Ok(exit)
}

/// Removes a set, unless it has changed since it was looked at, while the question was open: why it stays then.
fn remove<S: StoredSet>(set: &Surveyed<S>) -> Result<Option<&'static str>, RemovalError> {
    let Ok(now) = set.set.again() else {
        return Ok(Some("it cannot be looked at once more"));
    };
    if Protected::from_set(&*now, Timestamp::now()).is_on() {
        return Ok(Some("protected"));
    }
    if set.has_changed(&*now) {
        return Ok(Some("it has changed meanwhile"));
    }
    remove_set(&*now, set.manifest()).map(|()| None)
}

/// Whether the store holds the set fast: an object lock, or a file system that does not let this user delete it.
fn is_locked(error: &RemovalError) -> bool {
    matches!(error, RemovalError::Refused { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PruneReport {
    directory: PathBuf,
    backups: Vec<Row>,
    /// Sets that are not meant.
    others: usize,
    dry_run: bool,
    #[serde(skip)]
    now: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    path: PathBuf,
    time: Option<Timestamp>,
    bytes: u64,
    verified: bool,
    stays: bool,
    /// The rules that keep it, or why it goes.
    why: String,
    deleted: bool,
}

impl PruneReport {
    fn new<S: StoredSet>(
        directory: PathBuf,
        sets: &[Surveyed<S>],
        pruning: &Pruning,
        now: Timestamp,
    ) -> Self {
        let row = |(at, fate): &(usize, Fate)| {
            let set = &sets[*at];
            Row {
                name: set.name(),
                path: set.entry.path.clone(),
                time: set.data_time(),
                bytes: set.entry.bytes,
                verified: set.is_verified(),
                stays: fate.stays(),
                why: fate.to_string(),
                deleted: false,
            }
        };
        Self {
            directory,
            backups: pruning.fates.iter().map(row).collect(),
            others: pruning.others,
            dry_run: false,
            now,
        }
    }

    fn going(&self) -> usize {
        self.backups.iter().filter(|row| !row.stays).count()
    }

    fn going_bytes(&self) -> u64 {
        let going = self.backups.iter().filter(|row| !row.stays);
        going.map(|row| row.bytes).sum()
    }

    fn deleted_in_words(&self) -> String {
        let deleted = || self.backups.iter().filter(|row| row.deleted);
        let size = bytes(deleted().map(|row| row.bytes).sum());
        format!("{}, {size}", count(deleted().count() as u64, "backup set"))
    }
}

impl Render for PruneReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        if self.backups.is_empty() {
            writeln!(
                out,
                "No backups to be pruned in {}.",
                self.directory.display()
            )?;
        } else {
            let dash = || "-".to_owned();
            let rows = self.backups.iter().map(|row| {
                [
                    row.name.clone(),
                    row.time.map_or_else(dash, |time| age(time, self.now)),
                    bytes(row.bytes),
                    if row.verified { "yes" } else { "no" }.to_owned(),
                    if row.stays { "stays" } else { "goes" }.to_owned(),
                    row.why.clone(),
                ]
            });
            let header = ["NAME", "AGE", "SIZE", "VERIFIED", "FATE", "WHY"];
            writeln!(out, "{}\n", styles.table(&header, rows))?;
            let stay = self.backups.len() - self.going();
            let dry = if self.dry_run { " (dry run)" } else { "" };
            writeln!(
                out,
                "{stay} stay, {} go: {}{dry}",
                self.going(),
                bytes(self.going_bytes()).style(styles.warning)
            )?;
        }
        if self.others > 0 {
            let others = count(self.others as u64, "other set");
            writeln!(out, "{others} in {} left alone", self.directory.display())?;
        }
        Ok(())
    }

    /// What goes.
    fn names(&self) -> Vec<String> {
        let going = self.backups.iter().filter(|row| !row.stays);
        going.map(|row| row.path.display().to_string()).collect()
    }
}
