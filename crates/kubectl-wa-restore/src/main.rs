//! `kubectl wa-restore`: prepares and checks the restore of a backup of Watson Assistant.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
