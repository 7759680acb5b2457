//! A Lease that this process holds: kept renewed, and known to be lost as soon as it is.

use std::future::Future;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::clock::ServerClock;
use super::lease::{LeaseRecord, StoredLease};
use super::{Data, Loss, RECORD_ATTEMPTS, RENEW_AGAIN_AFTER, RENEW_EVERY, RENEW_WITHIN, RunError};
use crate::cluster::{Cluster, ClusterError};
use crate::report::causes_text;

/// A held Lease, renewed by a task of its own until this is dropped.
pub(super) struct HeldLease<D> {
    /// With the deadline of requests for a Lease.
    cluster: Cluster,
    clock: ServerClock,
    name: String,
    /// As it was last stored; held while a request changes it.
    stored: Mutex<StoredLease<D>>,
    lost: watch::Sender<Option<Loss>>,
    renewing: AbortHandle,
}

impl<D: Data> HeldLease<D> {
    /// Keeps a Lease renewed that this process has made or taken over.
    pub(super) fn hold(cluster: &Cluster, clock: ServerClock, stored: StoredLease<D>) -> Arc<Self> {
        Arc::new_cyclic(|lease: &Weak<Self>| {
            let renewing = tokio::spawn(Self::keep_renewed(lease.clone()));
            Self {
                cluster: cluster.with_deadline(RENEW_WITHIN),
                clock,
                name: stored.name(),
                stored: Mutex::new(stored),
                lost: watch::Sender::new(None),
                renewing: renewing.abort_handle(),
            }
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cluster with the deadline of requests for a Lease.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        self.lost.borrow().clone()
    }

    /// No renewal is begun any more. One that is under way lets go of the Lease at once.
    pub(super) fn stop_renewing(&self) {
        self.renewing.abort();
    }

    /// The Lease as it was last stored. Nothing else changes it meanwhile.
    pub(super) async fn stored(&self) -> MutexGuard<'_, StoredLease<D>> {
        self.stored.lock().await
    }

    /// Stores what `change` makes of the data, and shows with that that the holder lives. Proves that the Lease is still
    /// this holder's: else it is not stored.
    pub(super) async fn update(&self, change: impl FnOnce(&mut D)) -> Result<(), RunError> {
        let mut stored = self.stored.lock().await;
        self.require_held()?;
        let mut next = stored.lease.clone();
        change(&mut next.data);
        let updated = self.store(&stored, next).await;
        self.note_loss(&updated);
        *stored = updated?;
        Ok(())
    }

    /// Proves that the Lease is still this holder's, by renewing it: nobody can take it over before it runs out. Returns
    /// when that was, by the API server's clock.
    pub(super) async fn confirm(&self) -> Result<Timestamp, RunError> {
        self.update(|_| ()).await?;
        Ok(self.stored.lock().await.lease.renewed)
    }

    /// Stores `next`, also where the API server is slow. Sent again, it is not stored twice.
    async fn store(
        &self,
        stored: &StoredLease<D>,
        next: LeaseRecord<D>,
    ) -> Result<StoredLease<D>, RunError> {
        let mut attempt = 1;
        loop {
            let next = LeaseRecord {
                renewed: self.clock.now(),
                ..next.clone()
            };
            match stored.update(&self.cluster, next).await {
                Err(RunError::Cluster {
                    source: ClusterError::TimedOut { .. },
                    ..
                }) if attempt < RECORD_ATTEMPTS => attempt += 1,
                updated => return updated,
            }
        }
    }

    /// Does `work`, and ends it with [`RunError::Lost`] as soon as the Lease is found to be lost.
    pub(super) async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, RunError> {
        tokio::select! {
            done = work => Ok(done),
            loss = self.until_lost() => Err(self.lost(loss)),
        }
    }

    /// Gives the Lease up: it stays, and says what it was held for.
    pub(super) async fn release(&self) -> Result<(), RunError> {
        self.stop_renewing();
        let mut stored = self.stored.lock().await;
        let mut next = stored.lease.clone();
        next.holder = None;
        let released = stored.update(&self.cluster, next).await;
        self.note_loss(&released);
        *stored = released?;
        Ok(())
    }

    /// Deletes the Lease.
    pub(super) async fn delete(&self) -> Result<(), RunError> {
        self.stop_renewing();
        self.stored.lock().await.delete(&self.cluster).await
    }

    /// Waits until the Lease is lost.
    pub(super) async fn until_lost(&self) -> Loss {
        let mut watched = self.lost.subscribe();
        loop {
            if let Some(loss) = &*watched.borrow_and_update() {
                return loss.clone();
            }
            if watched.changed().await.is_err() {
                // The sender lives as long as `self`.
                return std::future::pending().await;
            }
        }
    }

    fn require_held(&self) -> Result<(), RunError> {
        match self.loss() {
            Some(loss) => Err(self.lost(loss)),
            None => Ok(()),
        }
    }

    fn lost(&self, loss: Loss) -> RunError {
        RunError::Lost {
            run: self.name.clone(),
            loss,
        }
    }

    fn note_loss<T>(&self, outcome: &Result<T, RunError>) {
        if let Err(RunError::Lost { loss, .. }) = outcome {
            self.lost.send_replace(Some(loss.clone()));
        }
    }

    async fn keep_renewed(lease: Weak<Self>) {
        let mut pause = RENEW_EVERY;
        loop {
            sleep(pause).await;
            let Some(lease) = lease.upgrade() else { return };
            pause = if lease.renew().await {
                RENEW_EVERY
            } else {
                RENEW_AGAIN_AFTER
            };
        }
    }

    /// Shows that the holder lives, and says whether that is known now. What failed is left to the next time.
    pub(super) async fn renew(&self) -> bool {
        let mut stored = self.stored.lock().await;
        if self.lost.borrow().is_some() {
            return true;
        }
        let mut next = stored.lease.clone();
        next.renewed = self.clock.now();
        let renewal = stored.update(&self.cluster, next);
        let Ok(renewed) = timeout(RENEW_WITHIN, renewal).await else {
            tracing::info!("lease {} is not renewed in time", self.name);
            return false;
        };
        self.note_loss(&renewed);
        match renewed {
            Ok(renewed) => *stored = renewed,
            Err(error) => {
                tracing::info!(
                    "lease {} is not renewed: {}",
                    self.name,
                    causes_text(&error)
                );
                return false;
            }
        }
        true
    }
}

impl<D> Drop for HeldLease<D> {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
