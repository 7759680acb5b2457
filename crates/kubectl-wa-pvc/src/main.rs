//! `kubectl wa-pvc`: the dumps that Watson Assistant's CronJob leaves on its volume.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
