//! Whole clusters with their real PostgreSQL and etcd, asked by a real kubectl.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod neighbours;
mod operator;
mod pgmig;
mod portworx;
mod process_one;
mod running;
mod storage;
mod store_admin;
mod support;
mod temporary_patches;
mod versions;
