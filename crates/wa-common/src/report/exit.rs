//! Exit codes: the one table of what a plugin's exit status means.

use std::error::Error;
use std::process::ExitCode;

/// What a plugin reports to the shell that ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done,
    /// An error, or wrong usage.
    Error,
    /// A backup was read and is not intact.
    VerificationFailed,
    /// Refused or declined; nothing was changed.
    Refused,
    /// The deadline passed; the work is still running in the cluster.
    TimedOut,
    /// The cluster was left degraded; `resume`, `rollback` or `cleanup` is needed.
    Degraded,
    /// A backup was read, and whether it is intact cannot be known.
    NotJudged,
    /// Interrupted by a signal, and cleaned up.
    Interrupted,
}

/// The table of exit codes, as `--help` shows it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    error, or wrong usage
  3    verification failed
  4    refused or declined
  5    timed out, still running
  6    left degraded: resume, rollback or cleanup needed
  7    cannot be judged
  130  interrupted and cleaned up";

impl Exit {
    /// The number the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::VerificationFailed => 3,
            Self::Refused => 4,
            Self::TimedOut => 5,
            Self::Degraded => 6,
            Self::NotJudged => 7,
            Self::Interrupted => 130,
        }
    }

    /// How bad it is, where several things were done and one exit code tells of all: worse ones are higher.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Done => 0,
            // Nothing is known to be wrong.
            Self::NotJudged => 1,
            other => 1 + other.code(),
        }
    }

    /// What it is called where a program reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "error",
            Self::VerificationFailed => "verificationFailed",
            Self::Refused => "refused",
            Self::TimedOut => "timedOut",
            Self::Degraded => "degraded",
            Self::NotJudged => "notJudged",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit of a command that did several things, none of which failed: refused only where all of them were, since
    /// that says that nothing was changed.
    pub fn of_several(exits: impl IntoIterator<Item = Self>) -> Self {
        let mut exits = exits.into_iter().peekable();
        let any = exits.peek().is_some();
        if any && exits.all(|exit| exit == Self::Refused) {
            Self::Refused
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that says how the command ends that it ends.
pub trait HasExit: Error {
    /// The exit it asks for; `None` where it is an error like any other.
    fn exit(&self) -> Option<Exit>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_things_only_all_refused_are_a_refusal() {
        use Exit::{Done, Refused};
        assert_eq!(Exit::of_several([]), Done);
        assert_eq!(Exit::of_several([Done, Refused]), Done);
        assert_eq!(Exit::of_several([Refused, Done]), Done);
        assert_eq!(Exit::of_several([Refused, Refused]), Refused);
    }

    #[test]
    fn the_help_table_names_every_exit_code_once() {
        let all = [
            Exit::Done,
            Exit::Error,
            Exit::VerificationFailed,
            Exit::Refused,
            Exit::TimedOut,
            Exit::Degraded,
            Exit::NotJudged,
            Exit::Interrupted,
        ];
        let listed: Vec<u8> = EXIT_CODES
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(listed, all.map(Exit::code));
    }
}
