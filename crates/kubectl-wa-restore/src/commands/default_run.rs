//! `kubectl wa-restore BACKUP`: the arguments of `run` where no command is named.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use super::run;

/// What of `run` stands where a command's name would.
#[derive(Debug)]
pub(super) enum DefaultRun {
    /// Nothing.
    Absent,
    /// Options without a backup, or before a command's name.
    Incomplete,
    /// A backup, with its options.
    Given(Box<run::Args>),
}

impl FromArgMatches for DefaultRun {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let command = run::Args::augment_args(Command::new("run"));
        let mut ids = command.get_arguments().map(Arg::get_id);
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if !ids.any(|id| is_given(id.as_str())) {
            return Ok(Self::Absent);
        }
        if matches.subcommand_name().is_some() || !is_given(run::BACKUP) {
            return Ok(Self::Incomplete);
        }
        let args = run::Args::from_arg_matches(matches)?;
        Ok(Self::Given(Box::new(args)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for DefaultRun {
    fn augment_args(command: Command) -> Command {
        run::Args::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        run::Args::augment_args_for_update(command)
    }
}
