//! How long is tried what must be done though the API server is away.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::objects::DeletionError;
use crate::cluster::ClusterError;
use crate::report::{Event, Reporter, causes_text, elapsed};

const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// How long what must be done still waits for an API server that is away.
pub(super) struct RetryBudget<'a> {
    reporter: &'a dyn Reporter,
    limit: Duration,
    /// What is waited for.
    purpose: &'static str,
    /// Set when it is found away for the first time.
    until: Option<Instant>,
}

impl<'a> RetryBudget<'a> {
    pub(super) fn new(reporter: &'a dyn Reporter, limit: Duration, purpose: &'static str) -> Self {
        Self {
            reporter,
            limit,
            purpose,
            until: None,
        }
    }

    /// Sends a request again as long as the API server is away.
    pub(super) async fn with<T, E, F>(&mut self, request: impl Fn() -> F) -> Result<T, E>
    where
        E: Error + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            match request().await {
                Err(error) if self.lasts(absence(&error)).await => {}
                answer => return answer,
            }
        }
    }

    /// Whether what failed because of this is to be tried again, which is after a moment: now.
    pub(super) async fn lasts(&mut self, absence: Option<String>) -> bool {
        let Some(why) = absence else {
            return false;
        };
        let (limit, purpose) = (self.limit, self.purpose);
        let until = *self.until.get_or_insert_with(|| {
            self.reporter.report(&Event::Warning {
                message: format!(
                    "the API server cannot be reached; trying again for up to {} {purpose}: {why}",
                    elapsed(limit)
                ),
            });
            Instant::now() + limit
        });
        sleep(TRY_AGAIN_AFTER).await;
        Instant::now() < until
    }
}

/// What an error says, where it or one of its causes is that the API server cannot be reached or does not serve.
pub(super) fn absence(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    let away = causes.any(|cause| {
        let of_deletion = match cause.downcast_ref() {
            Some(DeletionError::Cluster(error)) => Some(error),
            _ => None,
        };
        cause.downcast_ref().or(of_deletion).is_some_and(is_away)
    });
    away.then(|| causes_text(error))
}

fn is_away(error: &ClusterError) -> bool {
    matches!(
        error,
        ClusterError::Unreachable { .. } | ClusterError::TimedOut { .. }
    ) || error.is_temporary()
        || error.code().is_some_and(|code| code >= 500)
}
