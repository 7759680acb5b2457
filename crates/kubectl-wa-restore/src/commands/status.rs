//! `status`: where a restore is.

use std::io::{self, Write};
use std::path::Path;

use backup_set::Rehearsal;
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::procedure::{
    ReplicasNow, Restore, SafetyRecord, Standing, database_is_touched, down_since, standing,
};
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, age, printable};
use wa_common::run::journal::{
    FoundRun, FoundState, JournaledRun, Procedure as _, StepRecord, StepState,
};

use super::resume::instance;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads only, and needs neither the backup nor the machine that began. Exit code 6: the restore has stopped, and `resume` or \
`rollback` is needed."
)]
pub(super) struct Args {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    namespace: String,
    instance: String,
    #[serde(flatten)]
    run: Option<Run>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    #[serde(rename = "run")]
    id: String,
    state: &'static str,
    holder: String,
    command: String,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<Timestamp>,
    backup: String,
    /// What came of the last trial to restore it, where the backup is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<Rehearsal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    production_down_since: Option<Timestamp>,
    database: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgmig: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_ready: Vec<String>,
    replicas: Vec<ReplicasNow>,
    steps: Vec<StepLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct StepLine {
    phase: &'static str,
    what: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

pub(super) async fn run(_args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let instance = instance(context, &cluster).await?;
    let found = JournaledRun::<Restore>::find(&cluster, &instance).await?;
    let stopped = found
        .as_ref()
        .is_some_and(|found| *found.state() == FoundState::Stopped);
    let run = match found {
        Some(found) => {
            let now = standing(&cluster, &found).await;
            Some(Run::from_found(&found, cluster.namespace(), now))
        }
        None => None,
    };
    context.print(&Report {
        namespace: cluster.namespace().to_owned(),
        instance,
        run,
    })?;
    Ok(if stopped { Exit::Degraded } else { Exit::Done })
}

impl Run {
    fn from_found(found: &FoundRun<Restore>, namespace: &str, now: Standing) -> Self {
        let plan = found.plan();
        let steps = found.steps();
        let (state, renewed) = match found.state() {
            FoundState::Running { renewed, .. } => ("running", Some(*renewed)),
            FoundState::Stopped => ("stopped", None),
            FoundState::Done => ("done", None),
            FoundState::Undone => ("undone", None),
        };
        let is_open = matches!(
            found.state(),
            FoundState::Running { .. } | FoundState::Stopped
        );
        let are_down = now.replicas.iter().any(|one| one.now == Some(0));
        Self {
            id: found.run_id().to_owned(),
            state,
            holder: found.holder().to_owned(),
            command: found.command().to_owned(),
            started: found.started(),
            renewed,
            rehearsal: Rehearsal::of_dump(Path::new(&plan.backup.path), &plan.backup.dump_sha256),
            backup: plan.backup.path.clone(),
            safety_backup: plan.safety.as_ref().map(SafetyRecord::in_words),
            production_down_since: down_since(steps).filter(|_| is_open && are_down),
            database: database(steps),
            pgmig: now.pgmig,
            not_ready: now.not_ready,
            replicas: now.replicas,
            steps: steps.iter().map(StepLine::from_record).collect(),
            advice: (*found.state() == FoundState::Stopped)
                .then(|| Restore::advice(plan, namespace)),
        }
    }
}

/// What is known of the database.
fn database(steps: &[StepRecord<Restore>]) -> &'static str {
    use store_restore::procedure::Step;
    let is_done = |wanted: &Step| {
        let mut steps = steps.iter();
        steps.any(|record| record.step == *wanted && record.state.is_done())
    };
    if !database_is_touched(steps) {
        "as before the restore"
    } else if is_done(&Step::Check) {
        "as in the backup"
    } else if is_done(&Step::Migrate) {
        "restored, and not yet held against the backup"
    } else {
        "perhaps erased, or restored in part"
    }
}

impl StepLine {
    fn from_record(record: &StepRecord<Restore>) -> Self {
        Self {
            phase: record.step.phase().name(),
            what: Restore::describe(&record.step),
            state: match record.state {
                StepState::Planned => "planned",
                StepState::Started { .. } => "started",
                StepState::Done { .. } => "done",
                StepState::Undoing { .. } => "being undone",
                StepState::Undone { .. } => "undone",
                _ => "not known",
            },
            since: record.state.since(),
        }
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()> {
        let Some(run) = &self.run else {
            return writeln!(
                out,
                "No restore of {} is recorded in namespace {}.",
                self.instance, self.namespace
            );
        };
        run.heading(self, out, styles)?;
        let when = When {
            now: Timestamp::now(),
            exact: wide,
        };
        run.lines(out, when)?;
        writeln!(out, "\n{}", run.replicas_table(styles))?;
        writeln!(out, "\n{}", run.steps_table(styles, when))?;
        if let Some(advice) = &run.advice {
            writeln!(out, "\n{}", printable(advice))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.run.iter().map(|run| run.id.clone()).collect()
    }
}

/// How times are shown: as ages, or in a wide output exactly.
#[derive(Clone, Copy)]
struct When {
    now: Timestamp,
    exact: bool,
}

impl When {
    fn age(self, at: Timestamp) -> String {
        age(at, self.now)
    }

    /// `text`, and in a wide output when that was.
    fn with_time(self, text: String, word: &str, at: Timestamp) -> String {
        if self.exact {
            format!("{text}, {word} {}", time(at))
        } else {
            text
        }
    }
}

impl Run {
    fn heading(&self, report: &Report, out: &mut dyn Write, styles: &Styles) -> io::Result<()> {
        let (word, style) = match self.state {
            "running" => ("runs", styles.warning),
            "stopped" => ("HAS STOPPED", styles.bad),
            "done" => ("is done", styles.good),
            _ => ("is undone", styles.good),
        };
        writeln!(
            out,
            "{} of {} in {} {}",
            self.id,
            report.instance,
            report.namespace,
            word.style(style)
        )
    }

    fn lines(&self, out: &mut dyn Write, when: When) -> io::Result<()> {
        let mut line = |label: &str, text: &str| writeln!(out, "{label:<14} {}", printable(text));
        line("backup", &self.backup)?;
        if let Some(rehearsal) = &self.rehearsal {
            line("rehearsal", &rehearsal.in_words())?;
        }
        if let Some(safety) = &self.safety_backup {
            line("safety backup", safety)?;
        }
        line("held by", &self.holder)?;
        line("command", &self.command)?;
        let begun = format!("{} ago", when.age(self.started));
        line("begun", &when.with_time(begun, "at", self.started))?;
        if let Some(renewed) = self.renewed {
            line("sign of life", &format!("{} ago", when.age(renewed)))?;
        }
        if let Some(down) = self.production_down_since {
            let since = format!("DOWN for {}", when.age(down));
            line("production", &when.with_time(since, "since", down))?;
        }
        line("database", self.database)?;
        if let Some(pgmig) = &self.pgmig {
            line("pgmig", pgmig)?;
        }
        for one in &self.not_ready {
            line("not ready", one)?;
        }
        Ok(())
    }

    fn replicas_table(&self, styles: &Styles) -> String {
        let number = |of: Option<i32>| of.map_or_else(|| "?".to_owned(), |of| of.to_string());
        let rows = self.replicas.iter().map(|one| {
            [
                one.name.clone(),
                one.before.to_string(),
                number(one.now),
                number(one.ready),
            ]
        });
        styles.table(&["DEPLOYMENT", "BEFORE", "NOW", "READY"], rows)
    }

    fn steps_table(&self, styles: &Styles, when: When) -> String {
        let (title, show): (_, fn(When, Timestamp) -> String) = if when.exact {
            ("SINCE", |_, since| time(since))
        } else {
            ("AGE", When::age)
        };
        let rows = self.steps.iter().map(|step| {
            let since = step.since.map(|since| show(when, since));
            [
                step.state.to_owned(),
                since.unwrap_or_default(),
                step.what.clone(),
            ]
        });
        styles.table(&["STATE", title, "STEP"], rows)
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
