//! Why something was not done in the server.

use kube_transfer::{DownloadError, InvalidSecret, InvalidVariable};
use thiserror::Error;
use wa_common::assistant::AssistantError;
use wa_common::report::printable;

/// psql's exit code when there is no server, or it does not let anyone in yet.
const NOT_CONNECTED: i32 = 2;
/// What the server says of a database that somebody has connected to meanwhile.
const IN_USE: &str = "is being accessed by other users";
/// What it says where that does not end by itself, nor by ending sessions.
const PREPARED: &str = "prepared transaction";
/// What it says of a user whom it will not let in later either.
const NOT_LET_IN: [&str; 4] = [
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "not permitted to log in",
];

/// Whether what psql has said may be otherwise in a moment.
fn passes(code: i32, stderr: &str) -> bool {
    if code == NOT_CONNECTED {
        return !NOT_LET_IN.iter().any(|said| stderr.contains(said));
    }
    stderr.contains(IN_USE) && !stderr.contains(PREPARED)
}

/// Why something was not done in the server, or is not known.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No pod can be asked.
    #[error(transparent)]
    Pod(#[from] AssistantError),
    /// No Ready pod is the primary: it is being restarted, or another one is about to take its place.
    #[error(
        "no Ready PostgreSQL pod of instance {instance:?} is the primary: wait until there is one"
    )]
    NoPrimary {
        /// The instance.
        instance: String,
    },
    /// psql, or the way to it, failed.
    #[error("psql in pod {pod} failed while it was to {action}")]
    Psql {
        /// The pod.
        pod: String,
        /// What was to be done.
        action: String,
        /// Why not.
        #[source]
        source: Box<DownloadError>,
    },
    /// What psql printed is not what was asked for.
    #[error("cannot read what psql in pod {pod} tells of the databases")]
    Unreadable {
        /// The pod.
        pod: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Something in the statements cannot be sent.
    #[error("cannot send statements to psql")]
    Statement(#[from] InvalidSecret),
    /// Nor can a variable.
    #[error("cannot send variables to psql")]
    Variable(#[from] InvalidVariable),
    /// The state of a database is such that it is left alone.
    #[error("{0}")]
    Refused(String),
}

impl ServerError {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(printable(&why.into()).into_owned())
    }

    /// Whether the server has answered, and does not do it for what it says.
    pub fn is_by_server(&self) -> bool {
        let Self::Psql { source, .. } = self else {
            return false;
        };
        matches!(&**source, DownloadError::Command { code, .. } if *code != NOT_CONNECTED)
    }

    /// Whether the same, begun again, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoPrimary { .. } | Self::Pod(AssistantError::NoPostgresPod { .. }) => true,
            Self::Pod(AssistantError::Cluster(error)) => error.is_transient(),
            Self::Psql { source, .. } => match &**source {
                DownloadError::Command { code, stderr } => passes(*code, stderr),
                error => error.is_transient() || error.pod_is_gone(),
            },
            Self::Pod(_)
            | Self::Unreadable { .. }
            | Self::Statement(_)
            | Self::Variable(_)
            | Self::Refused(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_starts_is_waited_for_and_one_that_refuses_for_good_is_not() {
        for (code, said) in [
            (
                2,
                "psql: error: connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: FATAL:  the database system is starting up",
            ),
            (
                2,
                "psql: error: connection to server on socket \"/run/.s.PGSQL.5432\" failed: FATAL:  sorry, too many clients already",
            ),
            (
                3,
                "ERROR:  source database \"store\" is being accessed by other users\nDETAIL:  There is 1 other session using the database.",
            ),
        ] {
            assert!(passes(code, said), "{said}");
        }
        for (code, said) in [
            (
                2,
                "psql: error: FATAL:  Peer authentication failed for user \"postgres\"",
            ),
            (
                2,
                "psql: error: FATAL:  no pg_hba.conf entry for host \"[local]\", user \"postgres\", database \"postgres\"",
            ),
            (2, "psql: error: FATAL:  role \"postgres\" does not exist"),
            (
                3,
                "ERROR:  source database \"store\" is being accessed by other users\nDETAIL:  There is 1 prepared transaction using the database.",
            ),
            (3, "ERROR:  permission denied to create database"),
        ] {
            assert!(!passes(code, said), "{said}");
        }
    }
}
