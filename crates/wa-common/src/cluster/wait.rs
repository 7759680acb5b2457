//! Waiting until something is so: with a deadline, and never in silence.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::report::{Event, Reporter, elapsed, printable};

/// How often is looked.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// What a user waits for without asking why.
const SILENT: Duration = Duration::from_secs(3);

/// What is waited for, and how long.
pub struct Wait<'a> {
    what: String,
    limit: Duration,
    every: Duration,
    silent: Duration,
    reporter: &'a dyn Reporter,
}

/// What one look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe<T> {
    /// There is nothing more to wait for.
    Done(T),
    /// It is not so yet: the state it is in, for the user.
    Pending(String),
    /// It is not so yet, and there is nothing in it that a user would want to know.
    Silent,
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Error)]
pub enum WaitError<E> {
    /// It cannot be looked, or what was found will not become what is waited for.
    #[error(transparent)]
    Failed(E),
    /// The time is over.
    #[error(transparent)]
    TimedOut(TimedOut),
}

/// The time is over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("waited {} {}: {}", elapsed(*after), printable(what), printable(state))]
pub struct TimedOut {
    /// What was waited for, such as `for pod a` or `until the driver has made it`.
    pub what: String,
    /// How long.
    pub after: Duration,
    /// The state that was found last.
    pub state: String,
}

impl WaitError<anyhow::Error> {
    /// The same, where nobody asks which of the two it was.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(error) => error,
            Self::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

impl<'a> Wait<'a> {
    /// A wait of `limit` at most. `what` goes on after "waiting": `for pod a`, `until the driver has made it`.
    pub fn new(what: impl Into<String>, limit: Duration, reporter: &'a dyn Reporter) -> Self {
        Self {
            what: what.into(),
            limit,
            every: PROBE_EVERY,
            silent: SILENT,
            reporter,
        }
    }

    /// Has the first state reported at once, not only when the wait takes more than a moment.
    #[must_use]
    pub fn reported_at_once(mut self) -> Self {
        self.silent = Duration::ZERO;
        self
    }

    /// Looks so often, for looks that cost more than a request.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// Looks every half second until `judge` finds in what `look` has brought that it is done. Each state is reported
    /// once.
    pub async fn until<S, T, E, F>(
        self,
        mut look: impl FnMut() -> F,
        mut judge: impl FnMut(S) -> Result<Probe<T>, E>,
    ) -> Result<T, WaitError<E>>
    where
        F: Future<Output = Result<S, E>>,
    {
        let started = Instant::now();
        let mut last = None;
        let mut reported = false;
        loop {
            let found = look().await.map_err(WaitError::Failed)?;
            match judge(found).map_err(WaitError::Failed)? {
                Probe::Done(result) => return Ok(result),
                Probe::Pending(state) if last.as_ref() != Some(&state) => {
                    last = Some(state);
                    reported = false;
                }
                Probe::Pending(_) | Probe::Silent => {}
            }
            let waited = started.elapsed();
            if waited >= self.limit {
                return Err(WaitError::TimedOut(TimedOut {
                    what: self.what,
                    after: self.limit,
                    state: last.unwrap_or_else(|| "nothing is known of it".to_owned()),
                }));
            }
            if let Some(state) = &last
                && waited >= self.silent
                && !reported
            {
                self.reporter.report(&Event::Waiting {
                    what: self.what.clone(),
                    state: state.clone(),
                    waited,
                    limit: self.limit,
                });
                reported = true;
            }
            sleep(self.every).await;
        }
    }
}

/// How long something has been so, look after look.
#[derive(Debug, Default)]
pub struct Lasting(Option<Instant>);

impl Lasting {
    /// It is so: since when is that, as far as is known.
    pub fn so(&mut self) -> Duration {
        self.0.get_or_insert_with(Instant::now).elapsed()
    }

    /// It is not so any more.
    pub fn over(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EventLog;

    /// Waits through these states, one look after the other; the last one stays. `Done` is an empty one.
    async fn wait(
        states: &[&str],
        limit: Duration,
        log: &EventLog,
    ) -> Result<(), WaitError<&'static str>> {
        let mut states = states.iter().copied().peekable();
        let look = || {
            let state = if states.len() > 1 {
                states.next()
            } else {
                states.peek().copied()
            };
            std::future::ready(state.ok_or("nothing to look at"))
        };
        let judge = |state: &str| match state {
            "" => Ok(Probe::Done(())),
            "broken" => Err("it is broken"),
            state => Ok(Probe::Pending(state.to_owned())),
        };
        let wait = Wait::new("for pod a", limit, log);
        wait.until(look, judge).await
    }

    fn states(log: &EventLog) -> Vec<String> {
        let waits = log.events().into_iter().map(|event| match event {
            Event::Waiting { what, state, .. } => format!("{what}: {state}"),
            other => panic!("{other:?}"),
        });
        waits.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_wait_is_silent_and_a_long_one_reports_each_state_once() {
        let log = EventLog::default();
        let limit = Duration::from_mins(1);
        wait(&["pulls", "pulls", ""], limit, &log).await.unwrap();
        assert_eq!(log.events(), []);
        let pulls = ["pulls"; 20];
        let starts = ["starts"; 20];
        let all = [&pulls[..], &starts[..], &[""]].concat();
        wait(&all, limit, &log).await.unwrap();
        let expected = ["for pod a: pulls", "for pod a: starts"];
        assert_eq!(states(&log), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_a_typed_error_with_the_state_that_was_seen_last() {
        let started = Instant::now();
        let limit = Duration::from_secs(10);
        let error = wait(&["pulls", "starts \u{1b}[2J"], limit, &EventLog::default())
            .await
            .unwrap_err();
        assert_eq!(started.elapsed(), limit);
        assert_eq!(
            error.to_string(),
            "waited 10.0s for pod a: starts \\u{1b}[2J"
        );
        let WaitError::TimedOut(timed_out) = error else {
            panic!("{error:?}");
        };
        assert_eq!(timed_out.after, limit);
        assert_eq!(timed_out.state, "starts \u{1b}[2J");
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_become_so_is_not_waited_for() {
        let started = Instant::now();
        let limit = Duration::from_mins(1);
        let error = wait(&["pulls", "broken"], limit, &EventLog::default()).await;
        assert!(matches!(error, Err(WaitError::Failed("it is broken"))));
        assert_eq!(started.elapsed(), PROBE_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spell_begins_anew_after_it_was_over() {
        let mut lasting = Lasting::default();
        assert_eq!(lasting.so(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(lasting.so(), Duration::from_secs(3));
        lasting.over();
        assert_eq!(lasting.so(), Duration::ZERO);
    }
}
