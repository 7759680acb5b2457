//! The flags that say which way to go, and with what.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use wa_common::cli::TimeLimit;

/// Which way to the volume, and with what.
#[derive(Debug, Clone, clap::Args)]
pub struct AccessArgs {
    /// Way to the files: auto, pod, debug, snapshot or portworx
    #[arg(
        long,
        value_name = "WAY",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub via: Via,

    /// Claim of the volume, if not the instance's own backup claim
    #[arg(long, value_name = "CLAIM")]
    pub pvc: Option<String>,

    /// VolumeSnapshotClass for --via snapshot [default: the one of the volume's driver]
    #[arg(long, value_name = "NAME")]
    pub snapshot_class: Option<String>,

    /// StorageClass of the volume made from the snapshot [default: the claim's own]
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,

    /// Image of the helper pod [default: the CronJob's own]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// With --via portworx, refuse when a backup starts within this time; 0 does not look
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub window: TimeLimit,

    /// Longest wait for a helper pod, a snapshot or a volume to be ready; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub timeout: TimeLimit,
}

impl AccessArgs {
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.0.unwrap_or(Duration::MAX)
    }
}

/// What `--via` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    Auto,
    Pod,
    Debug,
    Snapshot,
    Portworx,
}

/// A way to the files, in the order in which `auto` prefers them: what changes least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Pod,
    Debug,
    Snapshot,
    Portworx,
}

impl Method {
    const ALL: [Self; 4] = [Self::Pod, Self::Debug, Self::Snapshot, Self::Portworx];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Debug => "debug",
            Self::Snapshot => "snapshot",
            Self::Portworx => "portworx",
        }
    }

    /// The name of the step that goes this way.
    pub fn step(self) -> &'static str {
        match self {
            Self::Pod => "via pod",
            Self::Debug => "via debug",
            Self::Snapshot => "via snapshot",
            Self::Portworx => "via portworx",
        }
    }
}

impl Via {
    pub(super) fn methods(self) -> &'static [Method] {
        match self {
            Self::Auto => &Method::ALL,
            Self::Pod => &[Method::Pod],
            Self::Debug => &[Method::Debug],
            Self::Snapshot => &[Method::Snapshot],
            Self::Portworx => &[Method::Portworx],
        }
    }
}
