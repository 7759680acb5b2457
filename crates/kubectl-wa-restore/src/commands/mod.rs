//! The command line: one file a command.

mod about;
mod changes;
mod check;
mod config;
mod consent;
mod default_run;
mod ended;
mod inputs;
mod interactive;
mod logs;
mod mapping;
mod other_run;
mod plan;
mod refused;
mod rehearse;
mod restore_args;
mod resume;
mod rollback;
mod run;
mod safety_backup;
mod status;
mod upgrade_path;
mod values;

use anyhow::bail;
use clap::{Parser, Subcommand};
use wa_common::cli::{
    Asked, Candidate, Context, Exit, GlobalArgs, Plugin, PluginErrors, advice_on_keys,
    advice_on_latest, asks,
};

use default_run::DefaultRun;
use refused::Refused;
use store_restore::pg_restore::TooOld;

const EXPLANATION: &str = "\
A backup is restored with pgmig, IBM's own tool, which erases the target's database first, while the product is stopped. `run` \
does all of it: it checks first, asks, takes a safety backup, and writes down every step before it takes it, so that `status`, \
`resume` and `rollback` work from any machine. check, mapping, plan, config and upgrade-path change nothing; rehearse makes a \
helper pod and removes it again.

BACKUP is the directory of a backup set, a dump file, `latest` for the newest set of ./wa-backups, `latest~1` for the one \
before it, DIR/latest, or latest in a bucket: s3://BUCKET/PREFIX/latest, and likewise gs://, az:// (a container) and obc:// (an ObjectBucketClaim).";

/// Restores a Watson Assistant backup, checked beforehand, and to be picked up from anywhere.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-wa_restore",
    bin_name = "kubectl wa-restore",
    version,
    propagate_version = true,
    subcommand_negates_reqs = true
)]
#[command(after_help = EXPLANATION, add = about::DEFAULT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The options of `run`, which is done when a backup and no command is named.
    #[command(flatten)]
    run: DefaultRun,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Restore a backup (also when only a backup is named)
    #[command(add = about::RUN)]
    Run(run::Args),
    /// Say where a restore is, and what to do about one that has stopped
    #[command(add = about::STATUS)]
    Status(status::Args),
    /// Show what pgmig prints
    #[command(add = about::LOGS)]
    Logs(logs::Args),
    /// Go on with a restore that has stopped
    #[command(add = about::RESUME)]
    Resume(resume::Args),
    /// Go back to what was before a restore
    #[command(add = about::ROLLBACK)]
    Rollback(rollback::Args),
    /// Say whether a restore would work, with everything that stands in its way
    #[command(add = about::CHECK)]
    Check(check::Args),
    /// Write down the whole restore as commands, with values filled in
    #[command(add = about::PLAN)]
    Plan(plan::Args),
    /// Restore a backup into a PostgreSQL of its own, to see whether it can be restored; touches nothing of the product
    #[command(add = about::REHEARSE)]
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

    fn errors() -> PluginErrors {
        PluginErrors {
            exits: &[asks::<Refused>, asks::<TooOld>],
            advice: |error| advice_on_keys(error).or_else(|| advice_on_latest(error)),
        }
    }

    async fn values(name: &str, _: &Asked) -> anyhow::Result<Vec<Candidate>> {
        Ok(values::named(name))
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        let command = match (self.command, self.run) {
            (Some(command), DefaultRun::Absent) => command,
            (Some(_), _) => bail!(
                "options of `run` stand before a command's name, where they would not count; write them after `run`"
            ),
            (None, DefaultRun::Given(run)) => Command::Run(*run),
            (None, _) => bail!("name a backup to restore, or a command; see --help"),
        };
        match command {
            Command::Run(args) => run::run(args, &context).await,
            Command::Status(args) => status::run(&args, &context).await,
            Command::Logs(args) => logs::run(&args, &context).await,
            Command::Resume(args) => resume::run(args, &context).await,
            Command::Rollback(args) => rollback::run(args, &context).await,
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
