//! A job's log, read as it grows.

use std::time::Duration;

use super::{JobError, JobState, answer, handle::JobHandle, script};
use crate::text::printable;

/// How much one answer brings.
const CHUNK_BYTES: usize = 256 << 10;
/// How long the pod waits for something new before it answers that there is nothing.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// A job's log from some byte on.
///
/// Each [`next`](Self::next) is a request of its own, so a broken connection costs at most one answer: whoever calls it
/// again goes on where the last one ended. [`offset`](Self::offset) is all that it takes to go on in another process.
#[derive(Debug, Clone)]
pub struct JobLog {
    job: JobHandle,
    offset: u64,
}

/// What comes next of a log.
#[derive(Debug)]
pub enum LogPart {
    /// Bytes as the program printed them: any, and cut anywhere. Not fit for a terminal as they are.
    Data(Vec<u8>),
    /// All is read, and no more will come: the job has ended, or is gone.
    End(JobState),
}

impl JobLog {
    pub(super) fn new(job: JobHandle, offset: u64) -> Self {
        Self { job, offset }
    }

    /// How many bytes of the log are read: the next one begins here.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next part; waits while the job runs and prints nothing.
    ///
    /// A part is returned only when it is verified to be what the pod has read. After an error the same part can be asked
    /// for again, as after the future was dropped. Nothing is tried again here.
    pub async fn next(&mut self) -> Result<LogPart, JobError> {
        loop {
            let (data, end) = self.read().await?;
            if !data.is_empty() {
                self.offset += data.len() as u64;
                return Ok(LogPart::Data(data));
            }
            match end {
                JobState::Running(_) => {}
                end => return Ok(LogPart::End(end)),
            }
        }
    }

    async fn read(&self) -> Result<(Vec<u8>, JobState), JobError> {
        // The pod must say something before this side takes it for stuck.
        let wait = WAIT_LIMIT.min(self.job.directory.pod.options.stall_limit / 2);
        let arguments = [
            self.offset.to_string(),
            CHUNK_BYTES.to_string(),
            wait.as_secs().to_string(),
        ];
        let reply = self.job.ask(script::READ, arguments).await?;
        let directory = &self.job.directory;
        let state = JobHandle::state(directory, reply.answer.clone(), &reply.said)?;
        let unreadable = || self.job.directory.unreadable(printable(&reply.rest));
        let (bytes, data) = answer::log_size(&reply.rest).ok_or_else(unreadable)?;
        let Some(left) = bytes.checked_sub(self.offset) else {
            return Err(JobError::LogShrank {
                directory: self.job.directory.path.clone(),
                offset: self.offset,
                bytes,
            });
        };
        if data.len() as u64 != left.min(CHUNK_BYTES as u64) {
            return Err(self.job.directory.failed("read the log", &reply.said));
        }
        Ok((data.to_vec(), state))
    }
}
