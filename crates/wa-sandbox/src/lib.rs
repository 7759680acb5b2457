//! A practice cluster on this machine: a Kubernetes API on loopback with a Watson Assistant in it.
//!
//! [`Sandbox::start`] gives a running one. The Kubernetes in it is [`kube_sandbox`]; [`world`] is the Watson Assistant.

mod preflight;
mod sandbox;
pub mod world;

pub use sandbox::{Config, Sandbox, StartError};
