//! Why a file was not put in place.

use std::io;

use crate::{Sha256Digest, exec::StreamError, file::FileError, text::after_colon};

/// Why an upload did not put its file in place. Nothing half-written has the file's name. What has arrived stays in
/// `<path>.partial/`, unless the pod could not write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// A question about the file system was not answered; [`FileError::NotFound`] when the directory does not exist.
    #[error(transparent)]
    File(#[from] FileError),
    /// The stream was not opened, or ended before the file was in place.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The connection broke after the pod was told to put the file in place. It is there whole, or not at all.
    #[error(
        "the connection to the pod was lost while {path:?} was put in place; upload it again to find out whether it is there"
    )]
    Unconfirmed {
        /// The destination.
        path: String,
        /// What happened to the stream.
        #[source]
        cause: StreamError,
    },
    /// The file system lacks room. Nothing was sent.
    #[error("{path:?} needs {needed} bytes, and {available} are free; make room in the volume")]
    NoSpace {
        /// The destination.
        path: String,
        /// For what is missing of it, with a margin.
        needed: u64,
        /// Free in the file system.
        available: u64,
    },
    /// There is a file, or a directory, of that name, and it is not this one.
    #[error("{path:?} exists in the pod; choose another name or replace it")]
    Exists {
        /// The destination.
        path: String,
    },
    /// Another upload to the same place is going on, or its connection is not yet known to be broken.
    #[error("another upload of {path:?} is going on in the pod; wait for its end")]
    Busy {
        /// The destination.
        path: String,
    },
    /// The place for what has arrived is not this user's directory.
    #[error(
        "\"{}.partial\" exists in the pod and is no directory of the container's user; remove it",
        .path.escape_debug()
    )]
    ForeignPartial {
        /// The destination.
        path: String,
    },
    /// The pod could not write, such as to a full disk. What had arrived is removed if a write failed.
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
    /// The source is no longer what it was when it was opened.
    #[error("what is to be sent was changed meanwhile; upload it again when nobody writes to it")]
    SourceChanged,
}

impl UploadError {
    /// Whether the same upload, continued, may succeed without anything being changed first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::File(error) => error.is_transient(),
            Self::Stream(error) | Self::Unconfirmed { cause: error, .. } => error.is_transient(),
            Self::HashDiffers { .. } | Self::Busy { .. } => true,
            Self::NoSpace { .. }
            | Self::Exists { .. }
            | Self::ForeignPartial { .. }
            | Self::Failed { .. }
            | Self::Unreadable { .. }
            | Self::Source(_)
            | Self::SourceChanged => false,
        }
    }
}
