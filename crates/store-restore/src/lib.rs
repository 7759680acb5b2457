//! What a restore of Watson Assistant's store database needs: found out and prepared without changing anything, and the
//! single changes to the database that a restore is made of; and the procedure that takes them one after the other.
//!
//! | module | what it is for |
//! |---|---|
//! | [`release`] | which release can be restored onto which |
//! | [`source`] | the backup: a set or a bare dump, read from end to end |
//! | [`mapping`] | which instance of the backup becomes which one of the target |
//! | [`interview`] | the same, asked for one by one |
//! | [`target`] | what the target's installation is made of |
//! | [`config`] | the files that pgmig is configured with |
//! | [`pgmig`] | a copy of pgmig on this machine |
//! | [`pg_restore`] | which `pg_restore` reads which archive |
//! | [`permissions`] | what the user must be allowed to do |
//! | [`checks`] | everything that must hold, with all problems at once |
//! | [`plan`] | the restore as commands |
//! | [`database`] | whole databases in the store's server: copied, exchanged, dropped; who is at work there |
//! | [`safety_set`] | a set, restored into a database beside the store's |
//! | [`workspaces`] | the workspaces of a dump |
//! | [`comparison`] | what a database holds, against what the dump does |
//! | [`procedure`] | the restore itself, step by step, with a journal |
//! | [`rehearsal`] | a set, restored into a PostgreSQL of its own to see whether it can be |
//! | [`encryption_key`] | the one key, in the target's secret |

pub mod checks;
pub mod comparison;
pub mod config;
pub mod database;
pub mod encryption_key;
pub mod interview;
pub mod mapping;
pub mod permissions;
pub mod pg_restore;
pub mod pgmig;
pub mod plan;
pub mod procedure;
pub mod rehearsal;
pub mod release;
pub mod safety_set;
pub mod source;
pub mod target;
pub mod workspaces;
mod yaml;
