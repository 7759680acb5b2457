//! The command line: one file a command.

mod check;
mod cleanup;
mod copy;
mod create;
mod diff;
mod inspect;
mod list;
mod metrics;
mod newest;
mod on_volume;
mod protect;
mod prune;
mod rbac;
mod rows;
mod schedule;
mod several;
mod span;
mod status;
mod trigger;
mod verify;

use anyhow::bail;
use backup_jobs::JobError;
use clap::{Parser, Subcommand};
use wa_common::cli::{
    About, Asked, Candidate, CleanupArgs, Context, Exit, GlobalArgs, Plugin, PluginErrors,
    advice_on_keys, advice_on_sets, asks,
};

const EXPLANATION: &str = "\
`create` runs pg_dump in a PostgreSQL pod of the instance and streams the dump here through the Kubernetes API. It is kept \
only when the pod's exit code, byte count and SHA-256 agree and every data block of the dump can be read.";

/// Without a command's name, `create` is done.
const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup",
        "kubectl wa-backup check -n cpd",
        "kubectl wa-backup create -i wa --to /mnt/backups",
        "set -o pipefail; kubectl wa-backup create --stdout | age -r KEY > dump.age",
        "kubectl wa-backup verify wa-backups/*",
        "kubectl wa-backup list",
    ],
    ..create::ABOUT
};

/// Backs up Watson Assistant's store database, and proves that the backup is whole.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-wa_backup",
    bin_name = "kubectl wa-backup",
    version,
    propagate_version = true
)]
#[command(after_help = EXPLANATION, add = ABOUT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The options of `create`, which is done when no command is named; none where none is given.
    #[command(flatten)]
    create: Option<create::Args>,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a backup (also when no command is named)
    #[command(add = create::ABOUT)]
    Create(create::Args),
    /// Say whether a backup would work, without taking one
    #[command(add = check::ABOUT)]
    Check,
    /// Read backups from end to end and say whether they are intact
    #[command(add = verify::ABOUT)]
    Verify(verify::Args),
    /// Show what is in backups: tables and service instances
    #[command(add = inspect::ABOUT)]
    Inspect(inspect::Args),
    /// Compare two backups, or one and the live database: service instances and rows that came or went
    #[command(add = diff::ABOUT)]
    Diff(diff::Args),
    /// List the backups in a directory, newest first
    #[command(add = list::ABOUT)]
    List(list::Args),
    /// Start a backup Job of the CronJob now, follow it, and fetch what it wrote
    #[command(add = trigger::ABOUT)]
    Trigger(trigger::Args),
    /// Show and change when nightly backups are taken, and how many are kept
    Schedule(schedule::Args),
    /// Remove what an interrupted run left in the cluster
    #[command(add = cleanup::ABOUT)]
    Cleanup(CleanupArgs),
    /// Print the least roles that let somebody run these plugins, for kubectl apply
    #[command(add = rbac::ABOUT)]
    Rbac(rbac::Args),
    /// Copy a backup set to another place, such as a bucket, or from there
    #[command(add = copy::ABOUT)]
    Copy(copy::Args),
    /// Delete old backups, by rules
    #[command(add = prune::ABOUT)]
    Prune(prune::Args),
    /// Keep a backup, whatever the rules of prune say
    #[command(add = protect::ABOUT)]
    Protect(protect::Args),
    /// Say how old the newest good backup is, for cron and monitoring
    #[command(add = status::ABOUT)]
    Status(status::Args),
}

impl Plugin for Cli {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    fn errors() -> PluginErrors {
        PluginErrors {
            exits: &[asks::<JobError>],
            advice: |error| advice_on_keys(error).or_else(|| advice_on_sets(error)),
        }
    }

    fn prints_rows(&self) -> bool {
        matches!(&self.command, Some(Command::Inspect(args)) if args.prints_rows())
    }

    async fn values(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
        Ok(match name {
            "CLAIM" => bucket_claims::names(&asked.connect()?)
                .await?
                .into_iter()
                .map(Candidate::new)
                .collect(),
            "METHOD" => create::compressions(),
            "PLUGIN" => rbac::scopes(),
            "NEW" => vec![Candidate::new("live").help("what the database holds now")],
            _ => Vec::new(),
        })
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        let Some(command) = self.command else {
            return create::run(self.create.unwrap_or_default(), &context).await;
        };
        if self.create.is_some() {
            bail!(
                "options of `create` stand before a command's name, where they would not count; write them after `create`"
            );
        }
        match command {
            Command::Create(args) => create::run(args, &context).await,
            Command::Check => check::run(&context).await,
            Command::Verify(args) => verify::run(&args, &context).await,
            Command::Inspect(args) => inspect::run(&args, &context).await,
            Command::Diff(args) => diff::run(&args, &context).await,
            Command::List(args) => list::run(&args, &context).await,
            Command::Trigger(args) => trigger::run(&args, &context).await,
            Command::Schedule(args) => schedule::run(args, &context).await,
            Command::Cleanup(args) => cleanup::run(&args, &context).await,
            Command::Rbac(args) => rbac::run(&args, &context).await,
            Command::Copy(args) => copy::run(&args, &context).await,
            Command::Prune(args) => prune::run(&args, &context).await,
            Command::Protect(args) => protect::run(&args, &context),
            Command::Status(args) => status::run(&args, &context).await,
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
