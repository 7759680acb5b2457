//! Locks of fixed name, of which a run may hold several.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use super::super::clock::ServerClock;
use super::super::found::judge;
use super::super::held::HeldLease;
use super::super::lease::{LeaseRecord, StoredLease};
use super::super::retry::RetryBudget;
use super::super::undo::ABSENCE_LIMIT;
use super::super::{Holder, RENEW_WITHIN, RunError, RunState, run_labels};
use super::JournalError;
use super::content::{Header, LockPlace};
use crate::cluster::{Cluster, is_label};
use crate::report::{Event, Reporter, causes_text, printable};

/// How often it is tried to get a lock that others get and let go of meanwhile.
const ATTEMPTS: u32 = 5;

/// Which Lease a lock is.
#[derive(Clone)]
pub struct LockName {
    pub(super) cluster: Cluster,
    pub(super) name: String,
}

impl LockName {
    /// The lock of what stops, or relies on, a Deployment in the namespace of `cluster`.
    pub fn for_deployment(cluster: &Cluster, deployment: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            name: format!("kubectl-wa-{deployment}"),
        }
    }

    pub(super) fn place(&self) -> LockPlace {
        LockPlace {
            namespace: self.cluster.namespace().to_owned(),
            name: self.name.clone(),
        }
    }
}

impl LockPlace {
    pub(super) fn is_valid(&self) -> bool {
        is_label(&self.namespace) && self.name.len() <= 253 && self.name.split('.').all(is_label)
    }
}

/// What the Lease of a lock keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LockData {
    /// The run that it is held for.
    pub(super) run: String,
    /// That run's journal, a ConfigMap.
    pub(super) journal: LockPlace,
}

/// Who wants a lock, and for what.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) plugin: &'static str,
    pub(super) holder: Holder,
    pub(super) command: String,
    pub(super) clock: ServerClock,
    pub(super) data: LockData,
}

/// A lock that this process holds.
#[derive(Clone)]
pub(super) struct Lock {
    pub(super) lease: Arc<HeldLease<LockData>>,
}

impl Lock {
    /// Gets a lock: a new one, one that was left by the same run, or by one that is over. Refused where its holder
    /// lives, and where its run has stopped and is not over.
    pub(super) async fn acquire(lock: &LockName, claim: &Claim) -> Result<Self, JournalError> {
        let cluster = lock.cluster.with_deadline(RENEW_WITHIN);
        for _ in 0..ATTEMPTS {
            let what = format!("read lease {}", lock.name);
            let found: Option<Lease> = cluster
                .find(&lock.name)
                .await
                .map_err(RunError::cluster(what))?;
            let stored = match found {
                None => claim.create(&cluster, &lock.name).await,
                Some(lease) => claim.take_over(&cluster, lease).await?,
            };
            match stored {
                Ok(stored) => {
                    let lease = HeldLease::hold(&lock.cluster, claim.clock, stored);
                    return Ok(Self { lease });
                }
                // Somebody was faster: look who.
                Err(RunError::Owned { .. } | RunError::Lost { .. }) => {}
                Err(RunError::Cluster { source, .. }) if source.code() == Some(409) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(JournalError::Run(RunError::Contended {
            run: lock.name.clone(),
        }))
    }
}

impl Lock {
    /// Gives the lock up: it stays, and says of which run it is. Where that fails, it runs out.
    pub(super) async fn release(&self, reporter: &dyn Reporter) {
        let mut budget = RetryBudget::new(reporter, ABSENCE_LIMIT, "to release a lock");
        let released = budget.with(|| self.lease.release()).await;
        self.tell(released, reporter);
    }

    /// Deletes the lock of a run that is over. Where that fails, it runs out, and anybody may take it.
    pub(super) async fn delete(&self, reporter: &dyn Reporter) {
        let mut budget = RetryBudget::new(reporter, ABSENCE_LIMIT, "to delete a lock");
        let deleted = budget.with(|| self.lease.delete()).await;
        self.tell(deleted, reporter);
    }

    fn tell(&self, outcome: Result<(), RunError>, reporter: &dyn Reporter) {
        match outcome {
            // Whoever has it now needs no word from here.
            Ok(()) | Err(RunError::Lost { .. }) => {}
            Err(error) => reporter.report(&Event::Warning {
                message: format!(
                    "the lock {} runs out by itself, within a minute: {}",
                    self.lease.name(),
                    causes_text(&error)
                ),
            }),
        }
    }
}

impl Claim {
    async fn create(
        &self,
        cluster: &Cluster,
        name: &str,
    ) -> Result<StoredLease<LockData>, RunError> {
        let (holder, command) = (self.holder.clone(), self.command.clone());
        let lease = LeaseRecord::new(holder, command, self.clock.now(), self.data.clone());
        let labels = run_labels(self.plugin, &self.data.run);
        lease.create(cluster, name, labels).await
    }

    /// The outer error is final.
    async fn take_over(
        &self,
        cluster: &Cluster,
        lease: Lease,
    ) -> Result<Result<StoredLease<LockData>, RunError>, JournalError> {
        let stored = read(lease)?;
        let now = self.clock.now();
        let record = &stored.lease;
        if let RunState::Alive { .. } = judge(record.holder.as_ref(), record.renewed, now) {
            return Err(held(cluster, &stored));
        }
        if record.data.run != self.data.run {
            require_over(cluster, &stored).await?;
        }
        let next = LeaseRecord {
            purpose: self.command.clone(),
            started: now,
            data: self.data.clone(),
            ..record.taken_over(self.holder.clone(), now)
        };
        Ok(stored.take_over(cluster, next).await)
    }
}

/// Reads the Lease of a lock, which anybody may have written.
pub(super) fn read(lease: Lease) -> Result<StoredLease<LockData>, JournalError> {
    if !StoredLease::<LockData>::is_ours(&lease) {
        let name = lease.metadata.name.unwrap_or_default();
        return Err(JournalError::NotOurs {
            what: format!("lease {name}"),
            why: "it does not say of which run it is".to_owned(),
        });
    }
    Ok(StoredLease::read(lease)?)
}

/// Who holds a lock.
pub(super) fn held(cluster: &Cluster, stored: &StoredLease<LockData>) -> JournalError {
    let holder = stored.lease.holder.as_ref();
    JournalError::Held {
        lock: stored.name(),
        namespace: cluster.namespace().to_owned(),
        holder: holder.map(ToString::to_string).unwrap_or_default(),
        since: stored.lease.started,
        command: stored.lease.purpose.clone(),
    }
}

/// Refuses where the run that held a lock is not over, or where that cannot be known.
async fn require_over(
    cluster: &Cluster,
    stored: &StoredLease<LockData>,
) -> Result<(), JournalError> {
    let LockData { run, journal } = &stored.lease.data;
    if !journal.is_valid() {
        return Err(JournalError::NotOurs {
            what: format!("lease {}", stored.name()),
            why: "the journal that it names cannot be one".to_owned(),
        });
    }
    let unfinished = |advice: String| JournalError::Unfinished {
        run: run.clone(),
        journal: journal.name.clone(),
        namespace: journal.namespace.clone(),
        command: stored.lease.purpose.clone(),
        advice,
    };
    let cluster = cluster.in_namespace(&*journal.namespace);
    let found: Option<ConfigMap> = match cluster.find(&journal.name).await {
        Err(error) if error.code() == Some(403) => {
            return Err(unfinished(format!(
                "whether it is over cannot be seen: {}",
                printable(&error.to_string())
            )));
        }
        found => found.map_err(RunError::cluster(format!(
            "read configmap {}",
            journal.name
        )))?,
    };
    let header = found.as_ref().and_then(Header::from_config_map);
    // Without a journal it has changed nothing.
    if header.is_none_or(|header| header.run != *run || header.is_over) {
        return Ok(());
    }
    let plugin = run.rsplit_once('-').map_or("", |(plugin, _)| plugin);
    Err(unfinished(if is_label(plugin) {
        format!(
            "`kubectl {plugin} status -n {}` says how to go on with it",
            journal.namespace
        )
    } else {
        "look at that journal".to_owned()
    }))
}
