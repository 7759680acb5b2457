//! Verified backups of Watson Assistant's store database, taken with `pg_dump` in a pod.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "moved here as it was; what is public is yet to be chosen"
)]

pub mod dump;
pub mod judged;
pub mod key_file;
pub mod preflight;
pub mod silence;
