//! The changes of a retraining, step by step, with a journal: made by one command, resumed by another, undone by a
//! third, from any machine.
//!
//! | step | what it does | how it is undone |
//! |---|---|---|
//! | [`Step::Scale`], one for each custom resource | a patch with more replicas; waits for the key, then for the Deployments | the patch removed, the recorded counts set |
//! | [`Step::Start`] | a patch with store-admin's variables; waits for the key, then for the rollout | the patch removed, the recorded variables awaited |
//!
//! The journal is begun with all steps, whichever command begins it, and so with everything as it was before the first
//! change. A command that does only some of them lets go of the run and leaves it open; `finish` undoes everything, and the
//! run is over.

mod error;
mod objects;
mod others;
mod ready;
mod record;
mod remove;
mod scale;
mod session;
mod start_job;
mod undo;
mod wait;

pub use error::ProcedureError;
pub(crate) use objects::{Dangling, Objects};
pub use others::Others;
pub use ready::Ready;
pub use record::{
    Adopted, NewReplicas, OriginalReplicas, OriginalVariable, Outcome, ScaleStep, StartStep, Step,
    Subject,
};
pub use session::{FinishError, Found, Manner, Session, is_open};
pub(crate) use start_job::time_of;
pub use start_job::{Start, StartTime};
pub use undo::Retraining;

use std::time::Duration;

/// The shortest time after which a patch may be said not to take effect: the operator may take that long.
pub const SHORTEST_PATIENCE: Duration = Duration::from_mins(25);
/// How long is waited for the effect of a patch, unless told otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_mins(40);
