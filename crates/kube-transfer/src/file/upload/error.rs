//! Why a file was not put in place.

use std::{io, time::Duration};

use crate::{
    Sha256Digest,
    exec::{Failure, Lost, OpenError},
    file::FileError,
    text::after_colon,
};

/// Why an upload did not put its file in place. Nothing half-written has the file's name; a temporary file is removed
/// by the pod, unless the pod itself is killed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// A question about the file system was not answered; [`FileError::NotFound`] when the directory does not exist.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file system lacks room. Nothing was sent.
    #[error("{path:?} needs {needed} bytes, and {available} are free; make room in the volume")]
    NoSpace {
        /// The destination.
        path: String,
        /// With a margin.
        needed: u64,
        /// Free in the file system.
        available: u64,
    },
    /// There is a file, or a directory, of that name.
    #[error("{path:?} exists in the pod; choose another name or replace it")]
    Exists {
        /// The destination.
        path: String,
    },
    /// The script was not started.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The connection broke before the file was in place.
    #[error("the connection to the pod was lost after {sent} bytes; try again")]
    Lost {
        /// Bytes handed to the connection.
        sent: u64,
        /// What happened to the stream.
        #[source]
        why: Lost,
    },
    /// The connection broke after the pod was told to put the file in place. It is there whole, or not at all.
    #[error(
        "the connection to the pod was lost while {path:?} was put in place; look whether it is there"
    )]
    Unconfirmed {
        /// The destination.
        path: String,
        /// What happened to the stream.
        #[source]
        why: Lost,
    },
    /// The kubelet could not run the shell, or gave up on it.
    #[error("the pod broke off")]
    BrokenOff(#[source] Failure),
    /// The shell ended before it had an answer.
    #[error("the shell in the pod exited with code {code}{}", after_colon(.said))]
    Exited {
        /// Its exit code.
        code: i32,
        /// The end of what its programs said.
        said: String,
    },
    /// The connection lives, but the pod neither takes data nor answers.
    #[error("the pod did nothing for {} s, after {sent} bytes", .after.as_secs())]
    Stalled {
        /// How long was waited.
        after: Duration,
        /// Bytes handed to the connection.
        sent: u64,
    },
    /// The pod could not write, such as to a full disk.
    #[error("the pod failed to {action} the file{}", after_colon(.said))]
    Failed {
        /// What it tried.
        action: String,
        /// The end of what its programs said.
        said: String,
    },
    /// What was written is not what was sent.
    #[error(
        "the data changed on its way: SHA-256 {computed} here, {reported} in the pod; try again"
    )]
    HashDiffers {
        /// Computed in the pod, of what it had written.
        reported: Sha256Digest,
        /// Computed here.
        computed: Sha256Digest,
    },
    /// The pod's answer has an unknown form.
    #[error("the pod's answer cannot be read: {answer:?}")]
    Unreadable {
        /// The answer.
        answer: String,
    },
    /// The source cannot be read.
    #[error("reading what is to be sent failed")]
    Source(#[source] io::Error),
    /// The source is shorter than was said.
    #[error("the source ended after {found} bytes; {expected} were announced")]
    SourceLength {
        /// What was announced.
        expected: u64,
        /// What there was.
        found: u64,
    },
}

impl UploadError {
    /// Whether the same upload, from its beginning, may succeed without anything being changed first.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::File(error) => error.is_temporary(),
            Self::Refused(error) => error.is_temporary(),
            Self::Lost { .. }
            | Self::Exited { .. }
            | Self::Stalled { .. }
            | Self::HashDiffers { .. } => true,
            Self::NoSpace { .. }
            | Self::Exists { .. }
            | Self::Unconfirmed { .. }
            | Self::BrokenOff(_)
            | Self::Failed { .. }
            | Self::Unreadable { .. }
            | Self::Source(_)
            | Self::SourceLength { .. } => false,
        }
    }
}
