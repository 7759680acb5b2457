//! `kubectl wa-retrain`: retrains all models of a Watson Assistant.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
