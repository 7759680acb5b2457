//! What a plugin says of its procedure, and what the journal keeps of each of its steps.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Data, Undoing};

/// A procedure of a plugin: what it keeps in its journal, and how its steps are undone.
pub trait Procedure: Sized + Send + Sync + 'static {
    /// The plugin, such as `wa-restore`. Lock and journal are called by it and the instance.
    const PLUGIN: &'static str;
    /// Of the data below. To be raised when a plugin of before could not go on with what this one writes; it then
    /// refuses.
    const FORMAT_VERSION: u32;
    /// What holds for all steps, known before the first.
    type Plan: Data;
    /// One step, with everything that must be known to undo it.
    type Step: Data;
    /// What came of a step, for those after it and for the record: at most 4 KiB of JSON.
    type Outcome: Data;

    /// Whether a journal that was read can be this plugin's; the error is why not. Whoever may change ConfigMaps could
    /// have written anything into it.
    fn validate(plan: &Self::Plan, steps: &[StepRecord<Self>]) -> Result<(), String>;

    /// What a step does, for a person.
    fn describe(step: &Self::Step) -> String;

    /// Undoes a step and waits until it is undone. Succeeds where there is nothing left to undo, or never was: the
    /// process may have died before the step changed anything, and in the middle of an earlier undoing.
    fn undo(undo: UndoStep<'_, Self>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// How long one attempt of [`Procedure::undo`] may take.
    fn undo_limit(_step: &Self::Step) -> Duration {
        Duration::from_mins(2)
    }

    /// Whether the steps before it are undone though this one cannot be: where nothing depends on it, such as files
    /// that stay in a pod.
    fn may_stay(_step: &Self::Step) -> bool {
        false
    }

    /// The commands with which a person undoes a step of the run called `run`. They are copied into a shell: nothing
    /// that others could have put into the journal may come with them unchecked.
    fn manual_commands(plan: &Self::Plan, step: &Self::Step, namespace: &str, run: &str) -> String;

    /// What is undone when the command ends before all steps are done.
    fn when_stopped(steps: &[StepRecord<Self>]) -> WhenStopped;

    /// What to do about a run that stopped, with the command to type: a sentence.
    fn advice(plan: &Self::Plan, namespace: &str) -> String;
}

/// What an undo works with.
pub struct UndoStep<'a, P: Procedure> {
    /// What holds for all steps.
    pub plan: &'a P::Plan,
    /// What is undone.
    pub step: &'a P::Step,
    /// What came of it; `None` where it did not end.
    pub outcome: Option<&'a P::Outcome>,
    /// The cluster, the run, the reporter and the time limit.
    pub undoing: Undoing<'a>,
}

/// What becomes of a run whose command ends before all of its steps are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhenStopped {
    /// Every step is undone, the last one first. The run is over.
    UndoAll,
    /// The steps with these numbers, from 0, are undone, the last one first. The run can be resumed, which does
    /// them again.
    Undo(Vec<usize>),
    /// Everything stays as it is. The run can be resumed.
    KeepAll,
}

/// One step in the journal.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct StepRecord<P: Procedure> {
    /// What is done.
    pub step: P::Step,
    /// How far that is.
    #[serde(flatten)]
    pub state: StepState<P::Outcome>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
#[non_exhaustive]
pub enum StepState<O> {
    /// Nothing was changed yet.
    Planned,
    /// It was begun; where its process died, what it changed must be looked for.
    Started {
        /// When, by the API server's clock.
        at: Timestamp,
    },
    /// It is done.
    Done {
        /// Since when.
        at: Timestamp,
        /// What came of it.
        outcome: O,
    },
    /// Its undoing was begun; it is neither done nor undone.
    Undoing {
        /// When.
        at: Timestamp,
        /// What had come of it, where it had ended.
        outcome: Option<O>,
    },
    /// It was begun or done, and is undone.
    Undone {
        /// Since when.
        at: Timestamp,
    },
}

impl<P: Procedure> Clone for StepRecord<P> {
    fn clone(&self) -> Self {
        Self {
            step: self.step.clone(),
            state: self.state.clone(),
        }
    }
}

impl<P: Procedure> fmt::Debug for StepRecord<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRecord")
            .field("step", &self.step)
            .field("state", &self.state)
            .finish()
    }
}

impl<P: Procedure> StepRecord<P> {
    pub(super) fn planned(step: P::Step) -> Self {
        Self {
            step,
            state: StepState::Planned,
        }
    }
}

impl<O> StepState<O> {
    /// Whether it has changed something, or may have, that is not undone.
    pub fn stands(&self) -> bool {
        !matches!(self, Self::Planned | Self::Undone { .. })
    }

    /// Whether it is done.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// What came of it.
    pub fn outcome(&self) -> Option<&O> {
        match self {
            Self::Done { outcome, .. } => Some(outcome),
            Self::Undoing { outcome, .. } => outcome.as_ref(),
            Self::Planned | Self::Started { .. } | Self::Undone { .. } => None,
        }
    }

    /// Since when it is so, by the API server's clock; `None` where it is only planned.
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Planned => None,
            Self::Started { at }
            | Self::Done { at, .. }
            | Self::Undoing { at, .. }
            | Self::Undone { at } => Some(*at),
        }
    }
}
