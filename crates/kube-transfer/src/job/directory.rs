//! Where a job is, or will be.

use super::{
    JobError, JobState, RunningJob,
    answer::{Answer, Fate},
    handle::{EndedJob, GoneJob, JobHandle},
    script,
};
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

impl JobDirectory {
    pub(crate) fn new(pod: PodHandle, path: String) -> Result<Self, JobError> {
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(JobError::InvalidPath { path });
        }
        Ok(Self {
            pod,
            path,
            container_id: None,
        })
    }

    /// Says which container this is, by the `containerID` in the status of the pod. A job that was started in another is
    /// [`Gone`](JobState::Gone).
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

    /// Starts a job, unless the directory is there already. When this returns the job runs, or has run.
    ///
    /// When the connection breaks meanwhile, or the future is dropped, a job was started completely or not at all;
    /// [`status`](Self::status) tells.
    ///
    /// What the program prints, on standard output and standard error, is the job's log; its standard input is empty, so
    /// that a command with input lines is [refused](JobError::HasInput). Variables are written nowhere.
    /// [`stop`](RunningJob::stop) signals the program alone, and its own children would then be left to process 1 of the
    /// container: give one that has none, or that ends them.
    pub async fn start(&self, command: &RemoteCommand) -> Result<RunningJob, JobError> {
        if command.has_input() {
            return Err(JobError::HasInput);
        }
        let command = command.started_by(&script::start(), self.arguments());
        let reply = self
            .run(&command)
            .await
            .map_err(|cause| self.not_started(cause))?;
        match reply.answer {
            Answer::Job {
                record,
                fate: Fate::Running | Fate::Ended { .. } | Fate::Gone,
            } => Ok(RunningJob(JobHandle::new(self, record))),
            Answer::Exists => Err(JobError::Exists {
                directory: self.path.clone(),
            }),
            answer => Err(self.refusal(answer, &reply.said)),
        }
    }

    /// What there is in the directory.
    pub async fn status(&self) -> Result<JobState, JobError> {
        let reply = self.ask(script::STATUS, []).await?;
        match reply.answer {
            Answer::Absent => Ok(JobState::Absent),
            answer => self.state(answer, &reply.said),
        }
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

    /// The state that an answer tells.
    pub(super) fn state(&self, answer: Answer, said: &str) -> Result<JobState, JobError> {
        let Answer::Job { record, fate } = answer else {
            return Err(self.refusal(answer, said));
        };
        let job = JobHandle::new(self, record);
        Ok(match fate {
            Fate::Starting => JobState::Starting,
            Fate::Running => JobState::Running(RunningJob(job)),
            Fate::Ended { code } => JobState::Ended(EndedJob::new(job, code)),
            Fate::Gone => JobState::Gone(GoneJob(job)),
        })
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

    async fn run(&self, command: &RemoteCommand) -> Result<Reply, DownloadError> {
        let captured = self.pod.run(command).await?;
        let (answer, rest) = Answer::parse(&captured.stdout);
        Ok(Reply {
            answer,
            rest: rest.to_vec(),
            said: captured.stderr,
        })
    }

    /// What every script begins with.
    fn arguments(&self) -> [String; 2] {
        [
            self.path.clone(),
            self.container_id.clone().unwrap_or_default(),
        ]
    }

    fn not_started(&self, cause: DownloadError) -> JobError {
        match cause {
            DownloadError::Stream(ref error) if !error.was_begun() => self.no_answer(cause),
            cause => JobError::Unsettled {
                directory: self.path.clone(),
                cause,
            },
        }
    }

    fn no_answer(&self, cause: DownloadError) -> JobError {
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
