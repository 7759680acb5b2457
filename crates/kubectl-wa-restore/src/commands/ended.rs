//! The rest of a restore, whoever began it, and what is reported at its end.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::procedure::{Finished, Inputs, Restore, Work};
use wa_common::cli::{Context, Exit, Render};
use wa_common::cluster::Cluster;
use wa_common::report::{Styles, elapsed, printable};
use wa_common::run::journal::JournaledRun;

/// Takes every step of `run` that is not done, and prints what came of it.
pub(super) async fn go_on(
    context: &Context,
    cluster: &Cluster,
    inputs: &Inputs,
    run: JournaledRun<Restore>,
) -> anyhow::Result<Exit> {
    let ended = Ended::new(&run);
    let work = Work {
        cluster,
        reporter: &context.reporter,
        inputs,
    };
    let finished = work.go_on(run).await?;
    ended.print(context, finished)
}

/// What is reported at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    run: String,
    namespace: String,
    instance: String,
    backup: String,
    safety_backup: Option<String>,
    log: PathBuf,
    production_down_seconds: u64,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready: Option<String>,
    not_restored: [&'static str; 5],
    next: String,
}

/// What a restore does not bring back.
const NOT_RESTORED: [&str; 5] = [
    "access rights of users",
    "search integrations",
    "object storage: published versions and trained models",
    "logs",
    "ids and credentials of service instances, which are the target's: give them to your clients",
];

impl Ended {
    fn new(run: &JournaledRun<Restore>) -> Self {
        let plan = run.plan();
        Self {
            run: run.run_id().to_owned(),
            next: format!(
                "kubectl wa-retrain run -n {} -i {}",
                plan.namespace, plan.instance
            ),
            log: PathBuf::from(&plan.log.directory).join(format!("{}.pgmig.log", run.run_id())),
            namespace: plan.namespace,
            instance: plan.instance,
            backup: plan.backup.path,
            safety_backup: plan.safety.map(|safety| safety.path),
            production_down_seconds: 0,
            ready: false,
            not_ready: None,
            not_restored: NOT_RESTORED,
        }
    }

    /// Prints it.
    fn print(mut self, context: &Context, finished: Finished) -> anyhow::Result<Exit> {
        self.production_down_seconds = finished.down_for.as_secs();
        self.ready = finished.not_ready.is_none();
        if !self.ready {
            self.next = format!(
                "kubectl wa-restore resume -n {} -i {}",
                self.namespace, self.instance
            );
        }
        self.not_ready = finished.not_ready;
        context.print(&self)?;
        Ok(if self.ready {
            Exit::Done
        } else {
            Exit::TimedOut
        })
    }
}

impl Render for Ended {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        writeln!(
            out,
            "{} {}\nonto {} in namespace {}",
            "restored".style(styles.good),
            printable(&self.backup),
            self.instance,
            self.namespace
        )?;
        writeln!(
            out,
            "production was down for {}",
            elapsed(Duration::from_secs(self.production_down_seconds))
        )?;
        if let Some(why) = &self.not_ready {
            writeln!(
                out,
                "{} everything runs, and not all is ready yet: {}\n  kubectl get pods -n {} -w",
                "not ready".style(styles.warning),
                printable(why),
                self.namespace
            )?;
        }
        writeln!(out, "\nNot restored:")?;
        for one in self.not_restored {
            writeln!(out, "  {one}")?;
        }
        if let Some(safety) = &self.safety_backup {
            writeln!(out, "\nThe database of before: {}", printable(safety))?;
        }
        writeln!(out, "The log of pgmig: {}", self.log.display())?;
        let what_now = if self.ready {
            "Now retrain the models:"
        } else {
            "The restore is not over: it keeps its locks, and the copy of the database of before in its server. This \
             waits until everything is ready, drops the copy and ends the restore:"
        };
        writeln!(out, "\n{what_now}\n  {}", self.next)
    }

    fn names(&self) -> Vec<String> {
        vec![self.run.clone()]
    }
}
