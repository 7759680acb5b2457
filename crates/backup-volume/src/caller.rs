//! The command that works with the volume.

use std::sync::Arc;

use wa_common::cluster::Cluster;
use wa_common::report::Reporter;
use wa_common::run::ExitHooks;

/// What a command brings along: its connection, whom it reports to, and what is done when it ends.
#[derive(Clone)]
pub struct Caller {
    /// Where the volume is.
    pub cluster: Cluster,
    /// Where the steps are reported.
    pub reporter: Arc<dyn Reporter>,
    /// Where undoing is registered what is made for access to the files.
    pub exit_hooks: ExitHooks,
}
