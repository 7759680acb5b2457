//! What storage the cluster has: the classes its claims can name, and whether volumes can be snapshotted.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A storage system as its product installs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// OpenShift Data Foundation: Ceph block devices and file systems, both with a snapshot class.
    #[default]
    Ceph,
    /// The same where nobody has installed the snapshot controller: its kinds are not served.
    CephWithoutSnapshots,
    /// The same with claims that only one pod at a time may use (`ReadWriteOncePod`).
    CephOncePod,
    /// Logical volumes of one node each: the class binds a claim when its first pod is placed.
    Local,
    /// Portworx as Kubernetes' own volume type, which knows no snapshots that a snapshot class could name.
    Portworx,
}

/// A storage was asked for that there is none of.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no storage {0:?}; choose ceph, ceph-without-snapshots, ceph-once-pod, local or portworx"
)]
pub struct UnknownStorage(String);

impl Storage {
    /// Every storage, the default one first.
    pub const ALL: [Self; 5] = [
        Self::Ceph,
        Self::CephWithoutSnapshots,
        Self::CephOncePod,
        Self::Local,
        Self::Portworx,
    ];

    /// As a person names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceph => "ceph",
            Self::CephWithoutSnapshots => "ceph-without-snapshots",
            Self::CephOncePod => "ceph-once-pod",
            Self::Local => "local",
            Self::Portworx => "portworx",
        }
    }

    /// The class of the installation's claims.
    pub fn class(self) -> &'static str {
        match self {
            Self::Ceph | Self::CephWithoutSnapshots | Self::CephOncePod => {
                "ocs-storagecluster-ceph-rbd"
            }
            Self::Local => "lvms-vg1",
            Self::Portworx => "portworx-db-gp3-sc",
        }
    }

    /// The access mode of the installation's claims.
    pub fn access_mode(self) -> &'static str {
        match self {
            Self::CephOncePod => "ReadWriteOncePod",
            _ => "ReadWriteOnce",
        }
    }

    /// Whether the definitions of the snapshot kinds are installed.
    pub(super) fn has_snapshots(self) -> bool {
        self != Self::CephWithoutSnapshots
    }

    /// The storage classes.
    pub(super) fn classes(self) -> Vec<Value> {
        let at_once = json!({ "volumeBindingMode": "Immediate", "allowVolumeExpansion": true });
        match self {
            Self::Ceph | Self::CephWithoutSnapshots | Self::CephOncePod => vec![
                class(
                    self.class(),
                    true,
                    "openshift-storage.rbd.csi.ceph.com",
                    at_once.clone(),
                ),
                class(
                    "ocs-storagecluster-cephfs",
                    false,
                    "openshift-storage.cephfs.csi.ceph.com",
                    at_once,
                ),
            ],
            Self::Local => {
                let with_the_pod = json!({ "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true });
                vec![class(self.class(), true, "topolvm.io", with_the_pod)]
            }
            Self::Portworx => {
                let parameters =
                    json!({ "parameters": { "repl": "3", "io_profile": "db_remote" } });
                vec![class(
                    self.class(),
                    true,
                    "kubernetes.io/portworx-volume",
                    parameters,
                )]
            }
        }
    }

    /// The snapshot classes.
    pub(super) fn snapshot_classes(self) -> Vec<Value> {
        let classes: &[(&str, &str)] = match self {
            Self::Ceph | Self::CephOncePod => &[
                (
                    "ocs-storagecluster-rbdplugin-snapclass",
                    "openshift-storage.rbd.csi.ceph.com",
                ),
                (
                    "ocs-storagecluster-cephfsplugin-snapclass",
                    "openshift-storage.cephfs.csi.ceph.com",
                ),
            ],
            Self::Local => &[("lvms-vg1", "topolvm.io")],
            Self::CephWithoutSnapshots | Self::Portworx => &[],
        };
        let class = |(name, driver): &(&str, &str)| {
            json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": { "name": name },
                "driver": driver, "deletionPolicy": "Delete",
            })
        };
        classes.iter().map(class).collect()
    }
}

fn class(name: &str, is_default: bool, provisioner: &str, settings: Value) -> Value {
    let mut class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": provisioner, "reclaimPolicy": "Delete",
    });
    if is_default {
        class["metadata"]["annotations"] =
            json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    }
    if let Value::Object(settings) = settings {
        for (field, value) in settings {
            class[field] = value;
        }
    }
    class
}

impl fmt::Display for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Storage {
    type Err = UnknownStorage;

    fn from_str(name: &str) -> Result<Self, UnknownStorage> {
        let known = Self::ALL.into_iter().find(|storage| storage.name() == name);
        known.ok_or_else(|| UnknownStorage(name.to_owned()))
    }
}
