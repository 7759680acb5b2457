//! A job that was found, in its state.

use std::{sync::Arc, time::Duration};

use super::{
    JobDirectory, JobError, JobState,
    answer::{Answer, Fate},
    directory::Reply,
    script,
};

/// One certain job: its directory, and the record that tells it from any other there.
#[derive(Debug, Clone)]
pub(super) struct JobHandle {
    pub(super) directory: Arc<JobDirectory>,
    record: String,
}

impl JobHandle {
    pub(super) fn new(directory: &JobDirectory, record: String) -> Self {
        Self {
            directory: Arc::new(directory.clone()),
            record,
        }
    }

    /// Runs one of the scripts, which refuses to touch another job.
    pub(super) async fn ask(
        &self,
        script: &str,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Reply, JobError> {
        let arguments = std::iter::once(self.record.clone()).chain(arguments);
        self.directory.ask(script, arguments).await
    }

    /// The state that an answer about the job in `directory` tells.
    pub(super) fn state(
        directory: &JobDirectory,
        answer: Answer,
        said: &str,
    ) -> Result<JobState, JobError> {
        let Answer::Job { record, fate } = answer else {
            return Err(directory.refusal(answer, said));
        };
        let job = Self::new(directory, record);
        Ok(match fate {
            Fate::Starting => JobState::Starting,
            Fate::Running => JobState::Running(RunningJob(job)),
            Fate::Ended { code } => JobState::Ended(EndedJob { job, code }),
            Fate::Gone => JobState::Gone(GoneJob(job)),
        })
    }

    /// The same job, whose pod may be silent for `longer`.
    pub(super) fn patient(&self, longer: Duration) -> Self {
        let mut patient = self.clone();
        let limit = &mut Arc::make_mut(&mut patient.directory)
            .pod
            .options
            .stall_limit;
        *limit = limit.saturating_add(longer);
        patient
    }

    pub(super) async fn remove(&self) -> Result<(), JobError> {
        let reply = self.ask(script::REMOVE, []).await?;
        match reply.answer {
            Answer::Absent => Ok(()),
            answer => Err(self.directory.refusal(answer, &reply.said)),
        }
    }
}

/// A job that had not ended when it was last looked at.
#[derive(Debug, Clone)]
pub struct RunningJob(pub(super) JobHandle);

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct EndedJob {
    pub(super) job: JobHandle,
    code: u8,
}

impl EndedJob {
    /// The exit code of the program; 128 + n when signal n killed it, 126 or 127 when it could not be executed.
    pub fn code(&self) -> u8 {
        self.code
    }
}

/// A job that was ended from outside, without an exit code.
#[derive(Debug, Clone)]
pub struct GoneJob(pub(super) JobHandle);
