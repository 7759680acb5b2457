//! Why a file was not fetched.

use std::io;

use super::PartialError;
use crate::{
    Sha256Digest,
    exec::StreamError,
    file::{FileError, FileVersion},
    text::after_colon,
};

/// Why a fetch did not deliver. What is good of the data stays in the [`Partial`](super::Partial)'s files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
        last: RangeError,
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
    pub fn is_transient(&self) -> bool {
        match self {
            Self::File(error) => error.is_transient(),
            Self::Streams { last, .. } => last.is_transient(),
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
#[non_exhaustive]
pub enum RangeError {
    /// It was not opened, or broke.
    #[error(transparent)]
    Stream(#[from] StreamError),
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

impl RangeError {
    /// Whether the next attempt may fare better.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_transient(),
            Self::Read { .. } | Self::Short => true,
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
