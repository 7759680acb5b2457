//! Undoing what a run changed.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::retry::{RetryBudget, absence};
use super::{Change, LeftBehind, Loss, Run, Undoing};
use crate::report::{Event, Leftover, causes_text, elapsed, error_text};

/// How long all of the undoing waits for an API server that is away: a network that fails for a moment should not leave
/// anything behind.
pub(super) const ABSENCE_LIMIT: Duration = Duration::from_mins(2);

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
        if let Some(loss @ Loss::TakenOver { .. }) = self.lease.loss() {
            self.lease.stop_renewing();
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
        let mut budget =
            RetryBudget::new(&*self.reporter, ABSENCE_LIMIT, "to undo what was changed");
        while let Some(change) = changes.pop() {
            self.waiting.begin(change.describe());
            let undoing = |deadline| Undoing {
                cluster: &self.cluster,
                run: &self.mark.run,
                reporter: &*self.reporter,
                deadline,
                waiting: &self.waiting,
            };
            let attempt = |deadline| change.undo(undoing(deadline));
            match undo_within(change.undone_within(), &mut budget, attempt).await {
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
        // Until here it was to be renewed.
        self.lease.stop_renewing();
        let mut stored = self.lease.stored().await;
        let leases = self.lease.cluster();
        if kept.is_empty() {
            let deleted = budget.with(|| stored.delete(leases)).await;
            if let Err(error) = deleted {
                leftovers.push(self.lease_leftover(&causes_text(&error)));
            }
        } else {
            // For the next run to find at once, not after the Lease has run out.
            let mut next = stored.lease.clone();
            next.data.changes = kept;
            next.holder = None;
            let update = || stored.update(leases, next.clone());
            let updated = budget.with(update).await;
            match updated {
                Ok(updated) => *stored = updated,
                Err(error) => tracing::warn!(
                    "run {} is not released: {}",
                    self.mark.run,
                    causes_text(&error)
                ),
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
        LeftBehind::to_clean_up(
            &C::clean_up(self.mark.plugin),
            self.cluster.namespace(),
            leftovers,
        )
    }

    fn lease_leftover(&self, why: &str) -> Leftover {
        lease_leftover(&self.mark.run, self.cluster.namespace(), why)
    }
}

/// Undoes one change, each `attempt`, which is told its deadline, within `limit`; the error is why not, for a person.
pub(super) async fn undo_within<F>(
    limit: Duration,
    budget: &mut RetryBudget<'_>,
    attempt: impl Fn(Instant) -> F,
) -> Result<(), String>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let attempt = || async {
        match timeout(limit, attempt(Instant::now() + limit)).await {
            Ok(undone) => undone,
            Err(_) => Err(anyhow::anyhow!("not undone within {}", elapsed(limit))),
        }
    };
    let away = |error: &anyhow::Error| absence(error.as_ref());
    let undone = budget.run(away, attempt).await;
    undone.map_err(|error| error_text(&error))
}

pub(super) fn lease_leftover(name: &str, namespace: &str, why: &str) -> Leftover {
    Leftover {
        what: format!("lease {name}"),
        why: why.to_owned(),
        by_hand: format!("kubectl delete lease {name} -n {namespace}"),
    }
}
