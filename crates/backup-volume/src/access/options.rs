//! Which way to go, and with what.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// Which way to the volume, and with what.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// The way asked for.
    pub via: Via,
    /// The claim of the volume; the instance's own backup claim where none is named.
    pub claim: Option<String>,
    /// The VolumeSnapshotClass of [`AccessMethod::Snapshot`]; the one of the volume's driver where none is named.
    pub snapshot_class: Option<String>,
    /// The StorageClass of the volume made from the snapshot; the claim's own where none is named.
    pub storage_class: Option<String>,
    /// The image of the helper pod; the CronJob's own where none is named.
    pub image: Option<String>,
    /// With [`AccessMethod::Portworx`], refuse when a backup starts within this time; `None` does not look.
    pub window: Option<Duration>,
    /// The longest wait for a helper pod, a snapshot or a volume to be ready; `None` waits forever.
    pub timeout: Option<Duration>,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            via: Via::Auto,
            claim: None,
            snapshot_class: None,
            storage_class: None,
            image: None,
            window: Some(Duration::from_mins(15)),
            timeout: Some(Duration::from_mins(5)),
        }
    }
}

impl AccessOptions {
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::MAX)
    }
}

/// A way, or the first of them that can be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The first of all ways that can be gone.
    Auto,
    /// This way.
    Only(AccessMethod),
}

/// A way to the files, in the order in which [`Via::Auto`] prefers them: what changes least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessMethod {
    /// Through a running pod that has the claim mounted.
    Pod,
    /// Through a helper pod on the claim.
    Debug,
    /// Through a helper pod on a claim made from a snapshot.
    Snapshot,
    /// Through a Portworx pod, which attaches the volume to its node.
    Portworx,
}

impl AccessMethod {
    const ALL: [Self; 4] = [Self::Pod, Self::Debug, Self::Snapshot, Self::Portworx];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Debug => "debug",
            Self::Snapshot => "snapshot",
            Self::Portworx => "portworx",
        }
    }

    /// The name of the step that goes this way.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Pod => "via pod",
            Self::Debug => "via debug",
            Self::Snapshot => "via snapshot",
            Self::Portworx => "via portworx",
        }
    }
}

impl Via {
    /// What it is read from.
    pub const NAMES: [&'static str; 5] = ["auto", "pod", "debug", "snapshot", "portworx"];

    pub(super) fn methods(&self) -> &[AccessMethod] {
        match self {
            Self::Auto => &AccessMethod::ALL,
            Self::Only(method) => std::slice::from_ref(method),
        }
    }
}

impl FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let method = AccessMethod::ALL
            .into_iter()
            .find(|method| method.name() == text);
        match method {
            Some(method) => Ok(Self::Only(method)),
            None if text == "auto" => Ok(Self::Auto),
            None => Err(format!("expected one of {}", Self::NAMES.join(", "))),
        }
    }
}
