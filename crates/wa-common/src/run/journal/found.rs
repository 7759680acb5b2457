//! A run as it is found: read only, without a lock, from any machine.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

use super::super::clock::ServerClock;
use super::super::found::judge;
use super::super::lease::StoredLease;
use super::super::{RunError, RunState};
use super::content::{Content, RunProgress};
use super::lock::{self, LockData};
use super::stored::StoredJournal;
use super::{JournalError, JournaledRun, Procedure, StepRecord};
use crate::cluster::Cluster;

/// A run whose journal was found.
pub struct FoundRun<P: Procedure> {
    pub(super) journal: String,
    pub(super) content: Content<P>,
    pub(super) state: FoundState,
    /// Of its holder, where one lives.
    pub(super) held: Option<(Cluster, StoredLease<LockData>)>,
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundState {
    /// Its process lives.
    Running {
        /// Who: user, host and process.
        holder: String,
        /// Since when, by the API server's clock.
        since: Timestamp,
        /// When it last showed a sign of life.
        renewed: Timestamp,
    },
    /// Its process has ended or died before all steps were done.
    Stopped,
    /// All steps are done.
    Done,
    /// All steps are undone.
    Undone,
}

impl<P: Procedure> JournaledRun<P> {
    /// The last run on `instance`, whoever began it; `None` where there was none.
    pub async fn find(
        cluster: &Cluster,
        instance: &str,
    ) -> Result<Option<FoundRun<P>>, JournalError> {
        FoundRun::read(cluster, &Self::journal_name(instance)).await
    }
}

impl<P: Procedure> FoundRun<P> {
    /// The run whose journal is called `name`.
    pub(super) async fn read(cluster: &Cluster, name: &str) -> Result<Option<Self>, JournalError> {
        let Some(journal) = StoredJournal::<P>::read(cluster, name).await? else {
            return Ok(None);
        };
        let content = journal.content;
        let held = match content.progress {
            RunProgress::Open => holder(cluster, name).await?,
            RunProgress::Done | RunProgress::Undone => None,
        };
        let state = match (content.progress, &held) {
            (RunProgress::Done, _) => FoundState::Done,
            (RunProgress::Undone, _) => FoundState::Undone,
            (RunProgress::Open, None) => FoundState::Stopped,
            (RunProgress::Open, Some(held)) => FoundState::Running {
                holder: held
                    .lease
                    .holder
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                since: held.lease.started,
                renewed: held.lease.renewed,
            },
        };
        Ok(Some(FoundRun {
            journal: name.to_owned(),
            content,
            state,
            held: held.map(|held| (cluster.clone(), held)),
        }))
    }
}

/// The lock called `name`, where its holder lives.
async fn holder(
    cluster: &Cluster,
    name: &str,
) -> Result<Option<StoredLease<LockData>>, JournalError> {
    let found: Option<Lease> = cluster
        .find(name)
        .await
        .map_err(RunError::cluster(format!("read lease {name}")))?;
    let Some(lease) = found else {
        return Ok(None);
    };
    let stored = lock::read(lease)?;
    let clock = ServerClock::read(cluster)
        .await
        .map_err(RunError::cluster("look at a run"))?;
    let state = judge(
        stored.lease.holder.as_ref(),
        stored.lease.renewed,
        clock.now(),
    );
    Ok(matches!(state, RunState::Alive { .. }).then_some(stored))
}

impl<P: Procedure> FoundRun<P> {
    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.content.run
    }

    /// Where the run is.
    pub fn state(&self) -> &FoundState {
        &self.state
    }

    /// When it began, by the API server's clock.
    pub fn started(&self) -> Timestamp {
        self.content.holding.started
    }

    /// The command that holds it, or last did.
    pub fn command(&self) -> &str {
        &self.content.holding.command
    }

    /// Who holds it, or last did: user, host and process.
    pub fn holder(&self) -> &str {
        &self.content.holding.writer
    }

    /// What holds for all steps.
    pub fn plan(&self) -> &P::Plan {
        &self.content.plan
    }

    /// The steps, in their order.
    pub fn steps(&self) -> &[StepRecord<P>] {
        &self.content.steps
    }

    /// Refuses where a new run would be begun beside it.
    pub(super) fn require_over(&self, namespace: &str) -> Result<(), JournalError> {
        match (&self.state, &self.held) {
            (FoundState::Done | FoundState::Undone, _) => Ok(()),
            (_, Some((cluster, stored))) => Err(lock::held(cluster, stored)),
            (_, None) => Err(unfinished(&self.journal, namespace, &self.content)),
        }
    }
}

pub(super) fn unfinished<P: Procedure>(
    journal: &str,
    namespace: &str,
    content: &Content<P>,
) -> JournalError {
    JournalError::Unfinished {
        run: content.run.clone(),
        journal: journal.to_owned(),
        namespace: namespace.to_owned(),
        command: content.holding.command.clone(),
        advice: P::advice(&content.plan, namespace),
    }
}
