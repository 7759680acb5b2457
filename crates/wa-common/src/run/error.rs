//! Why a run cannot begin or go on, and what one leaves behind.

use std::fmt;

use thiserror::Error;

use super::Holder;
use crate::cluster::ClusterError;
use crate::report::{Exit, HasExit, Leftover, printable};

/// Why a run cannot begin, record a change, or be taken over.
#[derive(Debug, Error)]
pub enum RunError {
    /// The API server did not do what was asked.
    #[error("{what}")]
    Cluster {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: ClusterError,
    },
    /// The run is not this process's any more: no change may be added.
    #[error("the lease {run} of this run was lost: {loss}; run the command again")]
    Lost {
        /// The run.
        run: String,
        /// How.
        loss: Loss,
    },
    /// Every attempt to change the Lease met somebody else's change.
    #[error("the lease {run} of this run cannot be changed: something else keeps changing it")]
    Contended {
        /// The run.
        run: String,
    },
    /// The task that was to create the Lease broke down.
    #[error("the lease {run} was not created: {why}; this is a bug")]
    Broken {
        /// The run.
        run: String,
        /// What became of the task.
        why: String,
    },
    /// A run that was to be taken over is not dead.
    #[error("the run {run} still belongs to {holder}; wait until it has ended, or end it there")]
    Owned {
        /// The run.
        run: String,
        /// Whose it is.
        holder: String,
    },
    /// What a run recorded cannot be read.
    #[error(
        "what the run {run} changed cannot be read ({why}); clean up with the version of the plugin that began it"
    )]
    Unreadable {
        /// The run.
        run: String,
        /// Why not.
        why: String,
    },
}

/// How a run was lost.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Loss {
    /// Its Lease was deleted.
    #[error("it is gone")]
    Gone,
    /// Somebody took it for dead, and undoes its changes.
    #[error("{} has taken it over, and undoes what was changed", printable(holder))]
    TakenOver {
        /// Who.
        holder: String,
    },
}

impl RunError {
    pub(super) fn owned(run: String, holder: Option<&Holder>) -> Self {
        let holder = holder.map_or_else(
            || "another command that has just taken it over".to_owned(),
            |holder| printable(&holder.to_string()).into_owned(),
        );
        Self::Owned { run, holder }
    }

    pub(super) fn cluster(what: impl Into<String>) -> impl FnOnce(ClusterError) -> Self {
        let what = what.into();
        move |source| Self::Cluster { what, source }
    }
}

/// Everything a command changed and could not undo, or keeps to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct LeftBehind {
    /// The namespace it is in.
    pub namespace: String,
    /// What is left, in the order in which it must be undone; never empty.
    pub leftovers: Vec<Leftover>,
    /// What to do about it, a sentence with the command to type.
    pub advice: String,
}

impl LeftBehind {
    /// What the command `clean_up` tries again to undo.
    pub fn to_clean_up(clean_up: &str, namespace: &str, leftovers: Vec<Leftover>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            leftovers,
            advice: format!(
                "try again with `{clean_up} -n {namespace}`, or run the commands above"
            ),
        }
    }

    /// What an error says is left, of all of its causes.
    pub(crate) fn leftovers_in(error: &anyhow::Error) -> Vec<Leftover> {
        let causes = error.chain();
        let left = causes.filter_map(|cause| cause.downcast_ref::<Self>());
        left.flat_map(|left| left.leftovers.clone()).collect()
    }
}

impl HasExit for LeftBehind {
    fn exit(&self) -> Option<Exit> {
        Some(Exit::Degraded)
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left behind in namespace {}:", self.namespace)?;
        for leftover in &self.leftovers {
            let (what, why) = (printable(&leftover.what), printable(&leftover.why));
            write!(f, "\n  {what}: {why}")?;
            for line in leftover.by_hand.lines() {
                write!(f, "\n    {}", printable(line))?;
            }
        }
        write!(f, "\n{}", printable(&self.advice))
    }
}
