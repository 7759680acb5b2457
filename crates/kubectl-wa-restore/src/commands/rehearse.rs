//! `rehearse`: does the backup restore?

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backup_places::BucketArgs;
use backup_set::{REHEARSAL_FILE, Rehearsal, ServiceInstance, ToolRecord};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::rehearsal::{self, InPod};
use store_restore::source::{Opener, Source};
use tokio::task::spawn_blocking;
use wa_common::cli::{Context, DryRun, Exit, KeyArgs, Render, TimeLimit};
use wa_common::report::{Event, Styles, count, printable};

use super::refused::Refused;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Touches nothing of the product. pg_restore restores the dump into a PostgreSQL of its own, in a helper pod with the \
image of the database's pods, and the rows of every table are compared with what the archive holds. The pod is recorded before \
it is made and removed at the end, also after an error and after Ctrl-C; what a killed rehearsal left, the next one removes, or \
--clean-up alone. What came of it is written to rehearsal.json in the set, and shown by `kubectl wa-backup list` and `inspect`. \
Exit code 3: the backup does not restore."
)]
pub(super) struct Args {
    /// Directory or URL of a backup set, dump file, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "BACKUP", required_unless_present = "clean_up")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    bucket: BucketArgs,
    /// Use the PostgreSQL programs of this machine, or of DIR, instead of a pod; works without a cluster
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, conflicts_with = "clean_up")]
    #[expect(
        clippy::option_option,
        reason = "not given, given alone, given with a directory"
    )]
    local: Option<Option<PathBuf>>,
    /// Longest wait for the helper pod to be ready; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: TimeLimit,
    /// Read the backup and say what would be made, but make nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
    /// Only remove what killed rehearsals have left in the namespace
    #[arg(long, conflicts_with = "backup")]
    clean_up: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Some(backup) = &args.backup else {
        let removed = rehearsal::clean_up(&caller(&args, context)?).await?;
        context.print(&Removed { removed })?;
        return Ok(Exit::Done);
    };
    let bucket = args.bucket.bucket([backup], context)?;
    let path = bucket.resolve(backup)?;
    let opener = Opener::new(bucket.patient(), args.keys.identities()?);
    // On a thread of its own: a signal must be heard meanwhile.
    let source = spawn_blocking(move || Source::read(&opener, &path)).await??;
    let dry_run = args.dry_run.is_some_and(DryRun::is_on);
    let rehearsal = if let Some(given) = &args.local {
        require_plain(&source)?;
        let programs = rehearsal::programs(given.as_deref())?;
        if dry_run {
            let how = format!("with the programs in {}", programs.display());
            return intention(context, &source, how);
        }
        rehearsal::on_this_machine(&programs, &source, tool(), &*context.reporter).await?
    } else {
        let caller = caller(&args, context)?;
        let instance = context.global.instance.as_deref();
        let place = rehearsal::look(&caller.cluster, instance, &source).await?;
        if dry_run {
            return intention(context, &source, format!("in {}", place.in_words()));
        }
        rehearsal::in_pod(&caller, &place, &source, tool()).await?
    };
    keep(&rehearsal, &source, context);
    let exit = if rehearsal.succeeded() {
        Exit::Done
    } else {
        Exit::VerificationFailed
    };
    let instances = source.intact.verified.instances;
    context.print(&Report {
        path: source.path,
        rehearsal,
        instances: instances
            .into_iter()
            .filter(ServiceInstance::is_live)
            .collect(),
    })?;
    Ok(exit)
}

/// What a server on this machine restores is in files of its own.
fn require_plain(source: &Source) -> Result<(), Refused> {
    if !source.is_encrypted() {
        return Ok(());
    }
    Err(Refused(format!(
        "{} is encrypted, and --local would put its plaintext on a disk of this machine: rehearse it in a pod, without --local",
        source.path.display()
    )))
}

fn caller(args: &Args, context: &Context) -> anyhow::Result<InPod> {
    Ok(InPod {
        cluster: context.connect()?,
        reporter: Arc::clone(&context.reporter),
        exit_hooks: context.exit_hooks.clone(),
        timeout: args.timeout.0.unwrap_or(Duration::MAX),
    })
}

fn tool() -> ToolRecord {
    ToolRecord {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Beside the manifest, where there is one. A set that cannot be written to was rehearsed all the same.
fn keep(rehearsal: &Rehearsal, source: &Source, context: &Context) {
    if let Err(error) = source.keep_rehearsal(rehearsal) {
        context.reporter.report(&Event::Warning {
            message: format!(
                "{REHEARSAL_FILE} cannot be written into {}: {error}; `kubectl wa-backup list` will not show this rehearsal",
                source.path.display()
            ),
        });
    }
}

fn intention(context: &Context, source: &Source, how: String) -> anyhow::Result<Exit> {
    context.print(&Intention {
        path: source.path.clone(),
        how,
    })?;
    Ok(Exit::Done)
}

/// What `--dry-run` prints.
#[derive(Serialize)]
struct Intention {
    path: PathBuf,
    how: String,
}

impl Render for Intention {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        let path = self.path.display();
        writeln!(
            out,
            "{path} would be restored {} (dry run)",
            printable(&self.how)
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}

/// What `--clean-up` prints.
#[derive(Serialize)]
struct Removed {
    removed: Vec<String>,
}

impl Render for Removed {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        if self.removed.is_empty() {
            return writeln!(out, "No rehearsal has left anything.");
        }
        let mut removed = self.removed.iter();
        removed.try_for_each(|run| writeln!(out, "{}: removed", printable(run)))
    }

    fn names(&self) -> Vec<String> {
        self.removed.clone()
    }
}

#[derive(Serialize)]
struct Report {
    path: PathBuf,
    #[serde(flatten)]
    rehearsal: Rehearsal,
    /// Those that need a target.
    #[serde(rename = "serviceInstances")]
    instances: Vec<ServiceInstance>,
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let Self {
            path, rehearsal, ..
        } = self;
        let path = path.display();
        if !rehearsal.succeeded() {
            writeln!(out, "{path}: {}", "does NOT restore".style(styles.bad))?;
            for problem in &rehearsal.problems {
                writeln!(out, "  {}", problem.replace('\n', "\n  "))?;
            }
            return Ok(());
        }
        writeln!(
            out,
            "{path}: {} in {} into PostgreSQL {}: {} with {}{}, as in the archive",
            "restores".style(styles.good),
            rehearsal.time(),
            printable(&rehearsal.postgres),
            count(rehearsal.tables, "table"),
            count(rehearsal.rows, "row"),
            match rehearsal.large_objects {
                0 => String::new(),
                number => format!(" and {}", count(number, "large object")),
            }
        )?;
        if self.instances.is_empty() {
            return Ok(());
        }
        let dash = || "-".to_owned();
        let rows = self.instances.iter().map(|one| {
            let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            [
                one.id.clone(),
                text(&one.name).unwrap_or_else(dash),
                text(&one.region).unwrap_or_else(dash),
            ]
        });
        writeln!(
            out,
            "\n{}",
            styles.table(&["INSTANCE", "NAME", "REGION"], rows)
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}
