//! Undoing what a run changed.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::objects::DeletionError;
use super::{Change, LeftBehind, Loss, Run, Undoing};
use crate::cluster::ClusterError;
use crate::report::{Event, Leftover, Reporter, causes_text, elapsed, error_text};

/// How long all of the undoing waits for an API server that is away.
const ABSENCE_LIMIT: Duration = Duration::from_mins(2);
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

impl<C: Change> Run<C> {
    /// Undoes every change, the last one first, and deletes the Lease. All are tried though one fails. Done once:
    /// later calls return what the first one did, and `main` calls it for every run that a command did not finish.
    pub async fn finish(&self) -> Result<(), LeftBehind> {
        let mut ended = self.ended.lock().await;
        if let Some(outcome) = &*ended {
            return outcome.clone();
        }
        let outcome = self.undo_all().await;
        *ended = Some(outcome.clone());
        outcome
    }

    async fn undo_all(&self) -> Result<(), LeftBehind> {
        if let Some(loss @ Loss::TakenOver { .. }) = &*self.lost.borrow() {
            self.renewing.abort();
            // Who must not be disturbed.
            self.reporter.report(&Event::Warning {
                message: format!("the run {} is not undone here: {loss}", self.mark.run),
            });
            return Ok(());
        }
        // What is just being made is waited for.
        let _made = self.making.write().await;
        let mut changes = self.pending().clone();
        let mut kept = Vec::new();
        let mut leftovers = Vec::new();
        let mut patience = Patience::new(&*self.reporter);
        while let Some(change) = changes.pop() {
            self.waiting.begin(change.describe());
            let undoing = Undoing {
                cluster: &self.cluster,
                run: &self.mark.run,
                reporter: &*self.reporter,
                waiting: &self.waiting,
            };
            match undo(&change, undoing, &mut patience).await {
                Ok(()) => {
                    self.pending().remove(changes.len());
                    self.reporter.report(&Event::Step {
                        step: "undone",
                        detail: change.describe(),
                    });
                }
                Err(why) => {
                    leftovers.push(self.leftover(&change, &why));
                    kept.insert(0, change);
                }
            }
        }
        // Until here it was to be renewed. One that is under way lets go of the Lease at once.
        self.renewing.abort();
        let mut stored = self.lease.lock().await;
        if kept.is_empty() {
            let deleted = patience.with(|| stored.delete(&self.leases)).await;
            if let Err(error) = deleted {
                leftovers.push(self.lease_leftover(&error.to_string()));
            }
        } else {
            // For the next run to find at once, not after the Lease has run out.
            let mut next = stored.lease.clone();
            next.changes = kept;
            next.holder = None;
            let update = || stored.update(&self.leases, next.clone());
            let updated = patience.with(update).await;
            match updated {
                Ok(updated) => *stored = updated,
                Err(error) => tracing::warn!("run {} is not released: {error}", self.mark.run),
            }
        }
        if leftovers.is_empty() {
            Ok(())
        } else {
            Err(self.left_behind(leftovers))
        }
    }

    pub(super) fn leftover(&self, change: &C, why: &str) -> Leftover {
        Leftover {
            what: change.describe(),
            why: why.to_owned(),
            by_hand: change.manual_commands(self.cluster.namespace(), &self.mark.run),
        }
    }

    pub(super) fn left_behind(&self, leftovers: Vec<Leftover>) -> LeftBehind {
        LeftBehind {
            namespace: self.cluster.namespace().to_owned(),
            plugin: self.mark.plugin.to_owned(),
            leftovers,
        }
    }

    fn lease_leftover(&self, why: &str) -> Leftover {
        lease_leftover(&self.mark.run, self.cluster.namespace(), why)
    }
}

/// Undoes one change, each attempt within [`Change::undone_within`]; the error is why not, for a person.
async fn undo<C: Change>(
    change: &C,
    undoing: Undoing<'_>,
    patience: &mut Patience<'_>,
) -> Result<(), String> {
    let limit = change.undone_within();
    loop {
        let undone = timeout(limit, change.undo(undoing)).await;
        match undone {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if patience.lasts(absence(error.as_ref())).await => {}
            Ok(Err(error)) => return Err(error_text(&error)),
            Err(_) => return Err(format!("not undone within {}", elapsed(limit))),
        }
    }
}

/// How long the undoing still waits for an API server that is away: a network that fails for a moment should not leave
/// anything behind.
struct Patience<'a> {
    reporter: &'a dyn Reporter,
    /// Set when it is found away for the first time.
    until: Option<Instant>,
}

impl<'a> Patience<'a> {
    fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            until: None,
        }
    }

    /// Sends a request again as long as the API server is away.
    async fn with<T, E, F>(&mut self, request: impl Fn() -> F) -> Result<T, E>
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
    async fn lasts(&mut self, absence: Option<String>) -> bool {
        let Some(why) = absence else {
            return false;
        };
        let until = *self.until.get_or_insert_with(|| {
            self.reporter.report(&Event::Warning {
                message: format!(
                    "the API server cannot be reached; trying again for up to {} to undo what was changed: {why}",
                    elapsed(ABSENCE_LIMIT)
                ),
            });
            Instant::now() + ABSENCE_LIMIT
        });
        sleep(TRY_AGAIN_AFTER).await;
        Instant::now() < until
    }
}

/// What an error says, where it or one of its causes is that the API server cannot be reached or does not serve.
fn absence(error: &(dyn Error + 'static)) -> Option<String> {
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

pub(super) fn lease_leftover(name: &str, namespace: &str, why: &str) -> Leftover {
    Leftover {
        what: format!("lease {name}"),
        why: why.to_owned(),
        by_hand: format!("kubectl delete lease {name} -n {namespace}"),
    }
}
