//! `kubectl wa-pvc`: the dumps that Watson Assistant's CronJob leaves on its volume.

mod change;
mod commands;
mod denied;
mod driver;
mod fallback;
mod fetch;
mod files;
mod helper;
mod names;
mod permissions;
mod portworx;
mod quantity;
mod reach;
mod run;
mod selection;
mod survey;
mod volume;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
