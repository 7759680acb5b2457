//! The steps of a run, one after the other, until all are done.

use std::time::Duration;

use anyhow::Context as _;
use wa_common::report::{Reporter, RunningStep, Steps};
use wa_common::run::journal::{JournaledRun, Next, StartedStep, StepRecord, StepState};

use super::place::Place;
use super::work::{Work, down_since, is_checked};
use super::{
    Outcome, Phase, Restore, Step, connections, database, migrate, quiesce, service, stage,
};

/// A restore that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// How long production was down, until it was ready or no longer waited for.
    pub down_for: Duration,
    /// What was not ready when the time was over.
    pub not_ready: Option<String>,
}

impl Work<'_> {
    /// Takes every step that is not done, and ends the run.
    pub async fn go_on(&self, mut run: JournaledRun<Restore>) -> anyhow::Result<Finished> {
        let mut shown = Shown::new(&**self.reporter);
        self.restage_what_is_gone(&mut run).await?;
        loop {
            let pending = match run.next_step() {
                Next::Step(pending) => pending,
                Next::Complete(complete) => {
                    complete.commit().await?;
                    break;
                }
            };
            shown.enter(pending.step().phase());
            let started = pending.start().await?;
            match self.take(&started).await {
                Ok(outcome) => started.done(outcome).await?,
                Err(error) => {
                    shown.failed();
                    return Err(error);
                }
            }
        }
        shown.end();
        Ok(finished(&run.steps()))
    }

    /// A pod that was made anew has lost what was staged in it: that step is taken again.
    async fn restage_what_is_gone(&self, run: &mut JournaledRun<Restore>) -> anyhow::Result<()> {
        let steps = run.steps();
        let is_done = |step: &Step| {
            steps
                .iter()
                .any(|record| record.step == *step && record.state.is_done())
        };
        let at = steps.iter().position(|record| record.step == Step::Stage);
        let (Some(at), true, false) = (at, is_done(&Step::Stage), is_done(&Step::Migrate)) else {
            return Ok(());
        };
        let place = Place::of_run(run);
        if run.guard(place.is_whole(self.cluster)).await?? {
            return Ok(());
        }
        self.warn(format!(
            "what was staged in pod {} is gone; it is staged again",
            place.container.pod
        ));
        let connections = steps
            .iter()
            .position(|record| record.step == Step::Connections);
        if let Some(connections) = connections {
            run.undo(connections).await?;
        }
        Ok(run.undo(at).await?)
    }

    /// Takes one step. It may have been begun by a process that died.
    pub(super) async fn take(&self, started: &StartedStep<'_, Restore>) -> anyhow::Result<Outcome> {
        if started.step().stops() && is_checked(&started.run().steps()) {
            return Ok(Outcome::NotNeeded {
                why: "the database is restored already".to_owned(),
            });
        }
        match started.step() {
            Step::Stage => stage::stage(self, started).await,
            Step::Connections => connections::connections(self, started).await,
            Step::SuspendBackups { .. } | Step::StopOperator { .. } | Step::StopStore { .. } => {
                quiesce::stop(self, started).await
            }
            Step::CopyDatabase => database::copy(self, started).await,
            Step::Migrate => migrate::migrate(self, started)
                .await
                .context("the database is not restored"),
            Step::Check => database::check(self, started).await,
            Step::EncryptionKey { .. } => database::merge_key(self, started).await,
            Step::StartStore { .. }
            | Step::StartOperator { .. }
            | Step::ResumeBackups { .. }
            | Step::RestartRedis { .. }
            | Step::Settle => service::resume(self, started).await,
            Step::CleanUp => service::clean_up(self, started).await,
        }
    }
}

fn finished(steps: &[StepRecord<Restore>]) -> Finished {
    let settled = steps.iter().find(|record| record.step == Step::Settle);
    let (up, not_ready) = match settled.map(|record| &record.state) {
        Some(StepState::Done { at, outcome }) => (
            Some(*at),
            match outcome {
                Outcome::NotReady { why } => Some(why.clone()),
                _ => None,
            },
        ),
        _ => (None, None),
    };
    let down_for = up
        .zip(down_since(steps))
        .and_then(|(up, down)| Duration::try_from(up.duration_since(down)).ok());
    Finished {
        down_for: down_for.unwrap_or_default(),
        not_ready,
    }
}

/// The parts of the restore, as a user sees them begin and end.
struct Shown<'a> {
    reporter: &'a dyn Reporter,
    now: Option<(Phase, RunningStep<'a>)>,
}

impl<'a> Shown<'a> {
    fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            now: None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.now.as_ref().is_some_and(|(now, _)| *now == phase) {
            return;
        }
        self.end();
        self.now = Some((phase, begin(self.reporter, phase)));
    }

    fn end(&mut self) {
        if let Some((_, step)) = self.now.take() {
            step.done("");
        }
    }

    fn failed(&mut self) {
        if let Some((_, step)) = self.now.take() {
            step.failed("");
        }
    }
}

/// Begins a part, with its number of all.
pub fn begin(reporter: &dyn Reporter, phase: Phase) -> RunningStep<'_> {
    Steps::with_total(reporter, Phase::COUNT)
        .after(phase.number() - 1)
        .begin(phase.name(), "")
}
