//! Runs that others began, or that this machine began and did not live to end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;

use super::clock::ServerClock;
use super::lease::StoredLease;
use super::recorded_run::Changes;
use super::{Change, ExitHooks, Holder, MANAGED_BY_LABEL, Run, RunError, VALID_FOR, managed_by};
use crate::cluster::Cluster;
use crate::report::Reporter;

/// A run found in the cluster.
#[derive(Debug)]
pub struct Found<C> {
    /// Its name.
    pub name: String,
    /// Whose it is; `None` where its holder ended without being able to undo everything.
    pub holder: Option<Holder>,
    /// When it began, by the API server's clock.
    pub started: Timestamp,
    /// What it was begun for.
    pub purpose: String,
    /// What it changed and has not undone, in the order it was done.
    pub changes: Vec<C>,
    /// Whether its holder still lives.
    pub state: RunState,
    plugin: &'static str,
    stored: StoredLease<Changes<C>>,
}

/// Whether the holder of a run lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It shows signs of life, and its run must be left alone.
    Alive {
        /// When it last did, by the API server's clock.
        renewed: Timestamp,
    },
    /// It has ended, and its changes are to be undone.
    Dead,
}

impl<C: Change> Run<C> {
    /// The runs of `plugin` in this namespace, this process's own left out, the oldest first. A run whose record cannot
    /// be read is an error in its place.
    pub async fn others(
        cluster: &Cluster,
        plugin: &'static str,
    ) -> Result<Vec<Result<Found<C>, RunError>>, RunError> {
        let selector = format!("{MANAGED_BY_LABEL}={}", managed_by(plugin));
        let mut leases: Vec<Lease> = cluster
            .list(&selector)
            .await
            .map_err(RunError::cluster("look for other runs"))?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let now = ServerClock::read(cluster)
            .await
            .map_err(RunError::cluster("look for other runs"))?
            .now();
        leases.sort_by_key(|lease| lease.creation_timestamp().map(|time| time.0));
        let this_process = Holder::this_process();
        Ok(leases
            .into_iter()
            .map(|lease| Found::from_lease(lease, plugin, now))
            .filter(
                |found| !matches!(found, Ok(found) if found.holder.as_ref() == Some(&this_process)),
            )
            .collect())
    }
}

impl<C: Change> Found<C> {
    fn from_lease(object: Lease, plugin: &'static str, now: Timestamp) -> Result<Self, RunError> {
        let stored = StoredLease::<Changes<C>>::read(object)?;
        let lease = stored.lease.clone();
        Ok(Self {
            name: stored.name(),
            state: judge(lease.holder.as_ref(), lease.renewed, now),
            holder: lease.holder,
            started: lease.started,
            purpose: lease.purpose,
            changes: lease.data.changes,
            plugin,
            stored,
        })
    }

    /// Makes a dead run this process's own, so that [`Run::finish`] undoes its changes; `main` sees to it that it is
    /// called. Refused where the run lives, also when it turns out to only now.
    pub async fn take_over(
        self,
        exit_hooks: &ExitHooks,
        reporter: &Arc<dyn Reporter>,
        cluster: &Cluster,
    ) -> Result<Arc<Run<C>>, RunError> {
        if let RunState::Alive { .. } = self.state {
            return Err(RunError::owned(self.name, self.holder.as_ref()));
        }
        let run = Run::adopt(cluster, reporter, self.plugin, &self.stored).await?;
        exit_hooks.add(Arc::clone(&run) as Arc<_>);
        Ok(run)
    }
}

/// Whether the holder of a Lease that was `renewed` then lives `now`.
pub(super) fn judge(holder: Option<&Holder>, renewed: Timestamp, now: Timestamp) -> RunState {
    let unrenewed = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
    let dead = match holder.map(Holder::exists) {
        // Given up.
        None => true,
        // A process that sleeps or has no network does not renew, and exists.
        Some(Some(exists)) => !exists,
        Some(None) => unrenewed > VALID_FOR,
    };
    if dead {
        RunState::Dead
    } else {
        RunState::Alive { renewed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_holder_that_is_gone_or_silent_is_dead() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let ago = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
        let dead = |holder: Option<Holder>, renewed| {
            judge(holder.as_ref(), renewed, now) == RunState::Dead
        };
        assert!(dead(None, now), "given up");
        assert!(dead(Some(Holder::dead_here()), now), "ended here just now");
        assert!(!dead(Some(Holder::this_process()), ago(3600)), "asleep");
        assert!(!dead(Some(Holder::elsewhere()), ago(59)), "late");
        assert!(dead(Some(Holder::elsewhere()), ago(61)), "silent");
        assert!(!dead(Some(Holder::elsewhere()), ago(-30)), "ahead of time");
    }
}
