//! A backup at rest: what a set of files is, written so that it is whole or not there, and read without trust.
//!
//! Knows neither Kubernetes nor a command line.
//!
//! A *backup set* is a directory `<instance>-<namespace>-<UTC yyyymmddThhmmssZ>` with the database dump, the
//! auth-encryption secret where the release has one, and [`Manifest`] `backup.json`, which is written last: a set
//! without it is incomplete. A dump that stands alone, made by hand or by the CronJob, is read everywhere a set is.
//!
//! The order of writing is enforced by types: a [`SetWriter`] only becomes a set through [`SetWriter::seal`], which takes
//! the [`StoredFile`] of a complete transfer; everything else ends in the removal of what was written.

mod catalog;
mod directories;
mod instances;
mod manifest;
mod names;
mod place;
mod read;
mod remarks;
mod target;
mod verdict;
mod verifier;
mod writer;

pub use catalog::{CatalogEntry, catalog};
pub use instances::{ServiceInstance, TenantRows};
pub use manifest::{
    ClusterRecord, FORMAT_VERSION, FileRecord, FileRole, Manifest, Method, Origin, PgDumpRecord,
    TableRecord, ToolRecord, VolumeRecord,
};
pub use names::{AUTH_ENCRYPTION_FILE, DUMP_FILE, MANIFEST_FILE, numbered_names, set_name};
pub use place::Place;
pub use read::{Backup, BackupError, Intact, SetState};
pub use remarks::{NOT_IN_A_DUMP, Remark, counted_rows, rows_text};
pub use target::Target;
pub use verdict::{Fault, NotJudged, Verdict, VerificationFailed, Verified};
pub use verifier::Verifier;
pub use writer::{PartialFile, SetError, SetWriter, StoredFile};

#[cfg(test)]
mod tests;
