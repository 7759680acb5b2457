//! What can be done with a job, which depends on its state.

use std::time::Duration;

use super::{
    EndedJob, GoneJob, JobError, JobLog, JobState, RunningJob,
    answer::{self, Answer, Fate},
    handle::JobHandle,
    script,
};
use crate::{Sha256Digest, text::printable};

/// How long a program that was killed may take to end.
const KILL_LIMIT: Duration = Duration::from_secs(10);

impl RunningJob {
    /// The log from byte `offset` on.
    pub fn log(&self, offset: u64) -> JobLog {
        JobLog::new(self.0.clone(), offset)
    }

    /// Asks the program to end, once a second; when it has not ended within `grace`, it is killed. Returns how it ended.
    ///
    /// When the connection breaks, the program may or may not have been asked; asking again does no harm,
    /// and begins with the whole `grace`.
    pub async fn stop(&self, grace: Duration) -> Result<JobState, JobError> {
        let limit = grace.saturating_add(KILL_LIMIT);
        // Whole seconds, not fewer than asked for; a shell's numbers have an end.
        let seconds = |duration: Duration| {
            let seconds = duration.as_millis().div_ceil(1000);
            seconds.min(u128::from(u32::MAX)).to_string()
        };
        let reply = self
            .0
            .patient(limit)
            .ask(script::STOP, [seconds(grace), seconds(limit)])
            .await?;
        match JobHandle::state(&self.0.directory, reply.answer, &reply.said)? {
            JobState::Running(_) => Err(JobError::WillNotEnd {
                directory: self.0.directory.path.clone(),
            }),
            state => Ok(state),
        }
    }
}

/// How a job ended, and what it printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The exit code of the program; 128 + n when signal n killed it, 126 or 127 when it could not be executed.
    pub code: u8,
    /// How many bytes its log has.
    pub log_bytes: u64,
    /// Their SHA-256.
    pub log_sha256: Sha256Digest,
}

impl EndedJob {
    /// The log from byte `offset` on.
    pub fn log(&self, offset: u64) -> JobLog {
        JobLog::new(self.job.clone(), offset)
    }

    /// How it ended, with the size and the hash of its log, by which a log that was read in parts can be checked.
    pub async fn collect(&self) -> Result<Collected, JobError> {
        let reply = self.job.ask(script::COLLECT, []).await?;
        let directory = &self.job.directory;
        let Answer::Job {
            fate: Fate::Ended { code },
            ..
        } = reply.answer
        else {
            return Err(directory.refusal(reply.answer, &reply.said));
        };
        let (log_bytes, log_sha256) = answer::log_digest(&reply.rest)
            .ok_or_else(|| directory.unreadable(printable(&reply.rest)))?;
        Ok(Collected {
            code,
            log_bytes,
            log_sha256,
        })
    }

    /// Removes the directory: first the log and whatever else may hold a secret. Does nothing when it is removed already.
    pub async fn remove(&self) -> Result<(), JobError> {
        self.job.remove().await
    }
}

impl GoneJob {
    /// The log from byte `offset` on, as far as it came.
    pub fn log(&self, offset: u64) -> JobLog {
        JobLog::new(self.0.clone(), offset)
    }

    /// Removes the directory: first the log and whatever else may hold a secret. Does nothing when it is removed already.
    pub async fn remove(&self) -> Result<(), JobError> {
        self.0.remove().await
    }
}
