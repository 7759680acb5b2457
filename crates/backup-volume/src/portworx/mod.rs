//! Portworx as far as this plugin uses it: its pods, its command, and a volume that is attached and mounted.

mod mount;
mod pods;
mod pxctl;

pub use mount::PortworxMount;
pub(crate) use mount::{mark_of, path_of};
pub(crate) use pods::{LABEL, NAMESPACES, container_of, node_of, ready_pods};
pub(crate) use pxctl::Pxctl;
