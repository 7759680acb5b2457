//! The Kubernetes API as the plugins use it.
//!
//! [`Cluster::connect`] makes a client from what kubectl's flags say; its requests carry a deadline and a [`RetryPolicy`]
//! whose retries are reported; [`Wait`] waits until something is so; [`ClusterError`] says what went wrong in kubectl's
//! words.

mod access;
mod client;
mod config;
mod connect;
mod create;
mod credentials;
mod entries;
mod error;
#[cfg(test)]
pub(crate) mod fake_api;
pub mod helper_pod;
mod kubeconfig;
mod log;
mod namespaces;
mod options;
mod pod;
mod proxy;
mod quantity;
mod reads;
mod retry;
mod server_url;
mod tls;
mod transport;
mod user;
mod wait;
mod websockets;

pub use access::Permission;
pub use client::Cluster;
pub use config::is_label;
pub use error::ClusterError;
pub use kubeconfig::{ContextName, KubeconfigError, KubeconfigNames, Problem};
pub use log::LogPlace;
pub use options::ConnectionOptions;
pub use pod::{pod_has_ended, pod_is_ready};
pub use quantity::{NoQuantity, Quantity};
pub use reads::InNamespace;
pub(crate) use retry::absence;
pub use retry::{RetryBudget, RetryPolicy};
pub use wait::{Lasting, Probe, TimedOut, Wait, WaitError};
pub use websockets::NoWebSockets;
