//! `kubectl wa-backup`: verified backups of Watson Assistant's store database.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
