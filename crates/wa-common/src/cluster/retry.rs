//! Trying again what failed for a passing reason: how often, for how long, and what a user sees of it.
//!
//! The pauses are the backon crate's; what is added here is that every retry is reported. Never for what creates an
//! object: a request whose answer was lost may have been done.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use kube_transfer::Retries;
use tokio::time::{Instant, sleep};

use super::ClusterError;
use crate::report::{Event, Reporter, causes_text, elapsed};

/// How often and how long something is tried again, and with which pauses: each twice as long as the one before.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    first_pause: Duration,
    longest_pause: Duration,
    limit: Limit,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    Retries(u32),
    /// From the first attempt on.
    Time(Duration),
}

impl RetryPolicy {
    /// For requests and short commands: three more within two seconds. A user waits for them.
    pub const READS: Self = Self {
        first_pause: Duration::from_millis(250),
        longest_pause: Duration::from_secs(1),
        limit: Limit::Retries(3),
    };

    /// As [`Self::READS`], with as many retries as the user wants.
    pub const fn reads(retries: u32) -> Self {
        Self {
            longest_pause: Duration::from_secs(10),
            limit: Limit::Retries(retries),
            ..Self::READS
        }
    }

    /// For what went wrong by itself, not because something is away: again at once.
    pub const fn at_once(retries: u32) -> Self {
        Self {
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            limit: Limit::Retries(retries),
        }
    }

    /// For streams, which take minutes or hours: pauses long enough for an API server that is being updated, or a node.
    pub const fn streams(retries: u32) -> Self {
        Self {
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(40),
            limit: Limit::Retries(retries),
        }
    }

    /// For phases that bear an API server that is away for minutes: until `limit` has passed.
    pub const fn phases(limit: Duration) -> Self {
        Self {
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(15),
            limit: Limit::Time(limit),
        }
    }

    /// For the connections inside a transfer, which counts the attempts in a row that bring nothing itself.
    pub const fn connections(retries: u32) -> Retries {
        Retries::new(retries).with_pauses(Duration::from_secs(1), Duration::from_secs(20))
    }

    fn retries(self) -> Option<u32> {
        match self.limit {
            Limit::Retries(retries) => Some(retries),
            Limit::Time(_) => None,
        }
    }

    fn pauses(self) -> ExponentialBuilder {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause);
        match self.limit {
            Limit::Retries(retries) => pauses.with_max_times(retries as usize),
            Limit::Time(_) => pauses.without_max_times(),
        }
    }

    /// Whether there is time for another attempt.
    fn has_time(self, started: Instant) -> bool {
        match self.limit {
            Limit::Retries(_) => true,
            Limit::Time(limit) => started.elapsed() < limit,
        }
    }

    /// Makes `attempt`, and again as the policy says. `passing` says of an error why another attempt may succeed, and
    /// `None` where it may not. `step` is what is tried, a word or two.
    pub async fn run<T, E, F>(
        self,
        step: &'static str,
        reporter: &dyn Reporter,
        passing: impl Fn(&E) -> Option<String>,
        attempt: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let mut retry = 0;
        attempt
            .retry(self.pauses())
            .sleep(sleep)
            .when(|error| self.has_time(started) && passing(error).is_some())
            .notify(|error, wait| {
                retry += 1;
                reporter.report(&Event::Retry {
                    step,
                    retry,
                    retries: self.retries(),
                    wait,
                    why: passing(error).unwrap_or_default(),
                });
            })
            .await
    }
}

/// The time that several requests together have for an API server that is away. It begins to run out when the server is
/// found away for the first time, which is reported once.
pub struct RetryBudget<'a> {
    reporter: &'a dyn Reporter,
    limit: Duration,
    purpose: &'static str,
    until: Option<Instant>,
}

impl<'a> RetryBudget<'a> {
    /// Time for what has this purpose, such as `to undo what was changed`.
    pub fn new(reporter: &'a dyn Reporter, limit: Duration, purpose: &'static str) -> Self {
        Self {
            reporter,
            limit,
            purpose,
            until: None,
        }
    }

    /// Makes `attempt`, and again as long as there is time. `away` says of an error how it shows that the API server is
    /// away, and `None` where it does not.
    pub async fn run<T, E, F>(
        &mut self,
        away: impl Fn(&E) -> Option<String>,
        attempt: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let pauses = RetryPolicy::phases(self.limit).pauses();
        attempt
            .retry(pauses)
            .sleep(sleep)
            .when(|error| away(error).is_some_and(|why| self.lasts(&why)))
            .await
    }

    /// Sends a request again as long as there is time and its error shows that the API server is away.
    pub async fn with<T, E, F>(&mut self, request: impl FnMut() -> F) -> Result<T, E>
    where
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        self.run(|error| absence(error), request).await
    }

    fn lasts(&mut self, why: &str) -> bool {
        let until = *self.until.get_or_insert_with(|| {
            self.reporter.report(&Event::Warning {
                message: format!(
                    "the API server cannot be reached; trying again for up to {} {}: {why}",
                    elapsed(self.limit),
                    self.purpose
                ),
            });
            Instant::now() + self.limit
        });
        Instant::now() < until
    }
}

/// What an error says, where it or one of its causes is that the API server cannot be reached or does not serve.
pub(crate) fn absence(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    let away = causes.any(|cause| cause.downcast_ref().is_some_and(ClusterError::is_away));
    away.then(|| causes_text(error))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::report::EventLog;

    /// Attempts of which all fail, or all but the last; what became of them, how many there were, and how long it took.
    async fn attempts(
        policy: RetryPolicy,
        log: &EventLog,
        passes_after: u32,
    ) -> (Result<u32, &'static str>, u32, Duration) {
        let made = Cell::new(0);
        let started = Instant::now();
        let attempt = || {
            made.set(made.get() + 1);
            let made = made.get();
            async move {
                if made > passes_after {
                    Ok(made)
                } else {
                    Err("away")
                }
            }
        };
        let passing = |why: &&'static str| Some((*why).to_owned());
        let outcome = policy.run("request", log, passing, attempt).await;
        (outcome, made.get(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn every_retry_is_reported_with_its_number_its_pause_and_why() {
        let log = EventLog::default();
        let (outcome, made, took) = attempts(RetryPolicy::READS, &log, 2).await;
        assert_eq!((outcome, made), (Ok(3), 3));
        assert_eq!(took, Duration::from_millis(750));
        let retry = |retry, millis| Event::Retry {
            step: "request",
            retry,
            retries: Some(3),
            wait: Duration::from_millis(millis),
            why: "away".to_owned(),
        };
        assert_eq!(log.events(), [retry(1, 250), retry(2, 500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_of_retries_ends_after_those_and_says_why_the_last_failed() {
        let (outcome, made, _) = attempts(RetryPolicy::READS, &EventLog::default(), 9).await;
        assert_eq!((outcome, made), (Err("away"), 4));
        let (_, made, took) = attempts(RetryPolicy::streams(5), &EventLog::default(), 9).await;
        assert_eq!((made, took.as_secs()), (6, 5 + 10 + 20 + 40 + 40));
        let (_, made, _) = attempts(RetryPolicy::streams(0), &EventLog::default(), 9).await;
        assert_eq!(made, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_phase_bears_minutes_and_not_more() {
        let policy = RetryPolicy::phases(Duration::from_mins(5));
        let (outcome, _, took) = attempts(policy, &EventLog::default(), u32::MAX).await;
        assert_eq!(outcome, Err("away"));
        let minutes = Duration::from_mins(5)..Duration::from_secs(5 * 60 + 15);
        assert!(minutes.contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_not_tried_again() {
        let made = Cell::new(0);
        let attempt = || {
            made.set(made.get() + 1);
            async { Err::<(), _>("forbidden") }
        };
        let log = EventLog::default();
        let policy = RetryPolicy::READS;
        let outcome = policy.run("request", &log, |_| None, attempt).await;
        assert_eq!((outcome, made.get()), (Err("forbidden"), 1));
        assert_eq!(log.events(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_share_a_budget_have_its_time_together() {
        let log = EventLog::default();
        let limit = Duration::from_mins(1);
        let mut budget = RetryBudget::new(&log, limit, "to undo what was changed");
        let away = |why: &&'static str| Some((*why).to_owned());
        let started = Instant::now();
        for _ in 0..3 {
            let attempt = || async { Err::<(), _>("refused") };
            assert_eq!(budget.run(away, attempt).await, Err("refused"));
        }
        assert!(started.elapsed() < limit + Duration::from_secs(15));
        let warnings = log.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("up to 1m0s to undo what was changed: refused"));
    }
}
