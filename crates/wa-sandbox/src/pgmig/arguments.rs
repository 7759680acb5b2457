//! The arguments, spelled as IBM documents them, and which of the jobs they ask for.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::database::Database;
use crate::faults::{Fault, Faults};
use crate::migration::Migration;
use crate::settings::{PostgresFile, ResourceControllerFile, authority};
use crate::target::ResourceController;
use crate::{mapping, say};

/// A stand-in for pgmig, for the practice cluster alone: clears the target database, restores a backup into it, and
/// gives its instances the ids of the target's.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "IBM's flags are what they are"
)]
#[command(name = "pgmig", disable_version_flag = true)]
struct Arguments {
    /// Erase data if present in the target Store
    #[arg(short, long)]
    force: bool,

    /// Backup file name
    #[arg(short, long, value_name = "FILE")]
    source: Option<PathBuf>,

    /// Resource Controller configuration file name
    #[arg(short, long = "resourceController", value_name = "FILE")]
    resource_controller: Option<PathBuf>,

    /// Target PostgreSQL server configuration file name
    #[arg(short, long, value_name = "FILE")]
    target: Option<PathBuf>,

    /// Service instance-mapping configuration file name (optional)
    #[arg(short, long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// Test the connection for Resource Controller, then exit
    #[arg(long = "testRCConnection")]
    test_resource_controller: bool,

    /// Test the connection for PostgreSQL server, then exit
    #[arg(long = "testPGConnection")]
    test_postgres: bool,

    /// The target belongs to watsonx Orchestrate
    #[arg(long)]
    wxo: bool,

    /// Get build version
    #[arg(short, long)]
    version: bool,

    /// Of the stand-in alone: go wrong on purpose
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

/// Does what the command line asks for.
pub(crate) fn run() -> anyhow::Result<()> {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) if !help.use_stderr() => return Ok(help.print()?),
        Err(wrong) => anyhow::bail!("{wrong}"),
    };
    if arguments.version {
        let version = env!("CARGO_PKG_VERSION");
        return Ok(say(&format!("pgmig stand-in, build {version}"))?);
    }
    if arguments.test_postgres {
        arguments.database()?.query("SELECT 1")?;
        return Ok(say("The connection to PostgreSQL works")?);
    }
    if arguments.test_resource_controller {
        let found = arguments.resource_controller()?.instances()?.len();
        return Ok(say(&format!(
            "The connection to the Resource Controller works: {found} instances"
        ))?);
    }
    let source = arguments.source.clone();
    Migration {
        source: source.context("--source is needed: the backup to restore")?,
        database: arguments.database()?,
        resource_controller: arguments.resource_controller()?,
        mapping: arguments
            .mapping
            .as_deref()
            .map(mapping::read)
            .transpose()?,
        force: arguments.force,
        faults: Faults::gather(arguments.faults)?,
    }
    .run()
}

impl Arguments {
    fn database(&self) -> anyhow::Result<Database> {
        let file = self.target.as_deref();
        let file = PostgresFile::read(file.context("--target is needed: postgres.yaml")?)?;
        file.check_enable_icp(std::env::var("ENABLE_ICP").is_ok_and(|value| value == "true"))?;
        Ok(Database::new(file, authority()?))
    }

    fn resource_controller(&self) -> anyhow::Result<ResourceController> {
        let file = self.resource_controller.as_deref();
        let file = file.context("--resourceController is needed: resourceController.yaml")?;
        let file = ResourceControllerFile::read(file)?;
        file.check_wxo(self.wxo)?;
        Ok(ResourceController::new(file))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_documented_arguments_are_understood_in_both_spellings() {
        Arguments::command().debug_assert();
        for line in [
            "pgmig -f -s d -r r -t t -m m",
            "pgmig --force --source d --resourceController r --target t --mapping m --wxo",
            "pgmig -v",
            "pgmig --testRCConnection",
            "pgmig --testPGConnection",
        ] {
            let parsed = Arguments::command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}");
        }
    }
}
