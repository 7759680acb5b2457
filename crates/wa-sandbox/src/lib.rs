//! A practice cluster on this machine: a Kubernetes API on loopback with a Watson Assistant in it.
//!
//! [`Sandbox::start`] gives a running one. Below it, [`store`] holds every object, [`api`] serves them, [`node`] runs
//! pods as real processes, [`disks`] keeps what is on their volumes, [`streams`] connects clients with those, [`controllers`] keep objects and their dependents in
//! step, [`world`] is the Watson Assistant, and [`faults`] makes things go wrong on purpose.

pub mod api;
pub mod controllers;
pub mod disks;
pub mod faults;
mod leftovers;
pub mod node;
mod preflight;
mod sandbox;
pub mod store;
pub mod streams;
pub mod world;

pub use leftovers::remove_leftovers;
pub use preflight::Unfit;
pub use sandbox::{Config, Sandbox, StartError};
