//! `schedule`: the nightly backup's CronJob: how it stands, and its settings.

mod set;
mod show;

use clap::Subcommand;
use wa_common::cli::{Context, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the settings, the next runs, how the last ones ended, and what to see to
    #[command(add = show::ABOUT)]
    Show,
    /// Change settings, and say when the operator sets them back
    #[command(add = set::ABOUT)]
    Set(set::SetArgs),
    /// Have no more Jobs started by the schedule
    #[command(add = set::SUSPEND)]
    Suspend(set::HowArgs),
    /// Have Jobs started by the schedule again
    #[command(add = set::RESUME)]
    Resume(set::HowArgs),
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match args.command {
        Command::Show => show::run(context).await,
        Command::Set(args) => set::run(args.wishes(), args.how(), context).await,
        Command::Suspend(how) => set::run(set::suspended(true), &how, context).await,
        Command::Resume(how) => set::run(set::suspended(false), &how, context).await,
    }
}
