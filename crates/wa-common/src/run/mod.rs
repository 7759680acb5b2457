//! Changes that are recorded before they are made, so that none is left behind.
//!
//! A [`Run`] is one execution of a plugin that changes something in the cluster. It holds a Lease in the namespace, with
//! the [`Change`]s it is about to make as JSON in an annotation. Objects can only be created with a [`Recorded`] change,
//! which exists once the API server has stored the record; they carry the run's label and are owned by its Lease. When
//! the command ends, in whatever way, `main` undoes the changes in reverse order and deletes the Lease. When the process
//! was killed, a later run finds the Lease ([`Run::others`]), sees that its holder is dead and undoes the same changes.
//!
//! Whoever undoes a run's changes first takes over its Lease, guarded by the resourceVersion. A holder that was only
//! asleep thereby learns that it has lost the run ([`Run::guard`]) before it changes anything else; an object that it
//! had just been creating is collected by the cluster, because its owner is gone.

mod begin;
mod clock;
mod error;
mod exit_hooks;
mod found;
mod holder;
mod lease;
mod objects;
mod undo;
mod undoing;

#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

pub use error::{LeftBehind, Loss, RunError};
pub use exit_hooks::{ExitHook, ExitHooks};
pub use found::{Found, RunState};
pub use holder::Holder;
pub use objects::DeletionError;
pub use undoing::Undoing;

use crate::cluster::{Cluster, ClusterError, Permission};
use crate::report::{Leftover, Reporter};
use clock::ServerClock;
use lease::{RunLease, StoredLease};
use undoing::Waiting;

/// The label that every object of a run carries; its value is the run's name.
pub const RUN_LABEL: &str = "kubectl-wa/run";
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// How often a living run renews its Lease.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long a Lease that is not renewed stands for a living run.
const VALID_FOR: Duration = Duration::from_mins(1);
/// How long one renewal may take, and one request for a Lease at all: `--request-timeout` may be longer than a Lease is
/// valid, or shorter than a busy API server needs. Two that fail leave time for a third.
const RENEW_WITHIN: Duration = Duration::from_secs(15);
/// How soon a renewal that failed is tried again.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often a change that is not recorded in time is sent: no longer in all than the Lease is valid.
const RECORD_ATTEMPTS: u32 = 3;
/// The longest DNS-1123 label.
const NAME_LIMIT: usize = 63;

/// One kind of change that a plugin makes in the cluster; data, so that a later run can undo it.
pub trait Change: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// What is changed, for a person: `pod wa-pvc-3f9a1c07-helper`.
    fn describe(&self) -> String;

    /// Undoes the change and waits until it is undone. Succeeds where there is nothing left to undo, or never was.
    fn undo(&self, undoing: Undoing<'_>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// How long one attempt of [`Change::undo`] may take: a node needs most of it to unmount and detach a volume.
    fn undone_within(&self) -> Duration {
        Duration::from_mins(2)
    }

    /// The commands with which a person undoes it for the run called `run` in `namespace`, should [`Change::undo`] fail.
    /// They are copied into a shell: nothing that others could have put into the record may come with them unchecked.
    fn manual_commands(&self, namespace: &str, run: &str) -> String;
}

/// A change that the API server knows of before it is made.
#[derive(Debug, Clone)]
pub struct Recorded {
    mark: Mark,
    making: Making,
}

/// Held for reading while a change is made; who undoes waits for that.
type Making = Arc<tokio::sync::RwLock<()>>;

/// What ties an object to its run.
#[derive(Debug, Clone)]
struct Mark {
    plugin: &'static str,
    run: String,
    owner: OwnerReference,
}

impl Recorded {
    /// Makes the change: does `work` to its end though the command is interrupted in the middle of it. Only then is the
    /// change undone, which otherwise might find nothing to undo yet.
    pub async fn make<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let making = Arc::clone(&self.making).read_owned().await;
        let made = tokio::spawn(async move {
            let _making = making;
            work.await
        });
        match made.await {
            Ok(made) => made,
            Err(broken) => match broken.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process is ending.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Labels an object as the run's, and makes the run's Lease its owner.
    fn mark(&self, metadata: &mut ObjectMeta) {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(RUN_LABEL.to_owned(), self.mark.run.clone());
        labels.insert(MANAGED_BY_LABEL.to_owned(), managed_by(self.mark.plugin));
        metadata.owner_references = Some(vec![self.mark.owner.clone()]);
    }
}

/// One execution of a plugin that changes something in the cluster.
pub struct Run<C> {
    cluster: Cluster,
    /// The same with the deadline of requests for a Lease.
    leases: Cluster,
    reporter: Arc<dyn Reporter>,
    clock: ServerClock,
    mark: Mark,
    /// The Lease as it was last stored, with every change not undone yet; held while a request changes it.
    lease: tokio::sync::Mutex<StoredLease<C>>,
    /// The same changes, to be told without waiting.
    pending: Mutex<Vec<C>>,
    making: Making,
    /// What undoing one of them waits for.
    waiting: Waiting,
    lost: watch::Sender<Option<Loss>>,
    ended: tokio::sync::Mutex<Option<Result<(), LeftBehind>>>,
    renewing: AbortHandle,
}

impl<C: Change> Run<C> {
    /// What a user must be allowed to do for a run to begin and end.
    pub fn permissions() -> Vec<Permission> {
        ["create", "get", "list", "update", "delete"]
            .map(|verb| Permission::new(verb, "coordination.k8s.io", "leases"))
            .into()
    }

    /// Its name, which is also its Lease's and the value of [`RUN_LABEL`].
    pub fn run_name(&self) -> &str {
        &self.mark.run
    }

    /// A name for an object of this run: unique, an RFC 1123 label. The same `suffix` gives the same name.
    pub fn name(&self, suffix: &str) -> String {
        let mut name = format!("{}-{suffix}", self.mark.run).to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        name = name.replace(|c: char| !allowed(c), "-");
        name.truncate(NAME_LIMIT);
        name.truncate(name.trim_end_matches('-').len());
        name
    }

    /// Stores in the Lease that `change` is about to be made. Make it with what this returns.
    pub async fn record(&self, change: C) -> Result<Recorded, RunError> {
        let mut stored = self.lease.lock().await;
        self.require_held()?;
        let mut next = stored.lease.clone();
        next.changes.push(change.clone());
        let updated = self.store(&stored, next).await;
        self.note_loss(&updated);
        *stored = updated?;
        self.pending().push(change);
        Ok(Recorded {
            mark: self.mark.clone(),
            making: Arc::clone(&self.making),
        })
    }

    /// Stores `next`, also where the API server is slow. Sent again, it is not stored twice.
    async fn store(
        &self,
        stored: &StoredLease<C>,
        next: RunLease<C>,
    ) -> Result<StoredLease<C>, RunError> {
        let mut attempt = 1;
        loop {
            let next = RunLease {
                renewed: self.clock.now(),
                ..next.clone()
            };
            match stored.update(&self.leases, next).await {
                Err(RunError::Cluster {
                    source: ClusterError::TimedOut { .. },
                    ..
                }) if attempt < RECORD_ATTEMPTS => attempt += 1,
                updated => return updated,
            }
        }
    }

    /// Does `work`, and ends it with [`RunError::Lost`] as soon as the run is found to be lost.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, RunError> {
        let mut watched = self.lost.subscribe();
        let loss = async {
            match watched.wait_for(Option::is_some).await {
                Ok(found) => found.clone(),
                // The sender lives as long as `self`.
                Err(_) => None,
            }
        };
        tokio::select! {
            done = work => Ok(done),
            Some(loss) = loss => Err(self.lost(loss)),
        }
    }

    fn require_held(&self) -> Result<(), RunError> {
        match &*self.lost.borrow() {
            Some(loss) => Err(self.lost(loss.clone())),
            None => Ok(()),
        }
    }

    fn lost(&self, loss: Loss) -> RunError {
        RunError::Lost {
            run: self.mark.run.clone(),
            loss,
        }
    }

    fn note_loss<T>(&self, outcome: &Result<T, RunError>) {
        if let Err(RunError::Lost { loss, .. }) = outcome {
            self.lost.send_replace(Some(loss.clone()));
        }
    }

    /// Renews the Lease until the run is dropped, or its end stops that.
    async fn keep_renewed(run: Weak<Self>) {
        let mut pause = RENEW_EVERY;
        loop {
            sleep(pause).await;
            let Some(run) = run.upgrade() else { return };
            pause = if run.renew().await {
                RENEW_EVERY
            } else {
                RENEW_AGAIN_AFTER
            };
        }
    }

    /// Shows that this run lives, and says whether that is known now. What failed is left to the next time.
    async fn renew(&self) -> bool {
        let mut stored = self.lease.lock().await;
        if self.lost.borrow().is_some() {
            return true;
        }
        let mut next = stored.lease.clone();
        next.renewed = self.clock.now();
        let renewal = stored.update(&self.leases, next);
        let Ok(renewed) = timeout(RENEW_WITHIN, renewal).await else {
            tracing::info!("run {} is not renewed in time", self.mark.run);
            return false;
        };
        self.note_loss(&renewed);
        match renewed {
            Ok(renewed) => *stored = renewed,
            Err(error) => {
                tracing::info!("run {} is not renewed: {error}", self.mark.run);
                return false;
            }
        }
        true
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Vec<C>> {
        // Each change of the list is one step: it is whole whatever panicked.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Drop for Run<C> {
    fn drop(&mut self) {
        self.renewing.abort();
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

fn managed_by(plugin: &str) -> String {
    format!("kubectl-{plugin}")
}

fn new_name(plugin: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{plugin}-{}", &random[..8])
}
