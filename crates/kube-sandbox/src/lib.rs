//! A simulated Kubernetes in one process: a real API on loopback, controllers, and pods that are real processes on this
//! machine.
//!
//! [`Cluster::start`] gives a running one. Below it, [`meta`] is what everything speaks in, [`store`] holds every object,
//! [`api`] serves them, [`node`] runs pods, [`disks`] keeps what is on their volumes, [`streams`] connects clients with
//! processes in pods, [`controllers`] keep objects and their dependents in step, and [`faults`] makes things go wrong on
//! purpose. What runs in the cluster plugs in: its kinds of objects ([`meta::Kinds`]), its images ([`node::Image`]), its
//! controllers ([`controllers::Controller`]) and its storage driver ([`node::StorageDriver`]).

pub mod api;
mod cluster;
pub mod controllers;
pub mod disks;
pub mod faults;
mod leftovers;
pub mod meta;
pub mod node;
pub mod preflight;
pub mod store;
pub mod streams;

pub use cluster::{Cluster, Config, StartError};
pub use leftovers::remove_leftovers;
