//! Why a stream to a pod ended before its work was done.

use std::time::Duration;

use super::{End, Failure, Lost, OpenError};
use crate::text::{after_colon, or_its_substitute};

/// Why a stream to a pod was not opened, or ended before its work was done: the same for every operation, whose own
/// error holds it and adds what only that operation knows.
///
/// `bytes` is how much of the operation's data had passed until then, in its direction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The command was not started.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The kubelet could not run the shell in the container.
    #[error("the pod could not start a shell")]
    NotRun(#[source] Failure),
    /// The container lacks a program that the work takes.
    #[error("the container has no {}; use a container that has it", or_its_substitute(.tool))]
    MissingTool {
        /// The program looked for; for `sha256sum`, `openssl` would do as well.
        tool: String,
    },
    /// The connection broke.
    #[error("the connection to the pod was lost after {bytes} bytes; try again")]
    Lost {
        /// How much had passed.
        bytes: u64,
        /// What happened to the stream.
        #[source]
        why: Lost,
    },
    /// The kubelet, or something between, gave up on a command that was running.
    #[error("the pod broke off after {bytes} bytes; try again")]
    BrokenOff {
        /// How much had passed.
        bytes: u64,
        /// What it said.
        #[source]
        failure: Failure,
    },
    /// The pod took this side for gone, or was told to end itself, and has ended the command.
    #[error(
        "the pod ended the command after {bytes} bytes: it had heard nothing from here for 50 s, or was told to end; try again"
    )]
    Ended {
        /// How much had passed.
        bytes: u64,
    },
    /// The shell in the pod exited before it had reported, killed perhaps.
    #[error("the shell in the pod exited with code {code} before its work was done{}", after_colon(.stderr))]
    Exited {
        /// Its exit code.
        code: i32,
        /// The end of its standard error, control characters escaped.
        stderr: String,
    },
    /// The connection lives, but nothing passed.
    #[error("nothing passed between here and the pod for {} s, after {bytes} bytes", .after.as_secs())]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// How much had passed.
        bytes: u64,
    },
}

impl StreamError {
    /// The error for an end that came after `bytes` bytes, before the work was done.
    pub(crate) fn from_end(end: End, bytes: u64, stderr: impl FnOnce() -> String) -> Self {
        match end {
            End::Lost(why) => Self::Lost { bytes, why },
            End::Failed(failure) if bytes == 0 => Self::NotRun(failure),
            End::Failed(failure) => Self::BrokenOff { bytes, failure },
            End::Exited { code } => Self::Exited {
                code,
                stderr: stderr(),
            },
        }
    }

    /// Whether there is no such pod any more: another one may do.
    pub fn pod_is_gone(&self) -> bool {
        matches!(self, Self::Refused(error) if error.pod_is_gone())
    }

    /// Whether the same work may succeed later, without anything being changed first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_transient(),
            // One that is started again runs soon.
            Self::NotRun(failure) => failure.container_is_not_running(),
            Self::MissingTool { .. } => false,
            Self::Lost { .. }
            | Self::BrokenOff { .. }
            | Self::Ended { .. }
            | Self::Exited { .. }
            | Self::Stalled { .. } => true,
        }
    }

    /// Whether the work may have been begun.
    pub(crate) fn was_begun(&self) -> bool {
        !matches!(
            self,
            Self::Refused(_) | Self::NotRun(_) | Self::MissingTool { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

    use super::*;

    #[test]
    fn a_container_that_is_started_again_is_waited_for_and_one_without_a_shell_is_not() {
        let failed = |message: &str| {
            let status = Box::new(Status {
                message: Some(message.to_owned()),
                ..Status::default()
            });
            StreamError::from_end(End::Failed(Failure { status }), 0, String::new)
        };
        let restarting = failed(
            "Internal error occurred: unable to upgrade connection: container not found (\"postgres\")",
        );
        assert!(restarting.is_transient());
        let no_shell = failed(
            "Internal error occurred: error executing command in container: exec: \"sh\": executable file not found in $PATH",
        );
        assert!(!no_shell.is_transient());
    }
}
