//! What a command does not do, and why.

use wa_common::cli::Exit;
use wa_common::report::HasExit;

/// Refused, or declined by the user: nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

impl HasExit for Refused {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::Refused)
    }
}
