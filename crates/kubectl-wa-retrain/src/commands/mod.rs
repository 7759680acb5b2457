//! The command line: one file a command.

mod about;
mod changed;
mod check;
mod doctor;
mod estimate;
mod finish;
mod plan;
mod run;
mod scale;
mod shared;
mod start;
mod status;
mod status_report;

use clap::{Parser, Subcommand};
use retraining::procedure::ProcedureError;
use wa_common::cli::{Context, Exit, GlobalArgs, Plugin, PluginErrors, asks};
use wa_common::report::Event;

const EXPLANATION: &str = "\
After a restore all models must be trained again. The product does that by itself when environment variables of its \
Deployment store-admin say so, and is quicker with more replicas of five Deployments. `run` does all of it and undoes all of \
it; `scale`, `start`, `status` and `finish` are its parts, for those who want a night in between. `estimate` and `plan` say \
beforehand how long it takes and what it changes; `doctor` finds what was left by earlier ones.

Examples:
  kubectl wa-retrain estimate
  kubectl wa-retrain plan --replicas 10
  kubectl wa-retrain run --replicas 10
  kubectl wa-retrain status --watch
  kubectl wa-retrain finish
  kubectl wa-retrain doctor";

/// Retrains all models of a Watson Assistant: estimates, speeds up, runs, watches and undoes.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-wa_retrain",
    bin_name = "kubectl wa-retrain",
    version,
    propagate_version = true,
    after_help = EXPLANATION
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Estimate how long retraining takes, for several numbers of training pods
    #[command(add = about::ESTIMATE)]
    Estimate(estimate::Args),
    /// Show what retraining with so many training pods changes, without changing it
    #[command(add = about::PLAN)]
    Plan(plan::Args),
    /// Check whether everything is there that retraining needs
    #[command(add = about::CHECK)]
    Check(check::Args),
    /// Scale, start, watch and finish the retraining of all models
    #[command(add = about::RUN)]
    Run(run::Args),
    /// Scale up for retraining, or back
    #[command(add = about::SCALE)]
    Scale(scale::Args),
    /// Have all models trained, at a time
    #[command(add = about::START)]
    Start(start::Args),
    /// Show how far training is
    #[command(add = about::STATUS)]
    Status(status::Args),
    /// Undo everything that scale, start and run have changed
    #[command(add = about::FINISH)]
    Finish(finish::Args),
    /// Find what earlier retrainings have left, and remove it
    #[command(add = about::DOCTOR)]
    Doctor(doctor::Args),
}

impl Plugin for Cli {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    fn errors() -> PluginErrors {
        PluginErrors {
            exits: &[asks::<ProcedureError>],
            ..PluginErrors::default()
        }
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Estimate(args) => estimate::run(&args, &context).await,
            Command::Plan(args) => plan::run(&args, &context).await,
            Command::Check(args) => check::run(&args, &context).await,
            Command::Run(args) => run::run(&args, &context).await,
            Command::Scale(args) => scale::run(&args, &context).await,
            Command::Start(args) => start::run(&args, &context).await,
            Command::Status(args) => status::run(&args, &context).await,
            Command::Finish(args) => finish::run(&args, &context).await,
            Command::Doctor(args) => doctor::run(&args, &context).await,
        }
    }
}

/// A command that the user did not confirm, or could not be asked about.
fn declined(context: &Context, what: &str) -> Exit {
    let why = "it was not confirmed; --yes confirms it where nobody can be asked";
    refused(context, format!("{what}: {why}"))
}

fn refused(context: &Context, message: String) -> Exit {
    context.reporter.report(&Event::Failure {
        message,
        leftovers: Vec::new(),
    });
    Exit::Refused
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert_eq!(wa_common::cli::help_problems::<Cli>(), [""; 0]);
    }
}
