//! What the end-to-end tests share: a practice cluster, and the plugins as a user runs them.
//!
//! The tests run the built binaries, kubectl, `pg_restore` and `psql`; they see what a user sees: standard output, standard
//! error, the exit code and the files. Each file of tests
//! has clusters of its own, one for each kind of storage or release, started when first needed.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a test that cannot set itself up, or is not met, has failed"
)]

mod engine;
mod far_side;
mod placed;
mod processes;
mod programs;
mod psql;
mod restore;
mod restored;
mod retrain;
mod run;
mod running;
mod shapes;
mod signals;
mod sweep;
mod volume;
mod world;

pub use engine::{Silent, wait_for};
pub use far_side::FarSide;
pub use placed::Placed;
pub use programs::binary;
pub use restored::Restored;
pub use retrain::Objects;
pub use run::{Outcome, run, start, wait_until};
pub use running::{FETCH, Request, Running};
pub use shapes::Shapes;
pub use sweep::{sweep_random, sweep_rounds};
pub use volume::{fetched, sets};
pub use world::{World, dump_requests};
