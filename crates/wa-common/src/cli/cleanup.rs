//! `cleanup` of every plugin that has it: what interrupted runs left, and what became of it.

use std::io::{self, Write};

use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::{Context, DryRun, Exit, Render};
use crate::cluster::Cluster;
use crate::report::{Styles, age, printable};
use crate::run::{Change, CleanUp, CleanedRun, CleanupOutcome};

/// The arguments of `cleanup`.
#[derive(Debug, clap::Args)]
pub struct CleanupArgs {
    /// Say what would be removed, but remove nothing
    #[arg(long, value_name = "client|server", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_possible_values = true)]
    dry_run: Option<DryRun>,
}

impl Context {
    /// Removes what interrupted runs of these plugins have left, says so, and how the command ends.
    pub async fn clean_up<C: Change>(
        &self,
        args: &CleanupArgs,
        cluster: Cluster,
        plugins: &[&'static str],
    ) -> anyhow::Result<Exit> {
        let namespace = cluster.namespace().to_owned();
        let clean_up = CleanUp {
            cluster,
            reporter: self.reporter.clone(),
            exit_hooks: self.exit_hooks.clone(),
            dry_run: args.dry_run.is_some_and(DryRun::is_on),
        };
        let cleaned = clean_up.runs_of::<C>(plugins).await?;
        let report = CleanupReport {
            namespace,
            dry_run: clean_up.dry_run,
            runs: cleaned.runs,
            now: Timestamp::now(),
        };
        self.print(&report)?;
        self.conclude(cleaned.failures)?;
        Ok(Exit::of_several(
            report.runs.iter().map(|run| exit(run.outcome)),
        ))
    }
}

fn exit(outcome: CleanupOutcome) -> Exit {
    match outcome {
        CleanupOutcome::Refused => Exit::Refused,
        // What failed is reported by its error.
        CleanupOutcome::Removed | CleanupOutcome::WouldBeRemoved | CleanupOutcome::Failed => {
            Exit::Done
        }
    }
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

impl CleanupReport {
    fn title(&self, run: &CleanedRun) -> String {
        let holder = run.holder.as_deref().unwrap_or("nobody any more");
        format!(
            "{} ({}), of {holder}, begun {} ago",
            run.name,
            run.purpose,
            age(run.started, self.now)
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
                CleanupOutcome::Removed => ("removed", styles.good),
                CleanupOutcome::WouldBeRemoved => ("would be removed (dry run)", styles.warning),
                CleanupOutcome::Refused => ("left alone, its command still runs", styles.warning),
                CleanupOutcome::Failed => ("FAILED", styles.bad),
            };
            writeln!(
                out,
                "{}: {}",
                printable(&self.title(run)),
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
