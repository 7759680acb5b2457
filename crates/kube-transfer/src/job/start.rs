//! Starting a job, and finding it again.

use super::{
    JobDirectory, JobError, JobState, RunningJob,
    answer::{Answer, Fate},
    handle::JobHandle,
    script,
};
use crate::{download::DownloadError, remote_command::RemoteCommand};

impl JobDirectory {
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
            answer => JobHandle::state(self, answer, &reply.said),
        }
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
}
