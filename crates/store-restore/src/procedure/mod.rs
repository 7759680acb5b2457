//! The restore itself: a procedure of steps that outlive their process, kept in a [journal](wa_common::run::journal).
//!
//! | module | what it is for |
//! |---|---|
//! | `data` | plan, steps and outcomes, as the journal keeps them |
//! | `begin` | the safety backup, the locks, and the journal of a new run |
//! | `steps` | takes the steps one after the other; also for a run that another process began |
//! | `work` | what all steps work with |
//! | `place`, `stage` | the run's directory in a PostgreSQL pod, and what is put there |
//! | `connections`, `migrate`, `log` | pgmig: its tests, its detached job, what it prints |
//! | `quiesce`, `service`, `workload` | what stops and what comes back |
//! | `database` | the copy inside the server, the comparison, the encryption key, the way back |
//! | `trial` | every change, sent with `dryRun=All` |
//! | `undo`, `told` | how each step is undone, by this program and by hand |
//! | `rollback`, `status` | the way back as a whole; where a run is |
//!
//! # What is undone when it stops
//!
//! | it stops | then |
//! |---|---|
//! | before pgmig is started | everything is undone, and the run is over |
//! | while pgmig may be at work, or has left the database half-written or not as the backup says | everything stays as it is, with the store at 0 |
//! | after the database was found to be what the backup holds, and its key was put in place | replicas and the nightly backup come back; the rest can be resumed |

mod begin;
mod connections;
mod data;
mod database;
mod log;
mod migrate;
mod place;
mod quiesce;
mod rollback;
mod service;
mod stage;
mod status;
mod steps;
mod told;
mod trial;
mod undo;
mod work;
mod workload;

#[cfg(test)]
mod tests;

use std::time::Duration;

use wa_common::run::journal::{Procedure, StepRecord, UndoStep, WhenStopped};

pub use begin::{Begin, SafetyBackup, begin as begin_run};
pub use data::{
    BackupRecord, InstancePair, LogRecord, Outcome, PgmigRecord, Phase, RestorePlan, SafetyRecord,
    Step,
};
pub use migrate::MigrationError;
pub use place::{database_is_touched, is_taken_back};
pub use rollback::{RolledBack, needs_safety_backup, roll_back};
pub use status::{ReplicasNow, Standing, follow_log, standing};
pub use steps::{Finished, begin as begin_phase};
pub use trial::try_changes;
pub use work::{Inputs, ReadBackup, Work, down_since};

/// The procedure of a restore.
#[derive(Debug)]
pub enum Restore {}

impl Procedure for Restore {
    const PLUGIN: &'static str = "wa-restore";
    const FORMAT_VERSION: u32 = 1;
    type Plan = RestorePlan;
    type Step = Step;
    type Outcome = Outcome;

    fn validate(plan: &RestorePlan, steps: &[StepRecord<Self>]) -> Result<(), String> {
        told::validate(plan, steps)
    }

    fn describe(step: &Step) -> String {
        told::describe(step)
    }

    async fn undo(undo: UndoStep<'_, Self>) -> anyhow::Result<()> {
        undo::undo(undo).await
    }

    fn undo_limit(step: &Step) -> Duration {
        undo::limit(step)
    }

    fn may_stay(step: &Step) -> bool {
        // Nothing else depends on them.
        matches!(
            step,
            Step::Stage | Step::SuspendBackups { .. } | Step::CopyDatabase
        )
    }

    fn manual_commands(plan: &RestorePlan, step: &Step, namespace: &str, run: &str) -> String {
        told::manual_commands(plan, step, namespace, run)
    }

    fn when_stopped(steps: &[StepRecord<Self>]) -> WhenStopped {
        if !database_is_touched(steps) {
            return WhenStopped::UndoAll;
        }
        if !work::is_restored(steps) {
            return WhenStopped::KeepAll;
        }
        let comes_back = (0..steps.len()).filter(|at| steps[*at].step.stops());
        WhenStopped::Undo(comes_back.collect())
    }

    fn advice(plan: &RestorePlan, namespace: &str) -> String {
        told::advice(plan, namespace)
    }
}
