//! What a storage driver has to say before a pod uses one of its volumes, and after.

use std::fmt;

use serde_json::Value;

/// A driver that keeps count of where its volumes are used: the node's part of a CSI driver.
pub trait StorageDriver: fmt::Debug + Send + Sync {
    /// Makes a PersistentVolume usable on a node for the pod of that uid; volumes of other drivers are none of its
    /// business. The error is the message the kubelet repeats in its event.
    fn publish(&self, node: &str, pod: &str, volume: &Value) -> Result<(), String>;

    /// Whether the driver itself attaches a PersistentVolume when a pod mounts it, so that nobody else knows where it is
    /// attached.
    fn attaches(&self, volume: &Value) -> bool;

    /// The pod of that uid has ended: it uses no volume any more.
    fn unpublish(&self, pod: &str);
}
