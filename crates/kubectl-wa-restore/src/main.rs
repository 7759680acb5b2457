//! `kubectl wa-restore`: restores a backup of Watson Assistant, checked beforehand and resumable.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
