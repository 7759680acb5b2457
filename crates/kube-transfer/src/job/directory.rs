//! Where a job is, or will be.

use super::{JobError, answer::Answer, script};
use crate::{
    download::DownloadError, exec::StreamError, pod::PodHandle, remote_command::RemoteCommand,
};

/// Longer than any runtime's.
const CONTAINER_ID_LIMIT: usize = 200;

/// The directory of a job in a container of a pod: all that it takes to find the job again.
#[derive(Debug, Clone)]
pub struct JobDirectory {
    pub(super) pod: PodHandle,
    pub(super) path: String,
    container_id: Option<String>,
}

/// What a script answered.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// What follows the first line.
    pub(super) rest: Vec<u8>,
    /// The end of what its programs said on standard error.
    pub(super) said: String,
}

impl PodHandle {
    /// The directory of a job, whose parent must be there when the job is started.
    pub fn job(&self, directory: impl Into<String>) -> Result<JobDirectory, JobError> {
        let path = directory.into();
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(JobError::InvalidPath { path });
        }
        Ok(JobDirectory {
            pod: self.clone(),
            path,
            container_id: None,
        })
    }
}

impl JobDirectory {
    /// Says which container this is, by the `containerID` in the status of the pod. A job that was started in another is
    /// [`Gone`](super::JobState::Gone).
    pub fn in_container(mut self, id: impl Into<String>) -> Result<Self, JobError> {
        let id = id.into();
        let is_word = id.bytes().all(|byte| byte.is_ascii_graphic());
        // "-" stands for none.
        if id.is_empty() || id == "-" || id.len() > CONTAINER_ID_LIMIT || !is_word {
            return Err(JobError::InvalidContainerId { id });
        }
        self.container_id = Some(id);
        Ok(self)
    }

    /// Where the directory is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Runs one of the scripts with arguments of its own.
    pub(super) async fn ask(
        &self,
        script: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Reply, JobError> {
        let command = RemoteCommand::sent_script(&script::with_common(script))
            .args(self.arguments())
            .args(arguments);
        self.run(&command)
            .await
            .map_err(|cause| self.no_answer(cause))
    }

    /// The error for an answer that tells of no job.
    pub(super) fn refusal(&self, answer: Answer, said: &str) -> JobError {
        let directory = self.path.clone();
        match answer {
            Answer::Absent => JobError::Removed { directory },
            Answer::Exists => JobError::Exists { directory },
            Answer::Empty => JobError::NoRecord { directory },
            Answer::Other => JobError::Replaced { directory },
            Answer::Job { .. } => JobError::StillRuns { directory },
            Answer::Missing(tool) => JobError::MissingTool { tool },
            Answer::Failed(action) => self.failed(&action, said),
            Answer::Unreadable(answer) => self.unreadable(answer),
        }
    }

    pub(super) fn failed(&self, action: &str, said: &str) -> JobError {
        JobError::Failed {
            directory: self.path.clone(),
            action: action.to_owned(),
            said: said.to_owned(),
        }
    }

    pub(super) fn unreadable(&self, answer: String) -> JobError {
        JobError::Unreadable {
            directory: self.path.clone(),
            answer,
        }
    }

    pub(super) async fn run(&self, command: &RemoteCommand) -> Result<Reply, DownloadError> {
        let captured = self.pod.run(command).await?;
        let (answer, rest) = Answer::parse(&captured.stdout);
        Ok(Reply {
            answer,
            rest: rest.to_vec(),
            said: captured.stderr,
        })
    }

    /// What every script begins with.
    pub(super) fn arguments(&self) -> [String; 2] {
        [
            self.path.clone(),
            self.container_id.clone().unwrap_or_default(),
        ]
    }

    pub(super) fn no_answer(&self, cause: DownloadError) -> JobError {
        match cause {
            DownloadError::Stream(StreamError::MissingTool { tool }) => {
                JobError::MissingTool { tool }
            }
            cause => JobError::NoAnswer {
                directory: self.path.clone(),
                cause,
            },
        }
    }
}
