//! What survives the death of the process: changes that are recorded before they are made, so that none is left behind.
//!
//! | | [`Run`] | [`journal::JournaledRun`] |
//! |---|---|---|
//! | for | helpers that are removed at the end: `wa-pvc` | procedures of many steps that can be resumed: `wa-restore`, `wa-retrain` |
//! | lock | a Lease of random name: runs stand side by side | Leases of fixed name: one at a time |
//! | record | in that Lease, deleted with it | a ConfigMap, the journal, which stays |
//! | at the end | undone | undone, released to be resumed, or committed |
//!
//! Both hold Leases in the same way: a holder that is a process with a start time, renewals with a deadline of their
//! own, time by the API server's clock, and takeovers guarded by the resourceVersion that count up `leaseTransitions`.
//! A holder that was only asleep thereby learns that it has lost the Lease before it changes anything else.
//!
//! A [`Run`] is one execution of a plugin. It keeps the [`Change`]s it is about to make as JSON in an annotation of its
//! Lease. Objects can only be created with a [`Recorded`] change, which exists once the API server has stored the
//! record; they carry the run's label and are owned by its Lease. When the command ends, in whatever way, `main` undoes
//! the changes in reverse order and deletes the Lease. When the process was killed, a later run finds the Lease
//! ([`Run::others`]), sees that its holder is dead, takes it over and undoes the same changes. An object that the dead
//! one had just been creating is collected by the cluster, because its owner is gone.

mod begin;
mod change;
mod cleanup;
mod clock;
mod error;
mod exit_hooks;
mod found;
mod held;
mod holder;
pub mod journal;
mod lease;
mod objects;
mod permissions;
mod recorded_run;
mod retry;
mod swap;
mod undo;
mod undoing;

#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use change::{Change, Recorded};
pub use cleanup::{CleanUp, Cleaned, CleanedRun, CleanupOutcome};
pub use clock::ServerClock;
pub use error::{LeftBehind, Loss, RunError};
pub use exit_hooks::{ExitHook, ExitHookEnd, ExitHooks};
pub use found::{Found, RunState};
pub use holder::Holder;
pub use objects::DeletionError;
pub use permissions::{to_journal, to_lock, to_record, to_see_a_journal, to_take_over};
pub use recorded_run::Run;
pub use undoing::Undoing;

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

/// What can be kept in the cluster as JSON.
pub trait Data: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}

impl<D: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> Data for D {}

fn managed_by(plugin: &str) -> String {
    format!("kubectl-{plugin}")
}

/// The labels of what belongs to the run called `run`.
fn run_labels(plugin: &str, run: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED_BY_LABEL.to_owned(), managed_by(plugin)),
        (RUN_LABEL.to_owned(), run.to_owned()),
    ])
}

fn new_run_id(plugin: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{plugin}-{}", &random[..8])
}
