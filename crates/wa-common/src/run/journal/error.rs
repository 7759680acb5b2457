//! Why a journaled run cannot begin or go on.

use jiff::Timestamp;
use thiserror::Error;

use super::super::{Loss, RunError};
use crate::report::{Exit, HasExit, printable};

/// Why a journaled run cannot begin, go on, or write down what it does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The API server did not do what was asked, or a Lease cannot be read.
    #[error(transparent)]
    Run(RunError),
    /// Somebody else is at work.
    #[error(
        "{} holds the lease {lock} in namespace {namespace} since {since}, running `{}`; wait until that has ended, or end it there",
        printable(holder),
        printable(command)
    )]
    Held {
        /// The lock.
        lock: String,
        /// Where that is.
        namespace: String,
        /// Who: user, host and process.
        holder: String,
        /// By the API server's clock.
        since: Timestamp,
        /// What they run.
        command: String,
    },
    /// A run that has stopped must be resumed, or undone, first.
    #[error(
        "the run {} has stopped and is not over (see configmap {} in namespace {}, last held by `{}`); {}",
        printable(run),
        printable(journal),
        printable(namespace),
        printable(command),
        printable(advice)
    )]
    Unfinished {
        /// That run.
        run: String,
        /// Its journal.
        journal: String,
        /// Where that is.
        namespace: String,
        /// What last held it.
        command: String,
        /// What to do about it.
        advice: String,
    },
    /// There is nothing to go on with.
    #[error("the run {run} is over: {how}")]
    Over {
        /// That run.
        run: String,
        /// How it ended.
        how: &'static str,
    },
    /// The lock was lost: nothing may be changed any more.
    #[error(
        "the lease {lock} of this run was lost: {}; nothing more was changed",
        lost(loss)
    )]
    LockLost {
        /// The lock.
        lock: String,
        /// How.
        loss: Loss,
    },
    /// An object has the name that this run would use, and was made by somebody else.
    #[error(
        "{what} is not one that this plugin made: {}; nothing was changed, look at it before you rename or delete it",
        printable(why)
    )]
    NotOurs {
        /// Kind and name.
        what: String,
        /// How that is known.
        why: String,
    },
    /// A newer plugin has written the journal.
    #[error(
        "the journal in configmap {journal} has format version {format}, and this plugin knows up to {known}; use the version of the plugin that began the run, or a newer one"
    )]
    NewerFormat {
        /// The ConfigMap.
        journal: String,
        /// Its version.
        format: u32,
        /// The highest that can be read.
        known: u32,
    },
    /// Somebody has changed the journal since this run last wrote it.
    #[error(
        "the journal in configmap {journal} was changed by {}; nothing more was changed, and it was not overwritten: look at it (kubectl get configmap {journal} -o yaml --show-managed-fields)",
        printable(by)
    )]
    Changed {
        /// The ConfigMap.
        journal: String,
        /// Who.
        by: String,
    },
    /// Somebody has deleted the journal.
    #[error(
        "the journal in configmap {journal} is gone, though the run is not over; nothing more was changed"
    )]
    Gone {
        /// The ConfigMap.
        journal: String,
    },
    /// Every attempt to write the journal met somebody else's change of its labels.
    #[error(
        "the journal in configmap {journal} cannot be written: something else keeps changing it"
    )]
    Contended {
        /// The ConfigMap.
        journal: String,
    },
    /// What the journal says cannot be.
    #[error(
        "the journal in configmap {journal} cannot be read ({}); use the version of the plugin that began the run",
        printable(why)
    )]
    Unreadable {
        /// The ConfigMap.
        journal: String,
        /// Why not.
        why: String,
    },
    /// A step stands that was to be undone.
    #[error("{} is not undone: {}", printable(step), printable(why))]
    NotUndone {
        /// The step.
        step: String,
        /// Why not.
        why: String,
    },
    /// More than a journal holds.
    #[error("{what} of the journal is {size}, and may be {limit} at most")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is, in bytes or pieces.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Data of the plugin cannot be written as JSON.
    #[error("the journal cannot be written as JSON: {why}; this is a bug")]
    NotJson {
        /// Why not.
        why: String,
    },
}

fn lost(loss: &Loss) -> String {
    match loss {
        Loss::Gone => "it is gone".to_owned(),
        Loss::TakenOver { holder } => {
            format!("{} has taken it over and goes on", printable(holder))
        }
    }
}

impl From<RunError> for JournalError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lost { run, loss } => Self::LockLost { lock: run, loss },
            error => Self::Run(error),
        }
    }
}

impl HasExit for JournalError {
    fn exit(&self) -> Option<Exit> {
        match self {
            Self::Held { .. }
            | Self::Unfinished { .. }
            | Self::NotOurs { .. }
            | Self::NewerFormat { .. }
            | Self::Over { .. } => Some(Exit::Refused),
            _ => None,
        }
    }
}
