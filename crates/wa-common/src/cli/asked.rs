//! A command line that is being completed, as far as the values that may follow depend on it.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::{ArgMatches, Command, FromArgMatches as _};

use super::ConnectionArgs;
use crate::cluster::{Cluster, ClusterError, ConnectionOptions};
use crate::report::{Event, Reporter};

/// What a value is asked for with: what is typed of it, and the words in front of it.
#[derive(Debug, Clone)]
pub struct Asked {
    current: String,
    words: Arc<Words>,
}

/// The words in front of the one that is completed.
#[derive(Debug)]
pub(super) struct Words {
    typed: Vec<OsString>,
    /// The one that is completed, as it stands there: `--to=/mnt`.
    pub(super) last: String,
    /// What they say, as far as they can be understood.
    matches: ArgMatches,
    program: String,
}

impl Words {
    /// `words` begins with the program; the last one is completed.
    pub(super) fn new(command: &Command, program: String, mut words: Vec<OsString>) -> Self {
        let last = words.pop().unwrap_or_default();
        let command = command.clone().ignore_errors(true);
        Self {
            // A call for help fails in spite of that, and its command line is not completed with anything.
            matches: command.try_get_matches_from(&words).unwrap_or_default(),
            last: last.to_string_lossy().into_owned(),
            program,
            typed: words,
        }
    }

    /// Whether this word was typed before.
    pub(super) fn has(&self, word: &str) -> bool {
        self.typed.iter().any(|typed| typed == OsStr::new(word))
    }
}

impl Asked {
    pub(super) fn new(current: String, words: &Arc<Words>) -> Self {
        Self {
            current,
            words: Arc::clone(words),
        }
    }

    /// What is typed of the value so far.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// What was given to the argument with this name in the code, by the command or for all commands.
    pub fn given(&self, argument: &str) -> Option<&str> {
        let mut matches = Some(&self.words.matches);
        while let Some(these) = matches {
            if let Ok(Some(mut values)) = these.try_get_raw(argument)
                && let Some(value) = values.next()
            {
                return value.to_str().filter(|value| !value.is_empty());
            }
            matches = these.subcommand().map(|(_, matches)| matches);
        }
        None
    }

    /// The instance that was named.
    pub fn instance(&self) -> Option<&str> {
        self.given("instance")
    }

    /// How the cluster is reached that the command would work with.
    pub(super) fn connection(&self) -> ConnectionOptions {
        let connection = ConnectionArgs::from_arg_matches(&self.words.matches);
        connection.unwrap_or_default().into()
    }

    /// The cluster that the command would work with.
    pub fn connect(&self) -> Result<Cluster, ClusterError> {
        let program = &self.words.program;
        Cluster::connect(&self.connection(), program, Arc::new(Silent))
    }
}

/// Tells nobody.
struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event) {}
}
