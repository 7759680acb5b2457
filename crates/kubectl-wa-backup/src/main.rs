//! `kubectl wa-backup`: verified backups of Watson Assistant's store database.

mod commands;
mod dump;
mod judged;
mod key_file;
mod preflight;
mod silence;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
