//! Why a step of a retraining was not done.

use std::time::Duration;

use thiserror::Error;
use wa_common::cluster::{ClusterError, TimedOut, WaitError};
use wa_common::report::{Exit, HasExit, printable};
use wa_common::run::journal::JournalError;

use crate::error::{RetrainError, Unreadable};

/// Why a step of a retraining was not done.
#[derive(Debug, Error)]
pub enum ProcedureError {
    /// Something cannot be found out.
    #[error(transparent)]
    Retrain(#[from] RetrainError),
    /// The journal or its lock does not allow it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operator has not done in time what a patch asks for.
    #[error(
        "{source}; it goes on in the cluster: `kubectl wa-retrain status` shows it, the same command waits for it again, and `kubectl wa-retrain finish` undoes it{hint}"
    )]
    NotInTime {
        /// What was waited for.
        source: TimedOut,
        /// What may be the reason.
        hint: &'static str,
    },
    /// A patch is somebody else's.
    #[error(
        "TemporaryPatch {} was not made by this run, and {}; it is not changed. Look at it (kubectl get temporarypatches.assistant.watson.ibm.com {0} -o yaml), and take it over with --adopt if it is meant for this retraining",
        printable(patch),
        printable(what)
    )]
    Foreign {
        /// The patch.
        patch: String,
        /// What it does that is in the way.
        what: String,
    },
    /// Several patches of others do the same.
    #[error(
        "the patches {} do the same, and only one of them could be taken over; decide which one is to stay",
        printable(&patches.join(", "))
    )]
    SeveralForeign {
        /// The patches.
        patches: Vec<String>,
    },
    /// An object kept changing.
    #[error("{what} keeps being changed by somebody else; try again")]
    Contended {
        /// Which.
        what: String,
    },
    /// The job cannot be started so that its time comes after its rollout.
    #[error(
        "the rollout of store-admin ended after the time of the job, {attempts} times; choose a later time with --in or --at"
    )]
    AlwaysTooLate {
        /// How often it was tried.
        attempts: u32,
    },
    /// The time cannot be written as a schedule.
    #[error(transparent)]
    Start(#[from] crate::start::StartError),
}

impl From<ClusterError> for ProcedureError {
    fn from(error: ClusterError) -> Self {
        Self::Retrain(error.into())
    }
}

impl From<Unreadable> for ProcedureError {
    fn from(error: Unreadable) -> Self {
        Self::Retrain(error.into())
    }
}

impl From<WaitError<Self>> for ProcedureError {
    fn from(error: WaitError<Self>) -> Self {
        match error {
            WaitError::Failed(error) => error,
            WaitError::TimedOut(source) => Self::NotInTime { source, hint: "" },
        }
    }
}

impl ProcedureError {
    /// What was waited for was not so in time.
    pub(super) fn not_in_time(what: String, after: Duration, state: String) -> Self {
        let source = TimedOut { what, after, state };
        Self::NotInTime { source, hint: "" }
    }

    /// Adds what may be the reason where the time was over.
    pub(super) fn or(self, hint: &'static str) -> Self {
        match self {
            Self::NotInTime { source, .. } => Self::NotInTime { source, hint },
            other => other,
        }
    }
}

impl HasExit for ProcedureError {
    fn exit(&self) -> Option<Exit> {
        match self {
            Self::NotInTime { .. } => Some(Exit::TimedOut),
            Self::Foreign { .. }
            | Self::SeveralForeign { .. }
            | Self::Retrain(RetrainError::OperatorDown { .. }) => Some(Exit::Refused),
            Self::Journal(error) => error.exit(),
            _ => None,
        }
    }
}
