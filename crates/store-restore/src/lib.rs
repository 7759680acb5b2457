//! What a restore of Watson Assistant's store database needs, found out and prepared without changing anything.
//!
//! | module | what it is for |
//! |---|---|
//! | [`release`] | which release can be restored onto which |
//! | [`source`] | the backup: `latest`, a set or a bare dump, read from end to end |
//! | [`tenants`] | the service instances of the target |
//! | [`mapping`] | which instance of the backup becomes which one of the target |
//! | [`target`] | what the target's installation is made of |
//! | [`config`] | the files that pgmig is configured with |
//! | [`pgmig`] | a copy of pgmig on this machine |
//! | [`checks`] | everything that must hold, with all problems at once |
//! | [`plan`] | the restore as commands |

pub mod checks;
pub mod config;
pub mod mapping;
pub mod pgmig;
pub mod plan;
pub mod release;
pub mod source;
pub mod target;
pub mod tenants;
mod yaml;
