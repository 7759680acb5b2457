//! Beginning a run in such a way that an interruption leaves no Lease behind.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::change::Mark;
use super::clock::ServerClock;
use super::held::HeldLease;
use super::lease::{LeaseRecord, StoredLease};
use super::recorded_run::Changes;
use super::undo::lease_leftover;
use super::undoing::Waiting;
use super::{
    Change, ExitHook, ExitHooks, Holder, LeftBehind, RENEW_WITHIN, Run, RunError, new_run_id,
    run_labels,
};
use crate::cluster::Cluster;
use crate::report::{Reporter, causes_text};

/// A run whose Lease is being created, by a task of its own: a command that is interrupted meanwhile waits for the
/// answer, and then deletes what was created.
struct Beginning<C> {
    cluster: Cluster,
    plugin: &'static str,
    name: String,
    /// `None` once the answer was taken.
    creating: Mutex<Option<Creating<C>>>,
}

type Creating<C> = JoinHandle<Result<StoredLease<Changes<C>>, RunError>>;

impl<C: Change> Run<C> {
    /// Begins a run of `plugin` (`wa-pvc`): creates its Lease, keeps it renewed, and has `main` undo its changes when
    /// the command ends, as one of its `exit_hooks`. `purpose` is shown to others who find the run.
    pub async fn begin(
        exit_hooks: &ExitHooks,
        reporter: &Arc<dyn Reporter>,
        cluster: &Cluster,
        plugin: &'static str,
        purpose: String,
    ) -> Result<Arc<Self>, RunError> {
        let name = new_run_id(plugin);
        let clock = ServerClock::read(cluster)
            .await
            .map_err(RunError::cluster("begin a run"))?;
        let creating = {
            let (cluster, name) = (cluster.clone(), name.clone());
            let none = Changes {
                changes: Vec::new(),
            };
            let lease = LeaseRecord::new(Holder::this_process(), purpose, clock.now(), none);
            let labels = run_labels(plugin, &name);
            tokio::spawn(async move { lease.create(&cluster, &name, labels).await })
        };
        let beginning = Arc::new(Beginning {
            cluster: cluster.clone(),
            plugin,
            name,
            creating: Mutex::new(Some(creating)),
        });
        exit_hooks.add(Arc::clone(&beginning) as Arc<dyn ExitHook>);
        let stored = beginning.created().await?;
        // Nothing is awaited between here and the registration, which an interruption could come between.
        let run = Self::hold(cluster, reporter, clock, plugin, stored);
        exit_hooks.add(Arc::clone(&run) as Arc<dyn ExitHook>);
        Ok(run)
    }

    /// Goes on with a dead run, to undo it.
    pub(super) async fn adopt(
        cluster: &Cluster,
        reporter: &Arc<dyn Reporter>,
        plugin: &'static str,
        found: &StoredLease<Changes<C>>,
    ) -> Result<Arc<Self>, RunError> {
        let clock = ServerClock::read(cluster)
            .await
            .map_err(RunError::cluster("take over a run"))?;
        let next = found.lease.taken_over(Holder::this_process(), clock.now());
        let stored = found
            .take_over(&cluster.with_deadline(RENEW_WITHIN), next)
            .await?;
        Ok(Self::hold(cluster, reporter, clock, plugin, stored))
    }

    /// Keeps the Lease renewed as long as the run lives.
    fn hold(
        cluster: &Cluster,
        reporter: &Arc<dyn Reporter>,
        clock: ServerClock,
        plugin: &'static str,
        stored: StoredLease<Changes<C>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster: cluster.clone(),
            reporter: Arc::clone(reporter),
            mark: Mark {
                plugin,
                run: stored.name(),
                owner: Some(stored.owner_reference()),
            },
            pending: std::sync::Mutex::new(stored.lease.data.changes.clone()),
            lease: HeldLease::hold(cluster, clock, stored),
            making: Arc::default(),
            waiting: Waiting::default(),
            ended: Mutex::new(None),
        })
    }
}

impl<C: Change> Beginning<C> {
    /// Waits for the Lease. Safe to drop: the task goes on, and can be waited for again.
    async fn created(&self) -> Result<StoredLease<Changes<C>>, RunError> {
        let mut creating = self.creating.lock().await;
        let answer = match creating.as_mut() {
            Some(task) => task.await.map_err(|error| error.to_string()),
            None => Err("it was created before".to_owned()),
        };
        *creating = None;
        answer.unwrap_or_else(|why| {
            Err(RunError::Broken {
                run: self.name.clone(),
                why,
            })
        })
    }

    fn left_behind(&self, why: &str) -> LeftBehind {
        let namespace = self.cluster.namespace();
        let lease = lease_leftover(&self.name, namespace, why);
        LeftBehind::to_clean_up(&C::clean_up(self.plugin), namespace, vec![lease])
    }
}

impl<C: Change> ExitHook for Beginning<C> {
    fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
        Box::pin(async {
            if self.creating.lock().await.is_none() {
                return Ok(());
            }
            match self.created().await {
                Ok(stored) => stored
                    .delete(&self.cluster)
                    .await
                    .map_err(|error| self.left_behind(&causes_text(&error))),
                // Nobody waits for the run any more.
                Err(_) => Ok(()),
            }
        })
    }

    fn left(&self) -> Option<LeftBehind> {
        let settled = self
            .creating
            .try_lock()
            .is_ok_and(|creating| creating.is_none());
        (!settled).then(|| self.left_behind("it may have been created"))
    }
}
