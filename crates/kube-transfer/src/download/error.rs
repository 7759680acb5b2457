//! Why a download did not deliver.

use std::{io, time::Duration};

use crate::{
    Sha256Digest,
    exec::{Failure, Lost, OpenError},
    text::{after_colon, or_its_substitute},
};

/// Why a download did not deliver. Whatever the sink was given so far is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The command was not started.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The stream broke.
    #[error("the connection to the pod was lost after {received} bytes; try again")]
    Lost {
        /// Bytes of the command's output that had arrived.
        received: u64,
        /// What happened to the stream.
        #[source]
        why: Lost,
    },
    /// The kubelet could not run the shell in the container.
    #[error("the pod could not start a shell")]
    NotRun(#[source] Failure),
    /// The kubelet, or something between, gave up on a command that was running.
    #[error("the pod broke off after {received} bytes; try again")]
    BrokenOff {
        /// Bytes of the command's output that had arrived.
        received: u64,
        /// What it said.
        #[source]
        failure: Failure,
    },
    /// The command itself failed.
    #[error("the command in the pod failed with exit code {code}{}", after_colon(.stderr))]
    Command {
        /// Its exit code; 128 + n when signal n killed it, 126 or 127 when it could not be executed.
        code: i32,
        /// The end of its standard error, control characters escaped.
        stderr: String,
    },
    /// The container lacks what it takes to account for the output.
    #[error(
        "the container has no {}, which is needed to verify the transfer; use a container that has it", or_its_substitute(.tool)
    )]
    MissingTool {
        /// The program looked for; for `sha256sum`, `openssl` would do as well.
        tool: String,
    },
    /// The pod took this side for gone, or was told to end itself, and has ended the command.
    #[error(
        "the pod ended the command after {received} bytes: it had heard nothing from here for 50 s, or was told to end; try again"
    )]
    Ended {
        /// Bytes of the command's output that had arrived.
        received: u64,
    },
    /// The shell in the pod ended without a usable report, killed perhaps.
    #[error("the pod did not account for the command's output ({detail}); try again")]
    Unaccounted {
        /// What is known about it.
        detail: String,
    },
    /// What arrived is not what the command put out, or not all of it.
    #[error(
        "the {received} bytes that arrived are not what the command put out: SHA-256 {reported} in the pod, {computed} here; try again"
    )]
    HashDiffers {
        /// Computed in the pod.
        reported: Sha256Digest,
        /// Computed here.
        computed: Sha256Digest,
        /// Bytes that had arrived.
        received: u64,
    },
    /// The connection lives, but nothing came.
    #[error("the command in the pod sent nothing for {} s, after {received} bytes", .after.as_secs())]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// Bytes that had arrived.
        received: u64,
    },
    /// The sink could not take the data.
    #[error("writing the received data failed")]
    Sink(#[source] io::Error),
}

impl DownloadError {
    /// Whether there is no such pod any more: another one may do.
    pub fn pod_is_gone(&self) -> bool {
        matches!(self, Self::Refused(error) if error.pod_is_gone())
    }

    /// Whether the same download, from its beginning, may succeed without anything being changed first.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_temporary(),
            Self::Lost { .. }
            | Self::BrokenOff { .. }
            | Self::Ended { .. }
            | Self::Unaccounted { .. }
            | Self::HashDiffers { .. }
            | Self::Stalled { .. } => true,
            Self::NotRun(_) | Self::Command { .. } | Self::MissingTool { .. } | Self::Sink(_) => {
                false
            }
        }
    }
}
