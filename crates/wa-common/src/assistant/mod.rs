//! Watson Assistant as an administrator's tool meets it.
//!
//! Names differ between releases, and not in order of their numbers, so nothing here compares versions: each object is
//! looked for under the names it has had, newest first. The release number only appears in messages and manifests.

mod auth_encryption;
mod backup_job;
mod datastore;
mod error;
mod instance;
mod names;
mod operator;
mod postgres;
mod read_back;
mod schedule;

pub use auth_encryption::{auth_encryption_yaml, read_auth_encryption, store_auth_encryption};
pub use backup_job::{BackupCronJob, Retention, backup_claim};
pub use datastore::{AUTH_ENCRYPTION_KEY, Datastore};
pub use error::AssistantError;
pub use instance::{Instance, InstanceState};
pub use operator::{OPERATOR, OperatorError, find_operator};
pub use postgres::{POSTGRES_CONTAINER, PostgresPod};
pub use read_back::read_back;
pub use schedule::{Schedule, ScheduleError};
