//! Verified backups of Watson Assistant's store database, taken with `pg_dump` in a pod.
//!
//! Knows no command line: what is said there comes down as [`BackupOptions`], and what happens goes up as events and
//! values. Two steps: [`prepare`] looks at everything a backup needs, and a [`Backup`] takes it.
//!
//! ```
//! # use std::path::Path;
//! # use backup_set::{DirectoryStore, ToolRecord};
//! # use store_backup::{Backup, BackupOptions, StoredBackup, prepare};
//! # use wa_common::{cluster::Cluster, report::{Reporter, Steps}};
//! # async fn example(cluster: &Cluster, reporter: &dyn Reporter, tool: ToolRecord) -> anyhow::Result<StoredBackup> {
//! let steps = Steps::new(reporter);
//! let directory = Path::new("/mnt/backups");
//! let ready = prepare(cluster, reporter, &steps, Some("wa"), Some(directory)).await?;
//! let options = BackupOptions::new(tool);
//! Backup::new(cluster, reporter, &steps, &ready, &options)?
//!     .to_set(&DirectoryStore::new(directory))
//!     .await
//! # }
//! ```

mod backup;
mod judged;
mod key_file;
mod live;
mod permissions;
mod pg_dump;
mod preflight;
pub mod rows;
mod safety;
mod silence;
pub mod sql;
pub mod tenants;

pub use backup::{Backup, BackupOptions, DEFAULT_COMPRESSION, DEFAULT_RETRIES, StoredBackup};
pub use judged::Judged;
pub use key_file::KeyFile;
pub use live::live_holding;
pub use permissions::{
    COMMANDS, named, needed_permissions, to_back_up, to_find_postgres, to_know_the_primary,
    to_read_secrets,
};
pub use pg_dump::{Versions, psql_command};
pub use preflight::{BackupPreflight, Ready, prepare};
pub use safety::take_safety_backup;
pub use silence::DEFAULT_SILENT_AFTER;
