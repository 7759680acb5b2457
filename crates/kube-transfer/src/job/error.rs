//! Why a job could not be started, looked at or ended.

use crate::{
    download::DownloadError,
    text::{after_colon, or_its_substitute},
};

/// Why something about a job was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The path cannot be that of a job's directory.
    #[error(
        "{path:?} is not an absolute path of a directory for a job; give one that begins with /, does not end with it, and holds no NUL"
    )]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// The command has lines for its standard input, which in a job is empty. Nothing was started.
    #[error("a job has no standard input; give what it needs as variables, or in a file")]
    HasInput,
    /// The text cannot be the id of a container.
    #[error("{id:?} is not the id of a container; take it from the status of the pod")]
    InvalidContainerId {
        /// The text.
        id: String,
    },
    /// The directory is there already, with a job or something else in it. Nothing was started.
    #[error("{directory:?} exists in the pod; look for a job in it, or choose another directory")]
    Exists {
        /// The job's directory.
        directory: String,
    },
    /// The connection broke while the job was started: it runs, or it does not.
    #[error(
        "it is not known whether the job in {directory:?} was started; look at its state before starting it again"
    )]
    Unsettled {
        /// The job's directory.
        directory: String,
        /// What happened.
        #[source]
        cause: DownloadError,
    },
    /// There is no such directory any more.
    #[error("there is no job in {directory:?} any more: the directory was removed")]
    Removed {
        /// The job's directory.
        directory: String,
    },
    /// The directory now holds another job.
    #[error("{directory:?} holds another job than before; look at its state again")]
    Replaced {
        /// The job's directory.
        directory: String,
    },
    /// The directory has no record of a job: somebody else's, or the start was killed at its very beginning.
    #[error("{directory:?} holds no job; if nothing else is in it, remove it by hand")]
    NoRecord {
        /// The job's directory.
        directory: String,
    },
    /// The record of the job cannot be read.
    #[error(
        "the state of the job in {directory:?} cannot be read: {answer:?}; somebody changed it"
    )]
    Unreadable {
        /// The job's directory.
        directory: String,
        /// The beginning of what is there, control characters escaped.
        answer: String,
    },
    /// The job runs, although it had ended.
    #[error("the job in {directory:?} still runs; stop it first")]
    StillRuns {
        /// The job's directory.
        directory: String,
    },
    /// The program has not ended although it was killed: it is stuck in the kernel, perhaps on a dead volume.
    #[error(
        "the job in {directory:?} did not end although it was killed; look at the pod's volumes"
    )]
    WillNotEnd {
        /// The job's directory.
        directory: String,
    },
    /// The log is shorter than what was read of it already.
    #[error(
        "the log of the job in {directory:?} has {bytes} bytes, fewer than the {offset} that were read; somebody changed it"
    )]
    LogShrank {
        /// The job's directory.
        directory: String,
        /// How much was read.
        offset: u64,
        /// Its length now.
        bytes: u64,
    },
    /// The container lacks a program.
    #[error("the container has no {}, which jobs need; use a container that has it", or_its_substitute(.tool))]
    MissingTool {
        /// The program.
        tool: String,
    },
    /// The pod could not do its part, such as write to a full file system.
    #[error("the pod failed to {action} for the job in {directory:?}{}", after_colon(.said))]
    Failed {
        /// The job's directory.
        directory: String,
        /// What it tried.
        action: String,
        /// The end of what its programs said.
        said: String,
    },
    /// The pod was not reached, or gave no answer.
    #[error("the pod does not answer about the job in {directory:?}")]
    NoAnswer {
        /// The job's directory.
        directory: String,
        /// What went wrong.
        #[source]
        cause: DownloadError,
    },
}

impl JobError {
    /// Whether the same call may succeed later, without anything being changed first. Of a start whose outcome is not
    /// known it is false: [`status`](super::JobDirectory::status) tells.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer { cause, .. } if cause.is_transient())
    }

    /// Whether it is that of a [start](super::JobDirectory::start) of which [`status`](super::JobDirectory::status) tells
    /// what it came to: somebody has started the job before, or the answer was lost.
    pub fn may_have_started(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::Unsettled { .. })
    }

    /// Whether there is no such pod any more, and so no job.
    pub fn pod_is_gone(&self) -> bool {
        matches!(self, Self::NoAnswer { cause, .. } if cause.pod_is_gone())
    }
}
