//! `cleanup`: removes what interrupted runs left in the cluster.

use std::io::{self, Write};

use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wa_common::cli::{About, Context, DryRun, Exit, Render, permissions};
use wa_common::cluster::Cluster;
use wa_common::report::{Styles, age, printable};
use wa_common::run::{Change as _, Found, Loss, RunError, RunState};

use backup_volume::permissions::to_record;
use backup_volume::{PLUGIN, VolumeChange};

type Run = wa_common::run::Run<VolumeChange>;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-pvc cleanup --dry-run",
        "kubectl wa-pvc cleanup -n cpd",
    ],
    changes: "removes what a run of `list`, `pull` or `info` that was killed has recorded, and its record",
    permissions: || {
        vec![
            permissions("", &to_record()),
            "and to delete what was made, as `list` needs it".to_owned(),
        ]
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Say what would be removed, but remove nothing
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let dry_run = args.dry_run.is_some_and(DryRun::is_on);
    let mut report = CleanupReport {
        namespace: cluster.namespace().to_owned(),
        dry_run,
        runs: Vec::new(),
        now: Timestamp::now(),
    };
    let mut failed = Vec::new();
    for found in Run::others(&cluster, PLUGIN).await? {
        match found {
            Ok(found) => report
                .runs
                .push(clean(found, dry_run, context, &cluster, &mut failed).await),
            Err(error) => failed.push(error.into()),
        }
    }
    context.print(&report)?;
    context.conclude(failed)?;
    Ok(Exit::of_several(
        report.runs.iter().map(|run| run.outcome.exit()),
    ))
}

async fn clean(
    found: Found<VolumeChange>,
    dry_run: bool,
    context: &Context,
    cluster: &Cluster,
    failed: &mut Vec<anyhow::Error>,
) -> CleanedRun {
    let mut run = CleanedRun::of(&found);
    run.outcome = match found.state {
        RunState::Alive { .. } => Outcome::Refused,
        RunState::Dead if dry_run => Outcome::WouldBeRemoved,
        RunState::Dead => match undo(found, context, cluster).await {
            Ok(()) => Outcome::Removed,
            Err(error) => match error.downcast_ref() {
                // Another cleanup was faster: it is at work, or done.
                Some(RunError::Owned { holder, .. }) => {
                    run.holder = Some(holder.clone());
                    Outcome::Refused
                }
                Some(RunError::Lost {
                    loss: Loss::Gone, ..
                }) => Outcome::Removed,
                _ => {
                    failed.push(error);
                    Outcome::Failed
                }
            },
        },
    };
    run
}

async fn undo(
    found: Found<VolumeChange>,
    context: &Context,
    cluster: &Cluster,
) -> anyhow::Result<()> {
    let run = found
        .take_over(&context.exit_hooks, &context.reporter, cluster)
        .await?;
    Ok(run.finish().await?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CleanupReport {
    namespace: String,
    dry_run: bool,
    runs: Vec<CleanedRun>,
    #[serde(skip)]
    now: Timestamp,
}

/// A run that left something, and what became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CleanedRun {
    name: String,
    /// Whose it is; absent where its holder ended without being able to undo everything.
    holder: Option<String>,
    started: Timestamp,
    purpose: String,
    changes: Vec<String>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Removed,
    WouldBeRemoved,
    /// Its command still runs.
    Refused,
    Failed,
}

impl Outcome {
    fn exit(self) -> Exit {
        match self {
            Self::Refused => Exit::Refused,
            // What failed is told by its error.
            Self::Removed | Self::WouldBeRemoved | Self::Failed => Exit::Done,
        }
    }
}

impl CleanedRun {
    fn of(found: &Found<VolumeChange>) -> Self {
        Self {
            name: found.name.clone(),
            holder: found.holder.as_ref().map(ToString::to_string),
            started: found.started,
            purpose: found.purpose.clone(),
            changes: found.changes.iter().map(VolumeChange::describe).collect(),
            outcome: Outcome::WouldBeRemoved,
        }
    }

    fn title(&self, now: Timestamp) -> String {
        let holder = self.holder.as_deref().unwrap_or("nobody any more");
        format!(
            "{} ({}), of {holder}, begun {} ago",
            self.name,
            self.purpose,
            age(self.started, now)
        )
    }
}

impl Render for CleanupReport {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        if self.runs.is_empty() {
            return writeln!(out, "Nothing was left in namespace {}.", self.namespace);
        }
        for run in &self.runs {
            let (word, style) = match run.outcome {
                Outcome::Removed => ("removed", styles.good),
                Outcome::WouldBeRemoved => ("would be removed (dry run)", styles.warning),
                Outcome::Refused => ("left alone, its command still runs", styles.warning),
                Outcome::Failed => ("FAILED", styles.bad),
            };
            writeln!(
                out,
                "{}: {}",
                printable(&run.title(self.now)),
                word.style(style)
            )?;
            for change in &run.changes {
                writeln!(out, "  {}", printable(change))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.name.clone()).collect()
    }
}
