//! `kubectl wa-pvc`: the dumps that Watson Assistant's CronJob leaves on its volume.

mod access;
mod change;
mod commands;
mod denied;
mod discovery;
mod driver;
mod fallback;
mod fetch;
mod files;
mod helper;
mod names;
mod permissions;
mod portworx;
mod quantity;
mod run;
mod selection;
mod volume;

use std::process::ExitCode;

fn main() -> ExitCode {
    wa_common::cli::main::<commands::Cli>()
}
