//! The volume that Watson Assistant's CronJob leaves its dumps on: the ways to its files, and fetching them.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "moved here as it was; what is public is yet to be chosen"
)]

pub mod access;
pub mod change;
mod denied;
pub mod discovery;
mod driver;
pub mod fallback;
pub mod fetch;
pub mod files;
mod helper;
mod names;
mod permissions;
mod portworx;
mod quantity;
mod run;
pub mod selection;
pub mod volume;
