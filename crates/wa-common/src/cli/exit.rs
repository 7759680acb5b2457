//! Which exit code an error asks for, and what its plugin advises.

use std::error::Error;

use crate::preflight::Problems;
use crate::report::{Exit, HasExit, error_text};
use crate::run::LeftBehind;
use crate::run::journal::JournalError;
use backup_set::{BackupError, NotJudged, VerificationFailed};

/// Asks one kind of error for its exit: `asks::<MyError>`.
pub type AsksExit = fn(&(dyn Error + 'static)) -> Option<Exit>;

/// Every kind of all plugins that has an exit of its own. `BackupError` speaks for what it holds, which therefore is not
/// in the chain.
const KINDS: [AsksExit; 5] = [
    asks::<VerificationFailed>,
    asks::<NotJudged>,
    asks::<BackupError>,
    asks::<LeftBehind>,
    asks::<JournalError>,
];

/// What counts first where the errors of one chain ask for several.
const FIRST: [Exit; 4] = [
    Exit::VerificationFailed,
    Exit::Degraded,
    Exit::NotJudged,
    Exit::Refused,
];

/// What a plugin knows of errors: libraries say what happened, and a plugin what it means for its user.
#[derive(Debug, Clone, Copy)]
pub struct PluginErrors {
    /// The plugin's own kinds of errors with an exit: `&[asks::<MyError>]`.
    pub exits: &'static [AsksExit],
    /// What to do about an error, in terms of the plugin's options; it goes on after the error's own text and "; ".
    pub advice: fn(&anyhow::Error) -> Option<String>,
}

impl Default for PluginErrors {
    fn default() -> Self {
        Self {
            exits: &[],
            advice: |_| None,
        }
    }
}

impl PluginErrors {
    /// The exit that `error`, or one of its causes, asks for; else [`Exit::Error`].
    pub(super) fn exit(self, error: &anyhow::Error) -> Exit {
        let kinds = || KINDS.iter().chain(self.exits);
        let causes = causes(error);
        let asked = || {
            let causes = causes.iter();
            causes.flat_map(|cause| kinds().filter_map(move |asks| asks(*cause)))
        };
        let first = FIRST.iter().find(|exit| asked().any(|one| one == **exit));
        first.copied().or(asked().next()).unwrap_or(Exit::Error)
    }

    /// The error with its causes, and what to do about it; of several problems, what to do about each.
    pub(super) fn text(self, error: &anyhow::Error) -> String {
        let mut text = error_text(error);
        if let Some(problems) = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Problems>())
        {
            let advised = problems.in_words(|problem| self.text(problem));
            text = text.replace(&problems.to_string(), &advised);
        }
        match (self.advice)(error) {
            Some(advice) => format!("{text}; {advice}"),
            None => text,
        }
    }
}

/// An error's causes, and those of the problems that it joins.
fn causes(error: &anyhow::Error) -> Vec<&(dyn Error + 'static)> {
    let mut causes = Vec::new();
    for cause in error.chain() {
        causes.push(cause);
        if let Some(problems) = cause.downcast_ref::<Problems>() {
            causes.extend(problems.iter().flat_map(anyhow::Error::chain));
        }
    }
    causes
}

/// The exit of `cause`, where it is an error of this kind.
pub fn asks<E: HasExit + 'static>(cause: &(dyn Error + 'static)) -> Option<Exit> {
    cause.downcast_ref::<E>()?.exit()
}

impl HasExit for VerificationFailed {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::VerificationFailed)
    }
}

impl HasExit for NotJudged {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::NotJudged)
    }
}

impl HasExit for BackupError {
    fn exit(&self) -> Option<Exit> {
        match self {
            Self::Failed(_) => Some(Exit::VerificationFailed),
            Self::NotJudged(_) => Some(Exit::NotJudged),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the rollout still runs")]
    struct StillRuns;

    impl HasExit for StillRuns {
        fn exit(&self) -> Option<Exit> {
            Some(Exit::TimedOut)
        }
    }

    #[test]
    fn a_plugins_own_errors_have_their_exit_and_its_advice_also_as_a_cause() {
        let errors = PluginErrors {
            exits: &[asks::<StillRuns>],
            advice: |error| {
                error
                    .chain()
                    .any(<dyn Error>::is::<StillRuns>)
                    .then(|| "wait with `resume`".to_owned())
            },
        };
        let error = anyhow::Error::new(StillRuns).context("cannot restart");
        assert_eq!(errors.exit(&error), Exit::TimedOut);
        let expected = "cannot restart: the rollout still runs; wait with `resume`";
        assert_eq!(errors.text(&error), expected);
        let other = anyhow::anyhow!("no");
        assert_eq!(
            (errors.exit(&other), errors.text(&other)),
            (Exit::Error, "no".to_owned())
        );
    }

    #[test]
    fn of_problems_told_together_each_keeps_its_advice_and_its_exit() {
        let errors = PluginErrors {
            exits: &[asks::<StillRuns>],
            advice: |error| {
                let is_own = error.chain().any(<dyn Error>::is::<StillRuns>);
                is_own.then(|| "wait with `resume`".to_owned())
            },
        };
        let problems = vec![
            anyhow::Error::new(StillRuns).context("cannot restart"),
            anyhow::anyhow!("no space"),
            anyhow::Error::new(StillRuns),
        ];
        let error = anyhow::Error::new(Problems::from(problems)).context("cannot begin");
        assert_eq!(
            errors.text(&error),
            "cannot begin: 3 problems stand in the way; nothing was changed:\n  \
             cannot restart: the rollout still runs; wait with `resume`\n  \
             no space\n  \
             the rollout still runs; wait with `resume`"
        );
        assert_eq!(errors.exit(&error), Exit::TimedOut);
    }
}
