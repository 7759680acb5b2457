//! Why a file in a pod could not be looked at.

use crate::{download::DownloadError, exec::StreamError, text::or_its_substitute};

/// Why a question about files in a pod was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path cannot be handed to the pod.
    #[error(
        "{path:?} is not an absolute path of a file; give one that begins with / and holds no NUL"
    )]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// There is no such file or directory.
    #[error("{path:?} does not exist in the pod")]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// A list was asked of something else.
    #[error("{path:?} is not a directory")]
    NotADirectory {
        /// The path asked for.
        path: String,
    },
    /// The container lacks a program.
    #[error("the container has no {}; use a container that has it", or_its_substitute(.tool))]
    MissingTool {
        /// The program.
        tool: String,
    },
    /// The pod was not reached, or could not look at the file.
    #[error("the pod cannot look at {path:?}")]
    Failed {
        /// The path asked for.
        path: String,
        /// What went wrong.
        #[source]
        cause: DownloadError,
    },
    /// The pod's program answered in an unknown form.
    #[error(
        "the pod's answer about {path:?} cannot be read: {answer:?}; its {tool} is of an unknown kind"
    )]
    Unreadable {
        /// The path asked for.
        path: String,
        /// The program.
        tool: &'static str,
        /// The beginning of what it printed.
        answer: String,
    },
}

impl FileError {
    /// Whether the same question may be answered later, without anything being changed first.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { cause, .. } if cause.is_transient())
    }

    /// Reads what the program `tool` said when it failed. `LC_ALL=C` makes the C library's words reliable.
    pub(super) fn from_program(path: &str, tool: &'static str, cause: DownloadError) -> Self {
        let path = path.to_owned();
        match cause {
            DownloadError::Command { code: 127, .. } => Self::MissingTool {
                tool: tool.to_owned(),
            },
            DownloadError::Stream(StreamError::MissingTool { tool }) => Self::MissingTool { tool },
            DownloadError::Command { ref stderr, .. }
                if stderr.ends_with("No such file or directory") =>
            {
                Self::NotFound { path }
            }
            DownloadError::Command { ref stderr, .. } if stderr.ends_with("Not a directory") => {
                Self::NotADirectory { path }
            }
            cause => Self::Failed { path, cause },
        }
    }
}
