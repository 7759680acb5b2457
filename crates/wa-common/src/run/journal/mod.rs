//! A procedure of many steps that outlives its process: a lock, a journal, and what happens at the end.
//!
//! | thing | object | what for |
//! |---|---|---|
//! | lock | a Lease of fixed name, `wa-restore-<instance>` | nobody else does the same; its holder is known and shows signs of life |
//! | more locks | [`LockName::for_deployment`], also in another namespace | nobody starts what this run has stopped |
//! | journal | a ConfigMap of the lock's name | the plan, and of every step whether it is planned, started, done with an outcome, being undone, undone |
//!
//! A plugin describes its steps as data ([`Procedure`]). Everything is written down before the first change: the steps
//! with what must be known to undo them, such as replica counts. Each step then goes through three types, which cannot
//! be used in another order: [`PendingStep`] → [`StartedStep`], which exists once the journal says so → done with its
//! outcome. What changes something is given a [`Permit`], which exists once every lock was found to be this run's
//! still, by renewing it: a process that was asleep, and whose run was taken over, changes nothing any more.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use serde::{Deserialize, Serialize};
//! # use wa_common::cli::Context;
//! # use wa_common::cluster::Cluster;
//! use wa_common::run::journal::{
//!     JournaledRun, LockName, NewRun, Next, Permit, Procedure, RunContext, StepRecord, UndoStep, WhenStopped,
//! };
//!
//! /// Restores a database.
//! struct Restore;
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! enum Step {
//!     Stop { deployment: String, replicas: i32 },
//!     Migrate,
//! }
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! enum Outcome {
//!     Stopped,
//!     Migrated { job: String },
//! }
//!
//! impl Procedure for Restore {
//!     const PLUGIN: &'static str = "wa-restore";
//!     const FORMAT_VERSION: u32 = 1;
//!     type Plan = String; // of which backup
//!     type Step = Step;
//!     type Outcome = Outcome;
//!
//!     fn validate(_plan: &String, _steps: &[StepRecord<Self>]) -> Result<(), String> {
//!         Ok(()) // are these names of Deployments?
//!     }
//!     fn describe(step: &Step) -> String {
//!         match step {
//!             Step::Stop { deployment, .. } => format!("stop deployment {deployment}"),
//!             Step::Migrate => "restore the database".to_owned(),
//!         }
//!     }
//!     async fn undo(undo: UndoStep<'_, Self>) -> anyhow::Result<()> {
//!         match undo.step {
//!             Step::Stop { deployment, replicas } => scale(undo.undoing.cluster, deployment, *replicas).await,
//!             Step::Migrate => anyhow::bail!("the database is half-written"),
//!         }
//!     }
//!     fn manual_commands(_plan: &String, _step: &Step, _namespace: &str, _run: &str) -> String {
//!         String::new() // kubectl scale …
//!     }
//!     fn when_stopped(steps: &[StepRecord<Self>]) -> WhenStopped {
//!         let migrating = steps.iter().any(|one| matches!(one.step, Step::Migrate) && one.state.stands());
//!         if migrating { WhenStopped::KeepAll } else { WhenStopped::UndoAll }
//!     }
//!     fn advice(_plan: &String, namespace: &str) -> String {
//!         format!("go on with `kubectl wa-restore resume -n {namespace}`, or go back with `kubectl wa-restore rollback -n {namespace}`")
//!     }
//! }
//!
//! async fn restore(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
//!     let operators = cluster.in_namespace("cpd-operators");
//!     let new = NewRun::<Restore> {
//!         instance: "wa".to_owned(),
//!         command: "kubectl wa-restore run".to_owned(),
//!         locks: vec![LockName::for_deployment(&operators, "ibm-watson-assistant-operator")],
//!         plan: "wa-cpd-20261122T200000Z".to_owned(),
//!         steps: vec![Step::Stop { deployment: "wa-store".to_owned(), replicas: 3 }, Step::Migrate],
//!     };
//!     let run_context = RunContext {
//!         exit_hooks: &context.exit_hooks,
//!         reporter: &context.reporter,
//!         cluster,
//!     };
//!     go_on(cluster, JournaledRun::begin(run_context, new).await?).await
//! }
//!
//! /// From any machine, after the first process died or stopped.
//! async fn resume(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
//!     let run_context = RunContext {
//!         exit_hooks: &context.exit_hooks,
//!         reporter: &context.reporter,
//!         cluster,
//!     };
//!     // Reads only, and takes no lock: also what `status` shows.
//!     let Some(found) = JournaledRun::<Restore>::find(cluster, "wa").await? else {
//!         anyhow::bail!("nothing to go on with");
//!     };
//!     let run = found.resume(run_context, "kubectl wa-restore resume").await?;
//!     go_on(cluster, run).await // `rollback`: `run.roll_back().await?`
//! }
//!
//! async fn go_on(cluster: &Cluster, mut run: JournaledRun<Restore>) -> anyhow::Result<()> {
//!     loop {
//!         let step = match run.next_step() {
//!             Next::Step(step) => step,
//!             Next::Complete(complete) => return Ok(complete.commit().await?),
//!         };
//!         let may_have_happened = step.state().stands(); // begun by a process that died: look before it is done again
//!         let started = step.start().await?;
//!         let (cluster, data) = (cluster.clone(), started.step().clone());
//!         let outcome = started
//!             .change(move |permit| async move { make(&permit, &cluster, data, may_have_happened).await })
//!             .await??;
//!         started.done(outcome).await?;
//!     }
//! }
//! # async fn make(permit: &Permit, _: &Cluster, _: Step, _: bool) -> anyhow::Result<Outcome> { Ok(Outcome::Stopped) }
//! # async fn scale(_: &Cluster, _: &str, _: i32) -> anyhow::Result<()> { Ok(()) }
//! ```
//!
//! # How a run ends
//!
//! - [`CompletedRun::commit`]: every step is done. The journal stays as the record, until the next run of the instance.
//! - The command ends before that, well or badly or by a signal: the run is an exit hook, and
//!   [`Procedure::when_stopped`] says what of it is undone first. Where everything is, the run is over. Else it is
//!   released: the journal stays, the locks keep its name without a holder, and it can be resumed from any machine.
//! - [`JournaledRun::roll_back`]: undoes every step, last first.
//! - SIGKILL: the journal says what was being done, the locks run out. A lock whose run has no journal, or one that is
//!   over, is free.
//!
//! # What is in the journal
//!
//! No secret: everybody who may read ConfigMaps may read it. What is secret and must be kept, such as the old key, goes
//! into a Secret named [`JournaledRun::name`]`("…")`, which a step creates ([`Permit::create`]).
//!
//! It is written once a transition, by comparing and swapping: a journal that somebody else has changed is not
//! overwritten, one of a newer format is not touched, a ConfigMap of that name without our labels is refused. What is
//! read from it is bounded, and is shown to [`Procedure::validate`] before anything is done with it.

mod begin;
mod content;
mod dry_run;
mod end;
mod error;
mod found;
mod lock;
mod permit;
mod procedure;
mod step;
mod stored;

#[cfg(test)]
mod tests;

pub use begin::{NewRun, RunContext};

pub use dry_run::{Tried, try_create};
pub use error::JournalError;
pub use found::{FoundRun, FoundState};
pub use lock::LockName;
pub use permit::{NotCreated, Permit};
pub use procedure::{Procedure, StepRecord, StepState, UndoStep, WhenStopped};
pub use step::{CompletedRun, Next, PendingStep, StartedStep};

use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use jiff::SignedDuration;

use super::change::{Making, Mark, make, to_the_end};
use super::clock::ServerClock;
use super::retry::RetryBudget;
use super::undoing::Waiting;
use super::{LeftBehind, RunError};
use crate::cluster::Cluster;
use crate::report::Reporter;
use content::Content;
use lock::Lock;
use stored::{ABSENCE_LIMIT, StoredJournal};

/// How old the oldest of several proofs may be that a lock is held: far less than one is valid.
const PROOF_VALID_FOR: Duration = Duration::from_secs(20);

/// A run of a [`Procedure`] that this process holds.
pub struct JournaledRun<P: Procedure> {
    shared: Arc<Shared<P>>,
}

/// What the command and the exit hook both work with.
struct Shared<P: Procedure> {
    cluster: Cluster,
    reporter: Arc<dyn Reporter>,
    clock: ServerClock,
    mark: Mark,
    /// The journal's own first.
    locks: Vec<Lock>,
    /// Held while it is written.
    journal: tokio::sync::Mutex<StoredJournal<P>>,
    /// What it says, to be read without waiting.
    content: std::sync::Mutex<Content<P>>,
    making: Making,
    waiting: Waiting,
    /// How long one attempt to undo a step may take, where the command says so.
    undo_limit: std::sync::Mutex<Option<Duration>>,
    ended: tokio::sync::Mutex<Option<Result<(), LeftBehind>>>,
}

impl<P: Procedure> JournaledRun<P> {
    /// The run's id, which is the value of [`RUN_LABEL`](super::RUN_LABEL).
    pub fn run_id(&self) -> &str {
        &self.shared.mark.run
    }

    /// A name for an object of this run: unique, an RFC 1123 label. The same `suffix` gives the same name.
    pub fn name(&self, suffix: &str) -> String {
        self.shared.mark.name(suffix)
    }

    /// What holds for all steps.
    pub fn plan(&self) -> P::Plan {
        self.shared.content().plan.clone()
    }

    /// The steps, in their order.
    pub fn steps(&self) -> Vec<StepRecord<P>> {
        self.shared.content().steps.clone()
    }

    /// Does `work`, which waits and changes nothing, and ends it as soon as a lock is found to be lost.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, JournalError> {
        self.shared.guard(work).await
    }
}

impl<P: Procedure> Shared<P> {
    fn content(&self) -> std::sync::MutexGuard<'_, Content<P>> {
        // Replaced as a whole: it is whole whatever panicked.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn undo_limit(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.undo_limit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into the journal what a command does, to the end though the command is interrupted meanwhile. Who ends the run
    /// waits for it, and so knows every step that was begun.
    async fn write(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Content<P>) + Send + 'static,
    ) -> Result<(), JournalError> {
        make(&self.making, Arc::clone(self).store(change)).await
    }

    /// The same, for undoing, and for the end of a run, which keeps everything else from being made meanwhile.
    async fn write_at_the_end(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Content<P>) + Send + 'static,
    ) -> Result<(), JournalError> {
        to_the_end(Arc::clone(self).store(change)).await
    }

    async fn store(
        self: Arc<Self>,
        change: impl FnOnce(&mut Content<P>),
    ) -> Result<(), JournalError> {
        let mut journal = self.journal.lock().await;
        let mut next = journal.content.clone();
        change(&mut next);
        journal.write(next, &*self.reporter).await?;
        *self.content() = journal.content.clone();
        Ok(())
    }

    /// Finds that every lock is still this run's.
    async fn confirm_locks(&self) -> Result<(), JournalError> {
        let mut budget = RetryBudget::new(&*self.reporter, ABSENCE_LIMIT, "to go on");
        loop {
            let mut oldest = None;
            for lock in &self.locks {
                let proof = budget.with(|| lock.lease.confirm()).await?;
                oldest = oldest.or(Some(proof));
            }
            let age = oldest.map(|oldest| self.clock.now().duration_since(oldest));
            // This machine may have slept in between.
            if age.is_none_or(|age| {
                age < SignedDuration::try_from(PROOF_VALID_FOR).unwrap_or_default()
            }) {
                return Ok(());
            }
        }
    }

    async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, JournalError> {
        let losses = self.locks.iter().map(|lock| {
            Box::pin(async {
                let loss = lock.lease.until_lost().await;
                RunError::Lost {
                    run: lock.lease.name().to_owned(),
                    loss,
                }
            })
        });
        tokio::select! {
            done = work => Ok(done),
            (lost, _, _) = select_all(losses) => Err(lost.into()),
        }
    }

    async fn delete_locks(&self) {
        for lock in self.locks.iter().rev() {
            lock.delete(&*self.reporter).await;
        }
    }

    async fn release_locks(&self) {
        for lock in self.locks.iter().rev() {
            lock.release(&*self.reporter).await;
        }
    }
}

impl<P: Procedure> fmt::Debug for JournaledRun<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournaledRun")
            .field("run", &self.shared.mark.run)
            .finish_non_exhaustive()
    }
}
