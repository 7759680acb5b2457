//! Why a file was not fetched.

use std::{io, time::Duration};

use super::PartialError;
use crate::{
    Sha256Digest,
    exec::{Failure, Lost, OpenError},
    file::{FileError, FileVersion},
    text::{after_colon, or_its_substitute},
};

/// Why a fetch did not deliver. What is good of the data stays in the [`Partial`](super::Partial)'s files.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A question about the source was not answered; [`FileError::NotFound`] when it is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The source is a directory, a symbolic link, a device.
    #[error("{path:?} is not a regular file; only regular files are fetched")]
    NotAFile {
        /// The source.
        path: String,
    },
    /// The source is no longer the file that was asked for.
    #[error("{path:?} changed while it was read ({}); fetch it again when nobody writes to it", differences(.expected, .found))]
    SourceChanged {
        /// The source.
        path: String,
        /// What was asked for.
        expected: FileVersion,
        /// What it is now.
        found: FileVersion,
    },
    /// Every stream failed more often than the options allow.
    #[error("{path:?} could not be read from the pod")]
    Streams {
        /// The source.
        path: String,
        /// Why the last one failed.
        #[source]
        last: StreamError,
    },
    /// What is here is not what the pod has, though the source looks unchanged: changed on its way, or rewritten in
    /// the pod meanwhile. Ranges that differ are no longer held: resume, and only they are fetched again.
    #[error(
        "{path:?} arrived changed: SHA-256 {reported} in the pod, {computed} here; {dropped_bytes} bytes differ; resume to fetch those again"
    )]
    HashDiffers {
        /// The source.
        path: String,
        /// Computed in the pod.
        reported: Sha256Digest,
        /// Computed here.
        computed: Sha256Digest,
        /// How much was dropped of what was held.
        dropped_bytes: u64,
    },
    /// The partial file cannot be used.
    #[error(transparent)]
    Partial(#[from] PartialError),
    /// The received data could not be written, or not be read back.
    #[error("storing the received data failed")]
    Store(#[source] io::Error),
    /// The sink could not take the data.
    #[error("writing the received data failed")]
    Sink(#[source] io::Error),
}

impl FetchError {
    /// Whether the same fetch, resumed, may succeed without anything being changed first.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::File(error) => error.is_temporary(),
            Self::Streams { last, .. } => last.is_temporary(),
            Self::HashDiffers { .. } => true,
            Self::NotAFile { .. }
            | Self::SourceChanged { .. }
            | Self::Partial(_)
            | Self::Store(_)
            | Self::Sink(_) => false,
        }
    }

    /// Whether a look at the source may tell more.
    pub(super) fn is_about_the_source(&self) -> bool {
        matches!(self, Self::Streams { last, .. } if last.is_about_the_source())
    }
}

/// Why one stream of a fetch ended early.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It was not opened.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The connection broke.
    #[error("the connection to the pod was lost")]
    Lost(#[source] Lost),
    /// The kubelet could not run the shell, or gave up on it.
    #[error("the pod broke off")]
    BrokenOff(#[source] Failure),
    /// The shell ended before it was told to.
    #[error("the shell in the pod exited with code {code}{}", after_colon(.stderr))]
    Exited {
        /// Its exit code.
        code: i32,
        /// The end of its standard error.
        stderr: String,
    },
    /// The connection lives, but nothing came.
    #[error("the pod sent nothing for {} s", .after.as_secs())]
    Stalled {
        /// How long was waited.
        after: Duration,
    },
    /// The container lacks a program.
    #[error("the container has no {}; use a container that has it", or_its_substitute(.tool))]
    MissingTool {
        /// The program.
        tool: &'static str,
    },
    /// A part of the file could not be read.
    #[error("reading the file failed with exit code {code}{}", after_colon(.stderr))]
    Read {
        /// The exit code of `dd`.
        code: u8,
        /// What it said.
        stderr: String,
    },
    /// The file is shorter than it was, or bytes were lost on the way.
    #[error("less arrived than was asked for")]
    Short,
}

impl StreamError {
    /// Whether the next attempt may fare better.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_temporary(),
            Self::MissingTool { .. } => false,
            Self::Lost(_)
            | Self::BrokenOff(_)
            | Self::Exited { .. }
            | Self::Stalled { .. }
            | Self::Read { .. }
            | Self::Short => true,
        }
    }

    /// Whether this is about the file and not about the way to it.
    pub(super) fn is_about_the_source(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::Short)
    }
}

fn differences(expected: &FileVersion, found: &FileVersion) -> String {
    if expected.bytes != found.bytes {
        format!("from {} to {} bytes", expected.bytes, found.bytes)
    } else if expected.inode != found.inode {
        "another file took its place".to_owned()
    } else {
        "it was written to".to_owned()
    }
}
