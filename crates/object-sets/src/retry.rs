//! Trying again, for as long as an outage may last.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::{Error, Result};
use tokio::time::{Instant, sleep};

use crate::error::{chain, in_words, is_transient};
use crate::teller::Teller;

/// How long one request is tried again and again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For how long in all.
    pub outage: Duration,
    /// The first pause, which doubles up to the longest one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// Ten minutes: a gateway that is restarted, a node that is drained.
    fn default() -> Self {
        Self {
            outage: Duration::from_mins(10),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// How long the store is away before that is told.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Whether the store is known to be away: told once, and when it is back, however many requests wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outage {
    teller: Teller,
    told: Arc<AtomicBool>,
}

impl Outage {
    pub(crate) fn new(teller: Teller) -> Self {
        Self {
            teller,
            told: Arc::default(),
        }
    }

    fn goes_on(&self, pauses: &Pauses, error: &Error) {
        let since = pauses.begun.elapsed();
        if since >= TOLD_AFTER && !self.told.swap(true, Ordering::Relaxed) {
            let more = pauses
                .end
                .saturating_duration_since(Instant::now())
                .as_secs();
            self.teller.tell(format!(
                "the object storage is away ({}); trying for {more} s more",
                in_words(error)
            ));
        }
    }

    fn is_over(&self) {
        if self.told.swap(false, Ordering::Relaxed) {
            self.teller.tell("the object storage is back".to_owned());
        }
    }
}

/// The pauses between attempts, until patience is at an end.
pub(crate) struct Pauses {
    outage: Outage,
    begun: Instant,
    patience: Patience,
    end: Instant,
    next: Duration,
}

impl Patience {
    /// The same, for no longer than that.
    pub(crate) fn within(self, longest: Duration) -> Self {
        Self {
            outage: self.outage.min(longest),
            ..self
        }
    }

    pub(crate) fn pauses(self, outage: &Outage) -> Pauses {
        let now = Instant::now();
        Pauses {
            outage: outage.clone(),
            begun: now,
            end: now + self.outage,
            next: self.first_pause,
            patience: self,
        }
    }

    /// Does `request` until it succeeds, fails for good, or patience is at an end.
    pub(crate) async fn run<T, F: Future<Output = Result<T>>>(
        self,
        outage: &Outage,
        request: impl Fn() -> F,
    ) -> Result<T> {
        let mut pauses = self.pauses(outage);
        loop {
            match request().await {
                Err(error) if is_transient(&error) && pauses.pause(&error).await => {}
                done => {
                    if done.is_ok() {
                        outage.is_over();
                    }
                    return done;
                }
            }
        }
    }
}

impl Pauses {
    /// Waits for the next attempt; whether there is to be one.
    pub(crate) async fn pause(&mut self, error: &Error) -> bool {
        let pause = self.next;
        if Instant::now() + pause > self.end {
            return false;
        }
        tracing::debug!(error = %chain(error), ?pause, "trying again");
        self.outage.goes_on(self, error);
        sleep(pause).await;
        self.next = (pause * 2).min(self.patience.longest_pause);
        true
    }
}
