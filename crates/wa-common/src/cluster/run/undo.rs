//! Undoing what a run changed.

use std::time::Duration;

use super::{Change, Cluster, LeftBehind, Leftover, Loss, Run};
use crate::report::{Event, error_text};

/// How long undoing one change may take: a node needs most of it to unmount and detach a volume.
pub(super) const UNDO_LIMIT: Duration = Duration::from_mins(2);

impl<C: Change> Run<C> {
    /// Undoes every change, the last one first, and deletes the Lease. All are tried though one fails. Done once:
    /// later calls return what the first one did, and `main` calls it for every run that a command did not finish.
    pub async fn finish(&self) -> Result<(), LeftBehind> {
        let mut ended = self.ended.lock().await;
        if let Some(outcome) = &*ended {
            return outcome.clone();
        }
        let outcome = self.undo_all().await;
        self.renewing.abort();
        *ended = Some(outcome.clone());
        outcome
    }

    async fn undo_all(&self) -> Result<(), LeftBehind> {
        if let Some(loss @ Loss::TakenOver { .. }) = &*self.lost.borrow() {
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
        while let Some(change) = changes.pop() {
            match undo(&change, &self.cluster, &self.mark.run).await {
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
        let mut stored = self.lease.lock().await;
        if kept.is_empty() {
            if let Err(error) = stored.delete(&self.cluster).await {
                leftovers.push(self.lease_leftover(&error.to_string()));
            }
        } else {
            // For the next run to find at once, not after the Lease has run out.
            let mut next = stored.lease.clone();
            next.changes = kept;
            next.holder = None;
            match stored.update(&self.cluster, next).await {
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
        leftover(change, self.cluster.namespace(), why)
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

/// Undoes one change within [`UNDO_LIMIT`]; the error is why not, for a person.
pub(super) async fn undo<C: Change>(
    change: &C,
    cluster: &Cluster,
    run: &str,
) -> Result<(), String> {
    match tokio::time::timeout(UNDO_LIMIT, change.undo(cluster, run)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error_text(&error)),
        Err(_) => Err(format!("not undone within {UNDO_LIMIT:?}")),
    }
}

pub(super) fn leftover<C: Change>(change: &C, namespace: &str, why: &str) -> Leftover {
    Leftover {
        what: change.describe(),
        why: why.to_owned(),
        by_hand: change.by_hand(namespace),
    }
}

pub(super) fn lease_leftover(name: &str, namespace: &str, why: &str) -> Leftover {
    Leftover {
        what: format!("lease {name}"),
        why: why.to_owned(),
        by_hand: format!("kubectl delete lease {name} -n {namespace}"),
    }
}
