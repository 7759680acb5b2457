//! Volumes, and the rules by which they are attached and mounted.

use kube_sandbox::meta::object;
use serde_json::Value;

use super::{CSI_DRIVER, MOUNTS, Operation, State};

/// Why Portworx does not do what it was asked for, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such volume.
    #[error("Volume {0} not found")]
    NotFound(String),
    /// It is attached where the caller is not.
    #[error("Volume is attached on another node")]
    AttachedElsewhere,
    /// It would be attached on a second node.
    #[error(
        "Non-shared volume is already attached on another node. Non-shared volumes can only be attached on one node at a time."
    )]
    NotShared,
    /// It must be attached first.
    #[error("Volume is detached")]
    Detached,
    /// It must be unmounted first.
    #[error("Will not detach, as volume {id} is mounted at: {path}")]
    Mounted {
        /// The volume.
        id: String,
        /// One of the places.
        path: String,
    },
    /// It is encrypted, and nobody has given the cluster the key.
    #[error("Not authenticated with the secrets endpoint")]
    NoKey,
    /// It may not be mounted there.
    #[error("Mountpath  ({0}) is not a shared mount between host and PX container")]
    NotSharedMount(String),
    /// There is no directory to mount it at.
    #[error("Mountpath ({0}) does not exist")]
    NoDirectory(String),
    /// Another volume is mounted there.
    #[error("Mountpath ({0}) is in use by another volume")]
    PathInUse(String),
    /// It is not mounted there.
    #[error("Volume is not mounted at {0}")]
    NotMounted(String),
    /// Something uses it, or a test wants this to fail.
    #[error("Volume is busy")]
    Busy,
    /// The operating system did not do it.
    #[error("{0}")]
    System(String),
}

/// Whether several nodes may mount a volume, and by which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    No,
    V1,
    V4,
}

/// A volume as its PersistentVolume and the parameters of its class describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) id: String,
    pub(super) name: String,
    /// Namespace and name of its claim.
    pub(super) claim: (String, String),
    pub(super) size_bytes: u64,
    pub(super) format: String,
    pub(super) created: String,
    pub(super) replicas: usize,
    pub(super) priority: String,
    pub(super) sharing: Sharing,
    pub(super) is_secure: bool,
    pub(super) has_csi: bool,
}

/// Whether a PersistentVolume is one of Portworx's, through its CSI driver or through the type that Kubernetes had.
pub(super) fn is_portworx(volume: &Value) -> bool {
    let spec = &volume["spec"];
    spec["portworxVolume"].is_object() || spec["csi"]["driver"] == CSI_DRIVER
}

impl Volume {
    /// None when the volume is not one of Portworx's.
    pub(super) fn read(volume: &Value, parameters: &Value) -> Option<Self> {
        let spec = &volume["spec"];
        let has_csi = spec["csi"]["driver"] == CSI_DRIVER;
        let (id, format) = if has_csi {
            (&spec["csi"]["volumeHandle"], &spec["csi"]["fsType"])
        } else {
            let source = &spec["portworxVolume"];
            (&source["volumeID"], &source["fsType"])
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let is_on = |parameter: &str| parameters[parameter] == "true";
        Some(Self {
            id: id.as_str()?.to_owned(),
            name: object::name(volume).to_owned(),
            claim: (
                text(&spec["claimRef"]["namespace"]),
                text(&spec["claimRef"]["name"]),
            ),
            size_bytes: bytes(spec["capacity"]["storage"].as_str()?)?,
            format: text(format),
            created: text(&volume["metadata"]["creationTimestamp"]),
            replicas: parameters["repl"]
                .as_str()
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
            priority: parameters["priority_io"]
                .as_str()
                .unwrap_or("low")
                .to_owned(),
            sharing: match (is_on("sharedv4"), is_on("shared")) {
                (true, _) => Sharing::V4,
                (false, true) => Sharing::V1,
                (false, false) => Sharing::No,
            },
            is_secure: is_on("secure"),
            has_csi,
        })
    }

    /// Where the node mounts it for a pod.
    fn path_for_pod(&self, pod: &str) -> String {
        let volumes = format!("/var/lib/kubelet/pods/{pod}/volumes");
        if self.has_csi {
            format!("{volumes}/kubernetes.io~csi/{}/mount", self.name)
        } else {
            format!("{volumes}/kubernetes.io~portworx-volume/{}", self.name)
        }
    }

    pub(super) fn device(&self) -> String {
        format!("/dev/pxd/pxd{}", self.id)
    }
}

/// A whole number of bytes with a binary suffix, as claims ask for.
fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let power = match &quantity[digits.len()..] {
        "" => 0,
        "Ki" => 1,
        "Mi" => 2,
        "Gi" => 3,
        "Ti" => 4,
        _ => return None,
    };
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(1024u64.checked_pow(power)?)
}

/// A node on which a volume is attached, and where it is mounted there.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    pub(super) node: String,
    by_hand: Vec<String>,
    /// Uid of each pod and the path of its mount.
    for_pods: Vec<(String, String)>,
}

impl Attachment {
    fn on(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            by_hand: Vec::new(),
            for_pods: Vec::new(),
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        let for_pods = self.for_pods.iter().map(|(_, path)| path);
        self.by_hand.iter().chain(for_pods).map(String::as_str)
    }
}

impl State {
    pub(super) fn is_encrypted(&self, volume: &Volume) -> bool {
        volume.is_secure || self.encrypted.contains(&volume.name)
    }

    /// Attaching once more where it is attached already is fine.
    pub(super) fn attach(&mut self, volume: &Volume, node: &str) -> Result<(), Refusal> {
        self.fail_if_wanted(Operation::Attach)?;
        match self.attachments.get(&volume.name) {
            Some(attachment) if attachment.node == node => return Ok(()),
            Some(_) => return Err(Refusal::NotShared),
            None => {}
        }
        if self.is_encrypted(volume) && !self.knows_the_key {
            return Err(Refusal::NoKey);
        }
        self.attachments
            .insert(volume.name.clone(), Attachment::on(node));
        Ok(())
    }

    pub(super) fn detach(&mut self, volume: &Volume, node: &str) -> Result<(), Refusal> {
        let attachment = self.attached_here(volume, node)?;
        if let Some(path) = attachment.paths().next() {
            return Err(Refusal::Mounted {
                id: volume.id.clone(),
                path: path.to_owned(),
            });
        }
        self.fail_if_wanted(Operation::Detach)?;
        self.attachments.remove(&volume.name);
        Ok(())
    }

    /// Notes that the volume is mounted at a path, before it is, so that nobody detaches it meanwhile.
    pub(super) fn mount(&mut self, volume: &Volume, node: &str, path: &str) -> Result<(), Refusal> {
        if !may_be_mounted_at(path) {
            return Err(Refusal::NotSharedMount(path.to_owned()));
        }
        self.attached_here(volume, node)?;
        let is_used = self.attachments.iter().any(|(name, attachment)| {
            *name != volume.name
                && attachment.node == node
                && attachment.by_hand.iter().any(|used| used == path)
        });
        if is_used {
            return Err(Refusal::PathInUse(path.to_owned()));
        }
        self.fail_if_wanted(Operation::Mount)?;
        let attachment = self.attached_here(volume, node)?;
        if !attachment.by_hand.iter().any(|used| used == path) {
            attachment.by_hand.push(path.to_owned());
        }
        Ok(())
    }

    /// Whether the volume may be unmounted from there.
    pub(super) fn check_unmount(
        &mut self,
        volume: &Volume,
        node: &str,
        path: &str,
    ) -> Result<(), Refusal> {
        let attachment = self.attached_here(volume, node)?;
        if !attachment.by_hand.iter().any(|used| used == path) {
            return Err(Refusal::NotMounted(path.to_owned()));
        }
        self.fail_if_wanted(Operation::Unmount)
    }

    /// Notes that the volume is not mounted there any more.
    pub(super) fn unmounted(&mut self, volume: &Volume, path: &str) {
        if let Some(attachment) = self.attachments.get_mut(&volume.name) {
            attachment.by_hand.retain(|used| used != path);
        }
    }

    /// What is mounted by hand on a node: volumes and paths.
    pub(super) fn mounted_by_hand(&self, node: &str) -> Vec<(String, String)> {
        let here = self
            .attachments
            .iter()
            .filter(|(_, attachment)| attachment.node == node);
        here.flat_map(|(volume, attachment)| {
            let paths = attachment.by_hand.iter();
            paths.map(|path| (volume.clone(), path.clone()))
        })
        .collect()
    }

    /// Attaches and mounts a volume for a pod.
    pub(super) fn mount_for_pod(
        &mut self,
        volume: &Volume,
        node: &str,
        pod: &str,
    ) -> Result<(), Refusal> {
        match self.attachments.get(&volume.name) {
            Some(attachment) if attachment.node != node => return Err(Refusal::AttachedElsewhere),
            None if self.is_encrypted(volume) && !self.knows_the_key => {
                return Err(Refusal::NoKey);
            }
            _ => {}
        }
        let attachment = self
            .attachments
            .entry(volume.name.clone())
            .or_insert_with(|| Attachment::on(node));
        if !attachment.for_pods.iter().any(|(uid, _)| uid == pod) {
            let path = volume.path_for_pod(pod);
            attachment.for_pods.push((pod.to_owned(), path));
        }
        Ok(())
    }

    /// Unmounts what a pod used, and detaches what nothing else has mounted.
    pub(super) fn unmount_for_pod(&mut self, pod: &str) {
        self.attachments.retain(|_, attachment| {
            let before = attachment.for_pods.len();
            attachment.for_pods.retain(|(uid, _)| uid != pod);
            attachment.for_pods.len() == before || attachment.paths().next().is_some()
        });
    }

    fn attached_here(&mut self, volume: &Volume, node: &str) -> Result<&mut Attachment, Refusal> {
        match self.attachments.get_mut(&volume.name) {
            Some(attachment) if attachment.node == node => Ok(attachment),
            Some(_) => Err(Refusal::AttachedElsewhere),
            None => Err(Refusal::Detached),
        }
    }

    fn fail_if_wanted(&mut self, operation: Operation) -> Result<(), Refusal> {
        match self.to_fail.get_mut(&operation) {
            Some(times) if *times > 0 => {
                *times -= 1;
                Err(Refusal::Busy)
            }
            _ => Ok(()),
        }
    }
}

/// Below what Portworx pods share with their nodes, and not by way of `..`.
fn may_be_mounted_at(path: &str) -> bool {
    path.strip_prefix(MOUNTS).is_some_and(|inside| {
        inside
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
    })
}
