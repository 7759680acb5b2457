//! Why there is no backup by a Job.

use std::time::Duration;

use thiserror::Error;
use wa_common::report::{Exit, HasExit, elapsed, printable};

/// Why a Job was not started, or did not end as it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// The instance has no backup CronJob.
    #[error(
        "{instance} in namespace {namespace:?} has no CronJob {cron_job}, from whose template a backup Job is made"
    )]
    NoCronJob {
        /// The instance.
        instance: String,
        /// Where.
        namespace: String,
        /// The name looked for.
        cron_job: String,
    },
    /// Another backup is being taken.
    #[error("{} is taking a backup now, and CronJob {cron_job} has the concurrencyPolicy {policy}; no Job was started: try again when it has ended", jobs.join(", "))]
    Running {
        /// Those Jobs.
        jobs: Vec<String>,
        /// The CronJob.
        cron_job: String,
        /// Its concurrencyPolicy.
        policy: String,
    },
    /// The Job has ended, and not well.
    #[error("job {job} {how}")]
    Ended {
        /// The Job.
        job: String,
        /// How it ended, in words.
        how: String,
    },
    /// It was not waited for any longer.
    #[error("job {job} still runs after {}: {state}; it goes on: `kubectl logs -f job/{job} -n {namespace}` follows it, and nobody removes it but `kubectl delete job {job} -n {namespace}`", elapsed(*after))]
    TimedOut {
        /// The Job.
        job: String,
        /// Where.
        namespace: String,
        /// How long it was waited for.
        after: Duration,
        /// What it was at.
        state: String,
    },
    /// What it wrote cannot be distinguished from what others wrote.
    #[error(
        "cannot tell which dump job {job} wrote: {}; nothing was fetched: look at them with `kubectl wa-pvc list`, and fetch one by its name with `kubectl wa-pvc pull`",
        candidates_text(candidates)
    )]
    Ambiguous {
        /// The Job.
        job: String,
        /// What was written while it ran.
        candidates: Vec<String>,
    },
}

fn candidates_text(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return "no dump on the volume was last written while it ran".to_owned();
    }
    let candidates = printable(&candidates.join(", ")).into_owned();
    format!("{candidates} were written while it and others ran")
}

impl HasExit for JobError {
    fn exit(&self) -> Option<Exit> {
        match self {
            Self::Running { .. } => Some(Exit::Refused),
            Self::TimedOut { .. } => Some(Exit::TimedOut),
            Self::NoCronJob { .. } | Self::Ended { .. } | Self::Ambiguous { .. } => None,
        }
    }
}
