//! What becomes of a run that does not come to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::retry::RetryBudget;
use super::super::undo::{ABSENCE_LIMIT, undo_within};
use super::super::{LeftBehind, Loss, Undoing};
use super::content::{Content, RunProgress};
use super::{
    JournalError, JournaledRun, Procedure, Shared, StepRecord, StepState, UndoStep, WhenStopped,
};
use crate::report::{Event, Leftover, error_text};

impl<P: Procedure> JournaledRun<P> {
    /// Undoes one step that stands, for a command that goes on differently; [`JournaledRun::next_step`] comes to it again.
    pub async fn undo(&mut self, at: usize) -> Result<(), JournalError> {
        let mut budget = RetryBudget::new(&*self.shared.reporter, ABSENCE_LIMIT, "to undo a step");
        self.shared.undo(at, &mut budget).await
    }

    /// Undoes every step that stands, the last one first, and is over. Where one cannot be undone, those before it
    /// stand too, unless [`Procedure::may_stay`]; the run can then be resumed.
    pub async fn roll_back(self) -> Result<(), LeftBehind> {
        self.shared.end(|_| WhenStopped::UndoAll).await
    }

    /// Stops with everything as it is: the journal stays, and the run can be resumed from any machine. Returns what
    /// stands, which is an error for whoever runs the command; `Ok` where nothing does, and the run is over.
    pub async fn release(self) -> Result<(), LeftBehind> {
        self.shared.end(|_| WhenStopped::KeepAll).await
    }

    /// As [`Self::release`], for a command that has done what it was asked: what stands is meant to stand, and is no
    /// error.
    pub async fn leave(self) {
        let mut ended = self.shared.ended.lock().await;
        if ended.is_none() {
            // What is left was told by the command itself.
            let _ = self.shared.end_now(|_| WhenStopped::KeepAll).await;
            *ended = Some(Ok(()));
        }
    }

    /// From now on one attempt to undo a step may take so long, whatever [`Procedure::undo_limit`] says.
    pub fn undo_within(&self, limit: Duration) {
        *self.shared.undo_limit() = Some(limit);
    }
}

impl<P: Procedure> Shared<P> {
    /// Ends the run when the command has ended.
    pub(super) async fn stop(self: &Arc<Self>) -> Result<(), LeftBehind> {
        self.end(P::when_stopped).await
    }

    /// Ends the run, once: later calls return what the first one did.
    async fn end(
        self: &Arc<Self>,
        how: impl FnOnce(&[StepRecord<P>]) -> WhenStopped,
    ) -> Result<(), LeftBehind> {
        let mut ended = self.ended.lock().await;
        if let Some(outcome) = &*ended {
            return outcome.clone();
        }
        let outcome = self.end_now(how).await;
        *ended = Some(outcome.clone());
        outcome
    }

    async fn end_now(
        self: &Arc<Self>,
        how: impl FnOnce(&[StepRecord<P>]) -> WhenStopped,
    ) -> Result<(), LeftBehind> {
        // What is just being made is waited for.
        let _made = self.making.write().await;
        let (how, standing) = {
            let content = self.content();
            (how(&content.steps), content.standing())
        };
        let undone = match how {
            WhenStopped::UndoAll => standing,
            WhenStopped::Undo(steps) => standing
                .into_iter()
                .filter(|at| steps.contains(at))
                .collect(),
            WhenStopped::KeepAll => Vec::new(),
        };
        let failed = self.undo_several(&undone).await;
        let standing = self.content().standing();
        if !standing.is_empty() {
            self.release_locks().await;
            if let Some(by) = self.taken_over_by().await {
                // Who must not be disturbed, and knows what stands.
                self.reporter.report(&Event::Warning {
                    message: format!(
                        "the run {} is not ended here: it was taken over by {by}",
                        self.mark.run
                    ),
                });
                return Ok(());
            }
            return Err(self.left_behind(&standing, &failed));
        }
        let over = |content: &mut Content<P>| content.progress = RunProgress::Undone;
        match self.write_at_the_end(over).await {
            Ok(()) => self.delete_locks().await,
            Err(error) => {
                self.release_locks().await;
                self.reporter.report(&Event::Warning {
                    message: format!(
                        "everything is undone, but the journal does not say so: {}",
                        error_text(&error.into())
                    ),
                });
            }
        }
        Ok(())
    }

    /// Who goes on with the run, or has ended it, where this process has lost a lock.
    async fn taken_over_by(&self) -> Option<String> {
        let losses: Vec<Loss> = self
            .locks
            .iter()
            .filter_map(|lock| lock.lease.loss())
            .collect();
        let taken_over = losses.iter().find_map(|loss| match loss {
            Loss::TakenOver { holder } => Some(holder.clone()),
            Loss::Gone => None,
        });
        if losses.is_empty() || taken_over.is_some() {
            return taken_over;
        }
        // Whoever ends a run deletes its locks.
        let journal = self.journal.lock().await;
        let ours = &journal.content;
        let theirs = journal.read_again().await.ok().flatten()?;
        ((&theirs.run, theirs.holding.epoch) != (&ours.run, ours.holding.epoch))
            .then_some(theirs.holding.writer)
    }

    /// Undoes steps in the order given; returns which cannot be undone, and why.
    async fn undo_several(self: &Arc<Self>, steps: &[usize]) -> BTreeMap<usize, String> {
        let mut failed = BTreeMap::new();
        let mut budget =
            RetryBudget::new(&*self.reporter, ABSENCE_LIMIT, "to undo what was changed");
        for &at in steps {
            let Err(error) = self.undo(at, &mut budget).await else {
                continue;
            };
            let why = match error {
                JournalError::NotUndone { why, .. } => why,
                error => error_text(&error.into()),
            };
            failed.insert(at, why);
            if !P::may_stay(&self.content().steps[at].step) {
                break;
            }
        }
        failed
    }

    async fn undo(
        self: &Arc<Self>,
        at: usize,
        budget: &mut RetryBudget<'_>,
    ) -> Result<(), JournalError> {
        let (plan, step, outcome) = {
            let content = self.content();
            let record = content.steps.get(at).filter(|one| one.state.stands());
            let Some(StepRecord { step, state }) = record else {
                return Ok(());
            };
            (content.plan.clone(), step.clone(), state.outcome().cloned())
        };
        self.confirm_locks().await?;
        let undoing = StepState::Undoing {
            at: self.clock.now(),
            outcome: outcome.clone(),
        };
        self.write_at_the_end(move |content| content.steps[at].state = undoing)
            .await?;
        let what = P::describe(&step);
        self.waiting.begin(what.clone());
        let attempt = |deadline| {
            P::undo(UndoStep {
                plan: &plan,
                step: &step,
                outcome: outcome.as_ref(),
                undoing: Undoing {
                    cluster: &self.cluster,
                    run: &self.mark.run,
                    reporter: &*self.reporter,
                    deadline,
                    waiting: &self.waiting,
                },
            })
        };
        let limit = *self.undo_limit();
        let limit = limit.unwrap_or_else(|| P::undo_limit(&step));
        self.guard(undo_within(limit, budget, attempt))
            .await?
            .map_err(|why| JournalError::NotUndone {
                step: what.clone(),
                why,
            })?;
        let undone = StepState::Undone {
            at: self.clock.now(),
        };
        self.write_at_the_end(move |content| content.steps[at].state = undone)
            .await?;
        self.reporter.report(&Event::Step {
            step: "undone",
            detail: what,
        });
        Ok(())
    }

    /// What stays when the user does not wait for the end.
    pub(super) fn given_up(&self) -> Option<LeftBehind> {
        let ended = self.ended.try_lock();
        if ended.is_ok_and(|ended| matches!(*ended, Some(Ok(())))) {
            return None;
        }
        let standing = self.content().standing();
        (!standing.is_empty()).then(|| self.left_behind(&standing, &BTreeMap::new()))
    }

    /// The steps that stand, with why some could not be undone.
    fn left_behind(&self, standing: &[usize], failed: &BTreeMap<usize, String>) -> LeftBehind {
        let content = self.content();
        let namespace = self.cluster.namespace();
        let leftover = |at: &usize| {
            let StepRecord { step, state } = &content.steps[*at];
            let what = P::describe(step);
            let why = match (failed.get(at), self.waiting.of(&what), state) {
                (Some(why), _, _) => why.clone(),
                (None, Some(on), _) => format!("not undone yet: waiting {on}"),
                (None, None, StepState::Done { .. }) => "done, and kept to go on with".to_owned(),
                (None, None, StepState::Undoing { .. }) => "not undone yet".to_owned(),
                (None, None, _) => "begun, and not ended".to_owned(),
            };
            Leftover {
                what,
                why,
                by_hand: P::manual_commands(&content.plan, step, namespace, &self.mark.run),
            }
        };
        LeftBehind {
            namespace: namespace.to_owned(),
            leftovers: standing.iter().map(leftover).collect(),
            advice: P::advice(&content.plan, namespace),
        }
    }
}
