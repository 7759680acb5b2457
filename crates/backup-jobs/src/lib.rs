//! The CronJob that backs up Watson Assistant every night: a Job of it on demand, followed to its end, and which files on
//! the volume that Job wrote; how the CronJob stands, and changing its settings.
//!
//! Knows no command line. What is made is recorded before, as a run of `wa-backup`, so that `cleanup` removes what a killed
//! process has left.
//!
//! ```
//! # use std::time::Duration;
//! # use backup_jobs::{Afterwards, JobEnd, Trigger};
//! # use backup_volume::Caller;
//! # async fn example(caller: Caller) -> anyhow::Result<JobEnd> {
//! let trigger = Trigger::prepare(caller, Some("wa"), true).await?;
//! let job = trigger.start(Afterwards::Removed).await?;
//! job.follow(Duration::from_hours(4)).await
//! # }
//! ```

mod change;
mod end;
mod error;
mod follow;
mod manifest;
mod missed;
mod overview;
pub mod permissions;
mod pod;
mod settings;
mod trigger;
mod written;

pub use change::{FIELD_MANAGER, Reverted, ScheduleChange, SettingChange, Wish, nightly_backup};
pub use end::{JobEnd, Outcome};
pub use error::JobError;
pub use missed::{MissedRun, due_on_resume};
pub use overview::{Overview, PastRun, VolumeUse};
pub use settings::{Setting, SettingName};
pub use trigger::{Afterwards, StartedJob, Trigger};
pub use written::{Written, written_by};
