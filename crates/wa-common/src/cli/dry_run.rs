//! kubectl's `--dry-run`.

use clap::ValueEnum;

/// `--dry-run[=client|server|none]`: look and say what would be done, but change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Do it.
    None,
    /// Decide here what would be done.
    Client,
    /// The same: what is looked at lies in the cluster either way. A command that changes objects which others guard also
    /// sends the changes, for the API server to say whether it would make them.
    Server,
}

impl DryRun {
    /// Whether nothing may be changed.
    pub fn is_on(self) -> bool {
        self != Self::None
    }
}
