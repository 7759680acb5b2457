//! The steps of a run, in the only order in which they can be made.

use std::future::Future;

use super::super::change::make;
use super::content::RunProgress;

use super::{JournalError, JournaledRun, Permit, Procedure, StepRecord, StepState};

/// What comes next.
pub enum Next<'a, P: Procedure> {
    /// The first step that is not done.
    Step(PendingStep<'a, P>),
    /// Every step is done.
    Complete(CompletedRun<'a, P>),
}

/// A step that is not done.
pub struct PendingStep<'a, P: Procedure> {
    run: &'a mut JournaledRun<P>,
    at: usize,
    record: StepRecord<P>,
}

/// A step that is in the journal as started, and may change something.
pub struct StartedStep<'a, P: Procedure> {
    run: &'a mut JournaledRun<P>,
    at: usize,
    step: P::Step,
}

/// A run of which every step is done.
pub struct CompletedRun<'a, P: Procedure> {
    run: &'a mut JournaledRun<P>,
}

impl<P: Procedure> JournaledRun<P> {
    /// The first step that is not done, if any.
    pub fn next_step(&mut self) -> Next<'_, P> {
        let steps = self.steps();
        let pending = steps
            .into_iter()
            .enumerate()
            .find(|(_, record)| !record.state.is_done());
        match pending {
            Some((at, record)) => Next::Step(PendingStep {
                run: self,
                at,
                record,
            }),
            None => Next::Complete(CompletedRun { run: self }),
        }
    }
}

impl<'a, P: Procedure> PendingStep<'a, P> {
    /// What is to be done.
    pub fn step(&self) -> &P::Step {
        &self.record.step
    }

    /// How far it is: where it stands ([`StepState::stands`]), a process that died had begun it, or its undoing, and
    /// what came of that must be looked for.
    pub fn state(&self) -> &StepState<P::Outcome> {
        &self.record.state
    }

    /// Which step it is, from 1, and of how many.
    pub fn position(&self) -> (usize, usize) {
        (self.at + 1, self.run.steps().len())
    }

    /// Writes into the journal that it is started.
    pub async fn start(self) -> Result<StartedStep<'a, P>, JournalError> {
        let Self { run, at, record } = self;
        if !matches!(record.state, StepState::Started { .. }) {
            let now = run.shared.clock.now();
            run.shared
                .write(move |content| content.steps[at].state = StepState::Started { at: now })
                .await?;
        }
        Ok(StartedStep {
            run,
            at,
            step: record.step,
        })
    }
}

impl<P: Procedure> StartedStep<'_, P> {
    /// What is done.
    pub fn step(&self) -> &P::Step {
        &self.step
    }

    /// The run, to look at what holds for all steps, and at what came of those before.
    pub fn run(&self) -> &JournaledRun<P> {
        self.run
    }

    /// Makes one change: finds that every lock is still this run's, and does `work` to its end though the command is
    /// interrupted in the middle of it. Each change of a step asks anew; work that takes longer than some seconds is
    /// not a change but several, or is left to run in the cluster.
    pub async fn change<T, F>(&self, work: impl FnOnce(Permit) -> F) -> Result<T, JournalError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &self.run.shared;
        shared.confirm_locks().await?;
        let permit = Permit {
            mark: shared.mark.clone(),
        };
        Ok(make(&shared.making, work(permit)).await)
    }

    /// Does `work`, which waits and changes nothing, and ends it as soon as a lock is found to be lost.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, JournalError> {
        self.run.guard(work).await
    }

    /// Writes into the journal that it is done, and what came of it.
    pub async fn done(self, outcome: P::Outcome) -> Result<(), JournalError> {
        let (at, now) = (self.at, self.run.shared.clock.now());
        let done = StepState::Done { at: now, outcome };
        self.run
            .shared
            .write(move |content| content.steps[at].state = done)
            .await
    }
}

impl<P: Procedure> CompletedRun<'_, P> {
    /// Ends the run well: the journal stays as its record, the locks go.
    pub async fn commit(self) -> Result<(), JournalError> {
        let shared = &self.run.shared;
        let mut ended = shared.ended.lock().await;
        shared.confirm_locks().await?;
        shared
            .write(|content| content.progress = RunProgress::Done)
            .await?;
        *ended = Some(Ok(()));
        shared.delete_locks().await;
        Ok(())
    }
}
