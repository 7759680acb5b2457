//! The command line of a plugin, with what every plugin has.

use clap::{Command, Subcommand as _};

use super::called::Called;
use super::own_command::OwnCommand;
use super::{Plugin, about};

/// The command line of a plugin as it was called.
pub(super) struct CommandLine {
    pub(super) command: Command,
    /// Such as `kubectl-wa-backup/0.1.0`, by whatever name it was called.
    pub(super) program: String,
}

impl CommandLine {
    pub(super) fn of<P: Plugin>(called: &Called) -> Self {
        let command = P::command();
        let usual = command
            .get_bin_name()
            .unwrap_or(command.get_name())
            .to_owned();
        let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
        let program = format!("{}/{version}", usual.replace(' ', "-"));
        let shown = called.shown(&usual);
        let command = OwnCommand::augment_subcommands(command).bin_name(&shown);
        Self {
            command: about::lay_out(command, &usual, &shown),
            program,
        }
    }
}
