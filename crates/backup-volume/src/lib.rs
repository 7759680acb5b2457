//! The volume that Watson Assistant's CronJob leaves its dumps on: the ways to its files, and fetching them.
//!
//! Knows no command line: what is said there comes down as [`AccessOptions`] and [`FetchOptions`], and what happens goes
//! up as events and values. What is changed in the cluster for access is recorded before, as a run of `wa-pvc` whoever
//! calls, so that `kubectl wa-pvc cleanup` undoes what a killed process has left.
//!
//! ```
//! # use std::path::Path;
//! # use backup_set::ToolRecord;
//! # use backup_volume::{AccessOptions, Caller, ClosedVolume, FetchOptions, FetchOutcome, Selection};
//! # async fn example(caller: Caller, tool: ToolRecord) -> anyhow::Result<FetchOutcome> {
//! let volume = ClosedVolume::find(caller, Some("wa"), AccessOptions::default()).await?;
//! let volume = volume.open().await?;
//! let files = volume.files().await?;
//! let wanted = Selection::Named(vec!["store.dump_20261121-230004".to_owned()]);
//! let dumps = wanted.choose(files.clone())?;
//! let options = FetchOptions::new(tool);
//! volume
//!     .fetch(&files, &dumps, Path::new("/mnt/backups"), &options)
//!     .await
//! # }
//! ```

mod access;
mod caller;
mod change;
mod denied;
mod discovery;
mod driver;
mod fallback;
mod fetch;
mod files;
mod helper;
mod names;
pub mod permissions;
mod portworx;
mod reach;
mod remedy;
mod run;
mod selection;
mod volume;

pub use access::{
    Access, AccessMethod, AccessOptions, AccessPlan, Assessment, NoWay, Obstacles, Via, assess_all,
};
pub use caller::Caller;
pub use change::{JOBS_PLUGIN, PLUGIN, PLUGINS, VolumeChange};
pub use discovery::{Discovery, Mount, MountPath};
pub use fallback::worth_a_try;
pub use fetch::{FetchOptions, FetchOutcome, FetchedSet};
pub use files::{FileKind, KeptAs, modified};
pub use kube_transfer::file::Entry;
pub use portworx::PortworxMount;
pub use reach::{Class, claims, dumps_in_reach, snapshot_classes, space_in_reach, storage_classes};
pub use remedy::{Obstacle, Remediable, Remedy};
pub use selection::{Selection, dumps};
pub use volume::{ClosedVolume, OpenVolume, warn_of_leftovers};
