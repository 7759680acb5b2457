//! Portworx: where its volumes are attached and mounted, and `pxctl`, which tells and changes that.
//!
//! A volume is whatever PersistentVolume names Portworx as its driver. Pods attach it on their node while they run
//! ([`StorageDriver`]); a person, or a plugin, does the same by hand with `/opt/pwx/bin/pxctl` in a Portworx pod. That
//! program only hands its arguments to the `daemon` of its node, as the real one does, and `pxctl` answers.
//!
//! Output and messages are those of Portworx's documentation and of openstorage, its open part. Where neither shows a
//! message (a volume that is not there, one that is still mounted, a path that is in use) its wording is a guess. Left
//! out: creating, changing, resizing and copying volumes, replicas that are down, shared volumes mounted from several
//! nodes at once, `pxctl secrets`, and the block device: what can be mounted lies in `/dev/pxd` of a Portworx pod, as
//! directories.

mod daemon;
mod inspect;
mod pxctl;
mod volumes;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube_sandbox::disks::Disks;
use kube_sandbox::meta::{object, resources};
use kube_sandbox::node::{Image, Mount, Node, StorageDriver};
use kube_sandbox::store::Store;
use serde_json::Value;
use uuid::Uuid;

pub(crate) use daemon::Daemons;
pub use volumes::Refusal;
use volumes::{Attachment, Volume};

use crate::world::{WorldError, create_all, manifests::portworx as manifests};
pub(super) use manifests::{CONTAINER, NAMESPACE};

/// The provisioner of its CSI driver.
pub(super) const CSI_DRIVER: &str = "pxd.portworx.com";
/// What a Portworx pod shares with its node, and the only place where volumes may be mounted by hand.
const MOUNTS: &str = "/var/lib/osd/mounts/";

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `pxctl host attach`.
    Attach,
    /// `pxctl host mount`.
    Mount,
    /// `pxctl host unmount`.
    Unmount,
    /// `pxctl host detach`.
    Detach,
}

/// Where a volume is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The Kubernetes node it is attached on.
    pub node: String,
    /// Where it is mounted there, for pods and by hand.
    pub paths: Vec<String>,
}

/// The Portworx cluster; clones share it.
#[derive(Clone, Debug)]
pub struct Portworx(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the names that Kubernetes has for them.
    nodes: BTreeMap<String, Member>,
    /// By names of volumes; one that is not attached is not in it.
    attachments: HashMap<String, Attachment>,
    encrypted: HashSet<String>,
    knows_the_key: bool,
    /// How many times more.
    to_fail: HashMap<Operation, usize>,
}

/// A node of the Portworx cluster.
#[derive(Debug, Clone)]
struct Member {
    /// Portworx has names of its own for nodes.
    id: String,
    is_down: bool,
}

impl Portworx {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            state: Mutex::default(),
        }))
    }

    /// The images of its pods, which see the contents of every persistent volume.
    pub(crate) fn images(disks: &Disks) -> [Image; 2] {
        let devices = Mount {
            source: disks.volumes().to_owned(),
            target: "/dev/pxd".into(),
            read_only: false,
        };
        [
            Image {
                user: 0,
                mounts: vec![devices],
                ..Image::of_this_machine(manifests::IMAGE)
            },
            Image::of_this_machine(manifests::API_IMAGE),
        ]
    }

    /// Creates its pods and starts its daemons.
    pub(crate) fn install(&self, node: &Node) -> Result<Daemons, WorldError> {
        create_all(
            &self.0.store,
            &resources::DAEMON_SETS,
            manifests::daemon_sets(),
        )?;
        Daemons::start(self, node)
    }

    /// Where a volume is in use; none when it is detached. `volume` is the name of its PersistentVolume.
    pub fn in_use(&self, volume: &str) -> Option<InUse> {
        let state = self.state();
        let attachment = state.attachments.get(volume)?;
        Some(InUse {
            node: attachment.node.clone(),
            paths: attachment.paths().map(str::to_owned).collect(),
        })
    }

    /// Attaches a volume on a node, as a person there would by hand.
    pub fn attach(&self, volume: &str, node: &str) -> Result<(), Refusal> {
        let volume = self.volume(volume)?;
        self.state().attach(&volume, node)
    }

    /// Detaches a volume from the node it is attached on.
    pub fn detach(&self, volume: &str) -> Result<(), Refusal> {
        let volume = self.volume(volume)?;
        let mut state = self.state();
        let node = state
            .attachments
            .get(&volume.name)
            .map(|attachment| attachment.node.clone());
        state.detach(&volume, &node.ok_or(Refusal::Detached)?)
    }

    /// Makes an operation of `pxctl` fail the next so many times, and work after that.
    pub fn fail(&self, operation: Operation, times: usize) {
        self.state().to_fail.insert(operation, times);
    }

    /// Makes a volume one that is encrypted. It cannot be attached until [`Self::give_key`].
    pub fn encrypt(&self, volume: &str) {
        self.state().encrypted.insert(volume.to_owned());
    }

    /// Gives the cluster the key of its encrypted volumes.
    pub fn give_key(&self) {
        self.state().knows_the_key = true;
    }

    /// Stops or restarts Portworx on a node: while it is down, `pxctl` there fails and the pod gets unready.
    pub fn set_down(&self, node: &str, is_down: bool) {
        self.state().member(node).is_down = is_down;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every volume of Portworx, by name.
    fn volumes(&self) -> Vec<Volume> {
        let volumes = self.0.store.list(&resources::VOLUMES, None).items;
        volumes
            .iter()
            .filter_map(|volume| self.read(volume))
            .collect()
    }

    /// The volume of that name or id.
    fn volume(&self, name_or_id: &str) -> Result<Volume, Refusal> {
        self.volumes()
            .into_iter()
            .find(|volume| volume.name == name_or_id || volume.id == name_or_id)
            .ok_or_else(|| Refusal::NotFound(name_or_id.to_owned()))
    }

    fn read(&self, volume: &Value) -> Option<Volume> {
        let class = volume["spec"]["storageClassName"]
            .as_str()
            .unwrap_or_default();
        let class = self.0.store.get(&resources::STORAGE_CLASSES, "", class);
        Volume::read(
            volume,
            class
                .as_ref()
                .map_or(&Value::Null, |class| &class["parameters"]),
        )
    }

    /// The nodes of the cluster, with Portworx's names for them.
    fn members(&self) -> Vec<(String, Member)> {
        let nodes = self.0.store.list(&resources::NODES, None).items;
        let mut state = self.state();
        nodes
            .iter()
            .map(|node| {
                let name = object::name(node);
                (name.to_owned(), state.member(name).clone())
            })
            .collect()
    }
}

impl State {
    fn member(&mut self, node: &str) -> &mut Member {
        self.nodes.entry(node.to_owned()).or_insert_with(|| Member {
            id: Uuid::new_v4().to_string(),
            is_down: false,
        })
    }
}

impl StorageDriver for Portworx {
    fn publish(&self, node: &str, pod: &str, volume: &Value) -> Result<(), String> {
        let Some(volume) = self.read(volume) else {
            return Ok(());
        };
        self.state()
            .mount_for_pod(&volume, node, pod)
            .map_err(|refusal| match refusal {
                _ if !volume.has_csi => refusal.to_string(),
                Refusal::AttachedElsewhere => {
                    format!("rpc error: code = AlreadyExists desc = {refusal}")
                }
                _ => format!("rpc error: code = Internal desc = {refusal}"),
            })
    }

    fn attaches(&self, volume: &Value) -> bool {
        volumes::is_portworx(volume)
    }

    fn unpublish(&self, pod: &str) {
        self.state().unmount_for_pod(pod);
    }
}

#[cfg(test)]
mod tests;
