//! What earlier retrainings have left, by this program, by IBM's recipe, or by hand: found, and removed where it can be
//! proved that nobody needs it.
//!
//! IBM's recipe clears one of two annotations, so that a key without its patch stays in the other one. Then the operator
//! cannot reconcile, and store-admin keeps the variables of a patch that is gone: so the Deployments are looked at, not only
//! the keys.

mod findings;
mod repair;

pub use findings::{Diagnosis, Finding};
pub use repair::repair;
