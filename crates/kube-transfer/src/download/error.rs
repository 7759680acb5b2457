//! Why a download did not deliver.

use std::io;

use crate::{Sha256Digest, exec::StreamError, text::after_colon};

/// Why a download did not deliver. Whatever the sink was given so far is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The stream was not opened, or ended before the pod had accounted for the output.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The command itself failed.
    #[error("the command in the pod failed with exit code {code}{}", after_colon(.stderr))]
    Command {
        /// Its exit code; 128 + n when signal n killed it, 126 or 127 when it could not be executed.
        code: i32,
        /// The end of its standard error, control characters escaped.
        stderr: String,
    },
    /// The report of the shell in the pod cannot be used, or does not account for what it sent.
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
    /// The sink could not take the data.
    #[error("writing the received data failed")]
    Sink(#[source] io::Error),
}

impl DownloadError {
    /// Whether there is no such pod any more: another one may do.
    pub fn pod_is_gone(&self) -> bool {
        matches!(self, Self::Stream(error) if error.pod_is_gone())
    }

    /// Whether the same download, from its beginning, may succeed without anything being changed first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_transient(),
            Self::Unaccounted { .. } | Self::HashDiffers { .. } => true,
            Self::Command { .. } | Self::Sink(_) => false,
        }
    }
}
