//! A practice cluster on this machine: a Kubernetes API on loopback with a Watson Assistant in it.

pub mod api;
pub mod controllers;
pub mod faults;
pub mod node;
pub mod store;
pub mod streams;
pub mod world;
