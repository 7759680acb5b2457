//! Which machine each persistent volume is attached to: what the attach/detach controller knows.
//!
//! Left out: `VolumeAttachment` objects, and the six minutes a real controller waits for a machine that went away.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{registration::Machine, spec::Pod};
use crate::meta::object;

/// The volumes in use.
#[derive(Debug, Default)]
pub(super) struct Attachments(Mutex<Vec<Attachment>>);

#[derive(Debug)]
struct Attachment {
    volume: String,
    machine: &'static Machine,
    pod_uid: String,
    pod_name: String,
}

/// What attaching came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attached {
    /// The machine did not have the volume before.
    Now,
    /// Another pod's use, an earlier attempt, or the driver itself attaches it.
    Already,
}

/// Why a pod does not get a volume.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It is attached to another machine, and allows no more than one.
    #[error("Multi-Attach error for volume {volume:?} Volume is already used by pod(s) {pods}")]
    OtherMachine { volume: String, pods: String },
    /// It allows no more than one pod.
    #[error(
        "MountVolume.SetUp failed for volume {volume:?} : volume uses the ReadWriteOncePod access mode and is already \
         in use by another pod"
    )]
    OtherPod { volume: String },
}

impl Attachments {
    /// Attaches a PersistentVolume to the pod's machine, unless its access modes forbid that. Where its driver attaches
    /// it, no machine is refused here.
    pub(super) fn attach(
        &self,
        volume: &Value,
        driver_attaches: bool,
        machine: &'static Machine,
        pod: &Pod,
    ) -> Result<Attached, Refused> {
        let name = object::name(volume);
        let modes: Vec<&str> = volume["spec"]["accessModes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let shared = modes
            .iter()
            .any(|mode| matches!(*mode, "ReadWriteMany" | "ReadOnlyMany"));
        let shared = shared || driver_attaches;
        let mut attachments = self.lock();
        let others = || {
            attachments
                .iter()
                .filter(|one| one.volume == name && one.pod_uid != pod.metadata.uid)
        };
        let elsewhere: Vec<&str> = others()
            .filter(|one| one.machine != machine)
            .map(|one| one.pod_name.as_str())
            .collect();
        if !shared && !elsewhere.is_empty() {
            return Err(Refused::OtherMachine {
                volume: name.to_owned(),
                pods: elsewhere.join(", "),
            });
        }
        if modes == ["ReadWriteOncePod"] && others().next().is_some() {
            return Err(Refused::OtherPod {
                volume: name.to_owned(),
            });
        }
        let here = |one: &Attachment| one.volume == name && one.machine == machine;
        let attached = if driver_attaches || attachments.iter().any(here) {
            Attached::Already
        } else {
            Attached::Now
        };
        if !attachments
            .iter()
            .any(|one| here(one) && one.pod_uid == pod.metadata.uid)
        {
            attachments.push(Attachment {
                volume: name.to_owned(),
                machine,
                pod_uid: pod.metadata.uid.clone(),
                pod_name: pod.metadata.name.clone(),
            });
        }
        Ok(attached)
    }

    /// Ends the pod's use of every volume.
    pub(super) fn detach(&self, pod: &Pod) {
        self.lock().retain(|one| one.pod_uid != pod.metadata.uid);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Attachment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
