//! What a caller can do about what went wrong. This crate says what happened; how it is asked for otherwise, only a command
//! line knows.

/// What can be asked for otherwise, so that it may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Another directory for the sets.
    OtherDirectory,
    /// To go on with what has arrived.
    Resume,
    /// The dump alone, without its auth-encryption file.
    WithoutKey,
    /// The dump as it is, unverified.
    WithoutVerification,
    /// Another way to the files.
    OtherWay,
    /// A helper pod on the volume itself, which Kubernetes attaches.
    HelperPod,
    /// A named image for the helper pod.
    Image,
    /// A named VolumeSnapshotClass.
    SnapshotClass,
    /// A named StorageClass.
    StorageClass,
    /// A shorter time in which no backup may start.
    ShorterWindow,
    /// Not to look when the next backup starts.
    NoWindow,
    /// A longer wait.
    LongerWait,
}

/// What went wrong, for which there is a remedy.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Remediable {
    what: String,
    /// What helps.
    pub remedy: Remedy,
}

impl Remediable {
    pub(crate) fn new(what: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            what: what.into(),
            remedy,
        }
    }
}

/// A reason why a way cannot be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obstacle {
    /// What it is.
    pub reason: String,
    /// What helps, where something does.
    pub remedy: Option<Remedy>,
}

impl Obstacle {
    pub(crate) fn new(reason: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            reason: reason.into(),
            remedy: Some(remedy),
        }
    }
}

impl From<String> for Obstacle {
    fn from(reason: String) -> Self {
        Self {
            reason,
            remedy: None,
        }
    }
}
