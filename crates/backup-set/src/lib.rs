//! A backup at rest: what a set of files is, written so that it is whole or not there, and read without trust.
//!
//! Knows neither Kubernetes nor a command line.
//!
//! A *backup set* is a directory `<instance>-<namespace>-<UTC yyyymmddThhmmssZ>` with the database dump, the
//! auth-encryption secret where the release has one, and [`Manifest`] `backup.json`, which is written last: a set
//! without it is incomplete. A dump that stands alone, made by hand or by the CronJob, is read everywhere a set is.
//!
//! What keeps sets is a [`Store`]: [`DirectoryStore`] here, and buckets in the crate `object-sets`.
//!
//! The order of writing is enforced by types: [`SetWriter`] → [`PartialFile`] → [`CompletedFile`] → [`SealedSet`].
//! Completing a file takes the [`Proof`](transfer_proof::Proof) of its transfer, sealing takes the completed files, and
//! the manifest lists those and no others; everything else ends in the removal of what was written.
//!
//! ```
//! # use std::io::Write as _;
//! # use backup_set::{DUMP_FILE, FileRole, Manifest, SetError, SetWriter};
//! # use transfer_proof::Proof;
//! fn store(set: SetWriter, dump: &[u8], proof: Proof, manifest: Manifest) -> Result<(), SetError> {
//!     let mut file = set.file(DUMP_FILE, FileRole::StoreDump)?;
//!     file.write_all(dump)
//!         .map_err(|error| SetError::writing(set.location(), error))?;
//!     let dump = file.complete(proof)?;
//!     set.seal(dump, Vec::new(), manifest)?;
//!     Ok(())
//! }
//! ```
//!
//! A file that was written and not completed does not seal a set:
//!
//! ```compile_fail,E0308
//! # use backup_set::{DUMP_FILE, FileRole, Manifest, SetError, SetWriter};
//! fn store(set: SetWriter, manifest: Manifest) -> Result<(), SetError> {
//!     let file = set.file(DUMP_FILE, FileRole::StoreDump)?;
//!     set.seal(file, Vec::new(), manifest)?;
//!     Ok(())
//! }
//! ```
//!
//! Nor does a size with a hash, which may be those that were expected, complete a file:
//!
//! ```compile_fail,E0061
//! # use backup_set::{CompletedFile, PartialFile, SetError};
//! # use transfer_proof::Sha256Digest;
//! fn complete(file: PartialFile, bytes: u64, sha256: Sha256Digest) -> Result<CompletedFile, SetError> {
//!     file.complete(bytes, sha256)
//! }
//! ```

mod beside;
mod both;
mod catalog;
mod copy;
mod difference;
mod directory;
mod encryption;
mod error;
mod instances;
mod latest;
mod listed;
mod manifest;
mod manifest_file;
mod names;
mod places;
mod protection;
mod pruning;
mod read;
mod recorded;
mod rehearsal;
mod remarks;
mod removal;
pub mod retention;
mod rows;
mod store;
mod survey;
mod target;
mod verdict;
mod verifier;
mod writer;

pub use catalog::{CatalogEntry, catalog};
pub use copy::{Copied, CopyError, CopyEvent, CopyOptions, copy_set};
pub use difference::{Change, Difference, Holding, InstanceChange, TableChange};
pub use directory::{BegunDirectory, DirectoryFile, DirectorySet, DirectoryStore, Place};
pub use encryption::{
    EncryptedFile, EncryptedSet, EncryptedStore, Identities, KeyError, Recipients,
};
pub use error::{BackupError, SetError};
pub use instances::{ServiceInstance, TenantRows, tenant_schema};
pub use latest::{DEFAULT_DIRECTORY, LatestError, resolve_backup, resolve_in};
pub use manifest::{
    ClusterRecord, FORMAT_VERSION, FileRecord, FileRole, Manifest, Method, Origin, PgDumpRecord,
    PlaintextRecord, Purpose, TableRecord, ToolRecord, VolumeRecord,
};
pub use names::{
    AUTH_ENCRYPTION_FILE, DUMP_FILE, MANIFEST_FILE, numbered_names, scheme_of, set_name,
};
pub use places::{Places, ThisMachine};
pub use protection::{PROTECTION_FILE, Protected, Protection};
pub use pruning::{PlanError, Pruning, Selection};
pub use read::{Backup, Intact, OpenedFile, SetState};
pub use recorded::Recorded;
pub use rehearsal::{REHEARSAL_FILE, Rehearsal, RehearsalPlace};
pub use remarks::{NOT_IN_A_DUMP, Remark, counted_rows, rows_text};
pub use removal::{RemovalError, remove_set};
pub use rows::RowsError;
pub use store::{
    BegunFile, BegunSet, Encoded, FileState, Keep, Left, LocalSet, Store, StoredFile, StoredSet,
};
pub use survey::{Installation, Surveyed, survey};
pub use target::Target;
pub use verdict::{Fault, NotJudged, Verdict, VerificationFailed, Verified, VerifiedCounts};
pub use verifier::Verifier;
pub use writer::{CompletedFile, PartialFile, SealedSet, SetWriter};

#[cfg(test)]
mod tests;
