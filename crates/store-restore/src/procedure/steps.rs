//! The steps of a run, one after the other, until all are done.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use wa_common::cluster::RetryPolicy;
use wa_common::report::{Reporter, RunningStep, Steps, error_text};
use wa_common::run::journal::{JournaledRun, Next, StartedStep, StepRecord, StepState};

use super::place::Place;
use super::service::NotReady;
use super::work::{Work, down_since, is_restored};
use super::{
    MigrationError, Outcome, Phase, Restore, Step, connections, database, migrate, quiesce,
    service, stage, workload,
};
use crate::database::PATIENCE;

/// A restore that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// How long production was down, until the store was ready or no longer waited for.
    pub down_for: Duration,
    /// What was not ready when the time was over.
    pub not_ready: Option<String>,
}

impl Work<'_> {
    /// Takes every step that is not done, and ends the run. Where all of them were taken but not everything is ready in
    /// time, the run is left as it is, for `resume` to end it.
    pub async fn go_on(&self, mut run: JournaledRun<Restore>) -> anyhow::Result<Finished> {
        self.restage_what_is_gone(&mut run).await?;
        let not_ready = match self.every_step(&mut run).await {
            Ok(()) => None,
            Err(error) => Some(error.downcast::<NotReady>()?.why),
        };
        let finished = finished(&run.steps(), not_ready);
        if finished.not_ready.is_some() {
            run.leave().await;
        }
        Ok(finished)
    }

    async fn every_step(&self, run: &mut JournaledRun<Restore>) -> anyhow::Result<()> {
        let mut shown = Shown::new(&**self.reporter);
        loop {
            let pending = match run.next_step() {
                Next::Step(pending) => pending,
                Next::Complete(complete) => {
                    complete.commit().await?;
                    shown.end();
                    return Ok(());
                }
            };
            shown.enter(pending.step().phase());
            let started = pending.start().await?;
            match self.take_patiently(&started).await {
                Ok(outcome) => started.done(outcome).await?,
                Err(error) => {
                    if !error.is::<NotReady>() {
                        shown.failed();
                    }
                    return Err(error);
                }
            }
        }
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

    /// Takes one step, and again where an API server or the database's server is away for some minutes: each comes to the
    /// same when it is taken twice. Before production stops, the user is told at once.
    async fn take_patiently(&self, started: &StartedStep<'_, Restore>) -> anyhow::Result<Outcome> {
        let bears = !matches!(started.step(), Step::Stage | Step::Connections);
        let passing = |error: &anyhow::Error| {
            // How pgmig ended does not change.
            let passes = bears && !error.is::<MigrationError>() && workload::may_pass(error);
            passes.then(|| error_text(error))
        };
        let step = started.step().phase().name();
        RetryPolicy::phases(PATIENCE)
            .run(step, &**self.reporter, passing, || self.take(started))
            .await
    }

    /// Takes one step. It may have been begun by a process that died.
    async fn take(&self, started: &StartedStep<'_, Restore>) -> anyhow::Result<Outcome> {
        if started.step().stops() && is_restored(&started.run().steps()) {
            return Ok(Outcome::NotNeeded {
                why: "the database is restored already".to_owned(),
            });
        }
        if started.step().stops() {
            let plan = started.run().plan();
            started.guard(self.read_backup(&plan)).await??;
        }
        match started.step() {
            Step::Stage => stage::stage(self, started).await,
            Step::Connections => connections::connections(self, started).await,
            Step::SuspendBackups { .. }
            | Step::StopOperator { .. }
            | Step::StopStore { .. }
            | Step::RestartRedis { .. } => quiesce::stop(self, started).await,
            Step::CopyDatabase => database::copy(self, started).await,
            Step::ReadyToMigrate => migrate::ready(self, started).await,
            Step::Migrate => migrate::migrate(self, started)
                .await
                .context("the database is not restored"),
            Step::Check => database::check(self, started).await,
            Step::EncryptionKey { .. } => database::merge_key(self, started).await,
            Step::StartStore { .. }
            | Step::StartOperator { .. }
            | Step::ResumeBackups { .. }
            | Step::StoreReady
            | Step::Settle => service::resume(self, started).await,
            Step::CleanUp => service::clean_up(self, started).await,
        }
    }
}

pub(super) fn finished(steps: &[StepRecord<Restore>], not_ready: Option<String>) -> Finished {
    let ready = steps.iter().find(|record| record.step == Step::StoreReady);
    let up = match ready.map(|record| &record.state) {
        Some(StepState::Done { at, .. }) => *at,
        _ => Timestamp::now(),
    };
    let down_for =
        down_since(steps).and_then(|down| Duration::try_from(up.duration_since(down)).ok());
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
