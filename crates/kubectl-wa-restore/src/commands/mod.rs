//! The command line: one file a command.

mod about;
mod check;
mod config;
mod mapping;
mod plan;
mod rehearse;
mod restore_args;
mod upgrade_path;
mod values;

use clap::{Parser, Subcommand};
use wa_common::cli::{
    Asked, Candidate, Context, Exit, GlobalArgs, Plugin, PluginErrors, advice_on_latest,
};

const EXPLANATION: &str = "\
A backup is restored with pgmig, IBM's own tool, which erases the target's database first. These commands change nothing of \
the product (`rehearse` makes a helper pod and removes it again): they check beforehand whether the restore can work, write \
the files that pgmig needs, and write down every command of the restore with its values filled in.

BACKUP is the directory of a backup set, a dump file, `latest` for the newest set of ./wa-backups, `latest~1` for the one \
before it, or DIR/latest.

Examples:
  kubectl wa-restore rehearse latest
  kubectl wa-restore upgrade-path 4.8.8 5.2.1
  kubectl wa-restore mapping latest --to restore/mapping.yaml
  kubectl wa-restore check latest --mapping restore/mapping.yaml --pgmig pgmig
  kubectl wa-restore config --to restore
  kubectl wa-restore plan latest --mapping restore/mapping.yaml --pgmig pgmig > runbook.txt";

/// Prepares and checks the restore of a Watson Assistant backup.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-wa_restore",
    bin_name = "kubectl wa-restore",
    version,
    propagate_version = true
)]
#[command(after_help = EXPLANATION)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether a restore would work, with everything that stands in its way
    #[command(add = about::CHECK)]
    Check(check::Args),
    /// Write down the whole restore as commands, with values filled in
    #[command(add = about::PLAN)]
    Plan(plan::Args),
    /// Restore a backup into a PostgreSQL of its own, to see whether it can be restored; touches nothing of the product
    Rehearse(rehearse::Args),
    /// Show which service instance becomes which, propose a mapping, or validate one
    #[command(add = about::MAPPING)]
    Mapping(mapping::Args),
    /// Write pgmig's configuration: postgres.yaml, resourceController.yaml and ca.crt
    #[command(add = about::CONFIG)]
    Config(config::Args),
    /// Show onto which releases a backup can be restored
    #[command(add = about::UPGRADE_PATH)]
    UpgradePath(upgrade_path::Args),
}

impl Plugin for Cli {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    async fn values(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
        Ok(values::named(name, asked))
    }

    fn errors() -> PluginErrors {
        PluginErrors {
            advice: advice_on_latest,
            ..PluginErrors::default()
        }
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Check(args) => check::run(args, &context).await,
            Command::Plan(args) => plan::run(args, &context).await,
            Command::Rehearse(args) => rehearse::run(args, &context).await,
            Command::Mapping(args) => mapping::run(&args, &context).await,
            Command::Config(args) => config::run(args, &context).await,
            Command::UpgradePath(args) => upgrade_path::run(&args, &context),
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
