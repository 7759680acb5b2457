//! Which exit code an error asks for.

use std::error::Error;

use crate::report::{Exit, HasExit};
use crate::run::LeftBehind;
use crate::run::journal::JournalError;
use backup_set::{BackupError, NotJudged, VerificationFailed};

/// Asks one kind of error.
type Ask = fn(&(dyn Error + 'static)) -> Option<Exit>;

/// Every kind that has an exit of its own. `BackupError` speaks for what it holds, which therefore is not in the chain.
const KINDS: [Ask; 5] = [
    ask::<VerificationFailed>,
    ask::<NotJudged>,
    ask::<BackupError>,
    ask::<LeftBehind>,
    ask::<JournalError>,
];

/// What counts first where the errors of one chain ask for several.
const FIRST: [Exit; 4] = [
    Exit::VerificationFailed,
    Exit::Degraded,
    Exit::NotJudged,
    Exit::Refused,
];

/// The exit that `error`, or one of its causes, asks for; else [`Exit::Error`].
pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    let asked = || {
        let kinds = |cause| KINDS.iter().filter_map(move |ask| ask(cause));
        error.chain().flat_map(kinds)
    };
    let first = FIRST.iter().find(|exit| asked().any(|one| one == **exit));
    first.copied().unwrap_or(Exit::Error)
}

fn ask<E: HasExit + 'static>(cause: &(dyn Error + 'static)) -> Option<Exit> {
    cause.downcast_ref::<E>()?.exit()
}

impl HasExit for VerificationFailed {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::VerificationFailed)
    }
}

impl HasExit for NotJudged {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::NotJudged)
    }
}

impl HasExit for BackupError {
    fn exit(&self) -> Option<Exit> {
        match self {
            Self::Failed(_) => Some(Exit::VerificationFailed),
            Self::NotJudged(_) => Some(Exit::NotJudged),
            Self::Io { .. } => None,
        }
    }
}
