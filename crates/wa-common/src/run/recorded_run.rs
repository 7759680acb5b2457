//! A run whose changes are recorded in its Lease, and undone at its end.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::change::{Making, Mark};
use super::held::HeldLease;
use super::undoing::Waiting;
use super::{Change, ExitHook, LeftBehind, Recorded, RunError};
use crate::cluster::Cluster;
use crate::report::{Leftover, Reporter};

/// One execution of a plugin that changes something in the cluster.
pub struct Run<C> {
    pub(super) cluster: Cluster,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) mark: Mark,
    /// With every change not undone yet.
    pub(super) lease: Arc<HeldLease<Changes<C>>>,
    /// The same changes, to be shown without waiting.
    pub(super) pending: Mutex<Vec<C>>,
    pub(super) making: Making,
    /// What undoing one of them waits for.
    pub(super) waiting: Waiting,
    pub(super) ended: tokio::sync::Mutex<Option<Result<(), LeftBehind>>>,
}

/// What the Lease of a run keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Changes<C> {
    /// In the order they were made.
    pub(super) changes: Vec<C>,
}

impl<C: Change> Run<C> {
    /// Its name, which is also its Lease's and the value of [`RUN_LABEL`](super::RUN_LABEL).
    pub fn run_name(&self) -> &str {
        &self.mark.run
    }

    /// A name for an object of this run: unique, an RFC 1123 label. The same `suffix` gives the same name.
    pub fn name(&self, suffix: &str) -> String {
        self.mark.name(suffix)
    }

    /// Stores in the Lease that `change` is about to be made. Make it with what this returns.
    pub async fn record(&self, change: C) -> Result<Recorded, RunError> {
        let recorded = change.clone();
        self.lease
            .update(|data| data.changes.push(recorded))
            .await?;
        self.pending().push(change);
        Ok(Recorded {
            mark: self.mark.clone(),
            making: Arc::clone(&self.making),
        })
    }

    /// Takes `change` off the record: it stays when the run ends. For what was made to outlive the command.
    pub async fn keep(&self, change: &C) -> Result<(), RunError>
    where
        C: PartialEq,
    {
        self.lease
            .update(|data| data.changes.retain(|one| one != change))
            .await?;
        self.pending().retain(|one| one != change);
        Ok(())
    }

    /// Does `work`, and ends it with [`RunError::Lost`] as soon as the run is found to be lost.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, RunError> {
        self.lease.guard(work).await
    }

    pub(super) fn pending(&self) -> std::sync::MutexGuard<'_, Vec<C>> {
        // Each change of the list is one step: it is whole whatever panicked.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Change> ExitHook for Run<C> {
    fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
        Box::pin(self.finish())
    }

    fn left(&self) -> Option<LeftBehind> {
        let given_up = |change: &C| match self.waiting.of(&change.describe()) {
            Some(on) => self.leftover(change, &format!("not undone yet: waiting {on}")),
            None => self.leftover(change, "not undone yet"),
        };
        let leftovers: Vec<Leftover> = self.pending().iter().rev().map(given_up).collect();
        (!leftovers.is_empty()).then(|| self.left_behind(leftovers))
    }
}

impl<C> fmt::Debug for Run<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.mark.run)
            .finish_non_exhaustive()
    }
}
