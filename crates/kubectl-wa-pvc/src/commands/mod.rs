//! The command line: one file a command.

mod access;
mod advice;
mod cleanup;
mod fallback;
mod info;
mod list;
mod pull;
mod selection;
mod values;

use clap::{Parser, Subcommand};
use wa_common::cli::{
    Asked, Candidate, CleanupArgs, Context, Exit, GlobalArgs, Plugin, PluginErrors,
};

const EXPLANATION: &str = "\
Watson Assistant's CronJob leaves a dump on a volume every night. No pod has that volume mounted in between, so its files \
are reached through a helper pod, a snapshot or Portworx, whichever is possible; `info` tells. Whatever is made for that is \
recorded first and removed at the end, also after an error and after Ctrl-C.

Examples:
  kubectl wa-pvc info
  kubectl wa-pvc list -n cpd
  kubectl wa-pvc pull --latest --to /mnt/backups
  kubectl wa-pvc pull store.dump_20261121-230004 --resume
  kubectl wa-pvc pull --since 3d --via snapshot
  kubectl wa-pvc cleanup --dry-run";

/// Lists and fetches the dumps that Watson Assistant's CronJob leaves on its volume.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-wa_pvc",
    bin_name = "kubectl wa-pvc",
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
    /// Show the backup volume, who uses it, and the ways to its files; changes nothing without --measure
    #[command(add = info::ABOUT)]
    Info(info::Args),
    /// List the files on the volume, through a helper pod where no pod has it mounted
    #[command(add = list::ABOUT)]
    List(list::Args),
    /// Fetch dumps as verified backup sets
    #[command(add = pull::ABOUT)]
    Pull(pull::Args),
    /// Remove what an interrupted run left in the cluster
    #[command(add = cleanup::ABOUT)]
    Cleanup(CleanupArgs),
}

impl Plugin for Cli {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    fn errors() -> PluginErrors {
        PluginErrors {
            advice: advice::advice,
            ..PluginErrors::default()
        }
    }

    async fn values(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
        values::named(name, asked).await
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Info(args) => info::run(&args, &context).await,
            Command::List(args) => list::run(&args, &context).await,
            Command::Pull(args) => pull::run(&args, &context).await,
            Command::Cleanup(args) => cleanup::run(&args, &context).await,
        }
    }
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
