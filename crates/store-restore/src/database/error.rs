//! Why something was not done in the server.

use kube_transfer::{DownloadError, InvalidSecret, InvalidVariable};
use thiserror::Error;
use wa_common::assistant::AssistantError;
use wa_common::report::printable;

/// psql's exit code when there is no server, or it does not let anyone in yet.
const NOT_CONNECTED: i32 = 2;
/// What the server says of a database that somebody has connected to meanwhile.
const IN_USE: &str = "is being accessed by other users";

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

    /// Whether the same, begun again, may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoPrimary { .. } | Self::Pod(AssistantError::NoPostgresPod { .. }) => true,
            Self::Pod(AssistantError::Cluster(error)) => error.is_transient(),
            Self::Psql { source, .. } => match &**source {
                DownloadError::Command { code, stderr } => {
                    *code == NOT_CONNECTED || stderr.contains(IN_USE)
                }
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
