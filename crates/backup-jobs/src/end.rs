//! How a Job ended.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use wa_common::report::printable;

use crate::pod::PodRun;

/// How a Job ended, and the pod that it ended with.
#[derive(Debug, Clone)]
pub struct JobEnd {
    /// The Job.
    pub job: String,
    /// How.
    pub outcome: Outcome,
    /// Why, where there is more to say.
    pub why: Option<String>,
    /// Its last pod.
    pub pod: Option<String>,
    /// When that pod's container began, by its node's clock.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The backup is on the volume.
    Complete,
    /// Its pods failed.
    Failed,
    /// It took longer than its `activeDeadlineSeconds`.
    DeadlineExceeded,
    /// Its node put its pod out.
    Evicted,
    /// Somebody deleted it.
    Deleted,
}

impl Outcome {
    /// Its name where a program reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::DeadlineExceeded => "deadlineExceeded",
            Self::Evicted => "evicted",
            Self::Deleted => "deleted",
        }
    }
}

impl JobEnd {
    /// How the Job ended, in words that go on after its name.
    pub fn in_words(&self) -> String {
        let how = match self.outcome {
            Outcome::Complete => "is complete",
            Outcome::Failed => "failed",
            Outcome::DeadlineExceeded => {
                "was ended by its deadline: the dump that it was writing is not whole"
            }
            Outcome::Evicted => "failed: its pod was evicted",
            Outcome::Deleted => {
                "was deleted by somebody else while it ran: the dump that it was writing may not be whole"
            }
        };
        match &self.why {
            Some(why) => format!("{how}: {}", printable(why)),
            None => how.to_owned(),
        }
    }

    pub(crate) fn from_outcome(
        job: &str,
        outcome: Outcome,
        why: Option<String>,
        pod: Option<&PodRun>,
    ) -> Self {
        Self {
            job: job.to_owned(),
            outcome,
            why,
            pod: pod.map(|pod| pod.name.clone()),
            started: pod.and_then(|pod| pod.started),
            finished: pod.and_then(|pod| pod.finished),
        }
    }
}

/// How the Job says that it has ended; `None` as long as it has not.
pub(crate) fn of_status(job: &Job, pod: Option<&PodRun>) -> Option<(Outcome, Option<String>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition = |kind: &str| {
        conditions
            .iter()
            .find(|one| one.type_ == kind && one.status == "True")
    };
    if condition("Complete").is_some() {
        return Some((Outcome::Complete, None));
    }
    let failed = condition("Failed")?;
    let of_pod = pod.and_then(|pod| pod.why_failed.clone());
    if failed.reason.as_deref() == Some("DeadlineExceeded") {
        return Some((Outcome::DeadlineExceeded, failed.message.clone()));
    }
    if pod.is_some_and(|pod| pod.evicted) {
        return Some((Outcome::Evicted, of_pod));
    }
    Some((Outcome::Failed, of_pod.or_else(|| failed.message.clone())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn outcome(condition: &Value, pod: Option<&PodRun>) -> Option<Outcome> {
        let job = json!({"status": {"conditions": [condition]}});
        let job: Job = serde_json::from_value(job).unwrap();
        of_status(&job, pod).map(|(outcome, _)| outcome)
    }

    #[test]
    fn the_ends_of_a_job_are_told_apart() {
        let condition =
            |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
        let evicted = PodRun {
            evicted: true,
            ..PodRun::default()
        };
        let backoff = condition("Failed", "BackoffLimitExceeded");
        for (condition, pod, expected) in [
            (
                condition("Complete", "CompletionsReached"),
                None,
                Some(Outcome::Complete),
            ),
            (backoff.clone(), None, Some(Outcome::Failed)),
            (backoff.clone(), Some(&evicted), Some(Outcome::Evicted)),
            (
                condition("Failed", "DeadlineExceeded"),
                None,
                Some(Outcome::DeadlineExceeded),
            ),
            // Announced, and not so yet.
            (
                condition("SuccessCriteriaMet", "CompletionsReached"),
                None,
                None,
            ),
            (condition("FailureTarget", "DeadlineExceeded"), None, None),
        ] {
            assert_eq!(outcome(&condition, pod), expected, "{condition}");
        }
    }
}
