//! The command line: one file a command.

mod about;
mod estimate;
mod plan;

use clap::{Parser, Subcommand};
use wa_common::cli::{Context, Exit, GlobalArgs, Plugin};

const EXPLANATION: &str = "\
After a restore all models must be trained again. The product does that by itself when environment variables of its \
Deployment store-admin say so, and is quicker with more replicas of five Deployments. `estimate` says how long it takes, \
`plan` what is changed for that. Neither changes anything.

Examples:
  kubectl wa-retrain estimate
  kubectl wa-retrain estimate --workspaces 1200 --pods 5,20
  kubectl wa-retrain plan --replicas 10
  kubectl wa-retrain plan --replicas 10 --manifests > patches.yaml";

/// Says how long retraining all models of a Watson Assistant takes, and what it changes.
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
}

impl Plugin for Cli {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Estimate(args) => estimate::run(&args, &context).await,
            Command::Plan(args) => plan::run(&args, &context).await,
        }
    }
}

/// A point in time, in UTC and, where that is another, in this machine's zone.
fn both_zones(time: jiff::Timestamp) -> String {
    let utc = time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    if local.offset() == jiff::tz::Offset::UTC {
        return utc;
    }
    format!("{utc}, {}", local.strftime("%Y-%m-%d %H:%M %Z"))
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
