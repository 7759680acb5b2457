//! What is changed in the cluster for the volume and the backups on it, as data that a later run of any plugin can undo.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde::{Deserialize, Serialize};
use wa_common::run::{Change, Undoing};

use crate::driver::{WORKS_AT_MOST, claim_at_rest, snapshot_at_rest, volume_snapshots};
use crate::names::is_object_name;
use crate::portworx::PortworxMount;

/// Whose runs the records of what is made for access to the volume are.
pub const PLUGIN: &str = "wa-pvc";
/// Whose runs the records of Jobs that take a backup are.
pub const JOBS_PLUGIN: &str = "wa-backup";
/// Whose runs record these changes; what one of them has left, each can undo.
pub const PLUGINS: [&str; 2] = [PLUGIN, JOBS_PLUGIN];
/// How long an object may take to be gone: a node unmounts and detaches the volume first.
const GONE_WITHIN: Duration = Duration::from_secs(100);
/// How long the requests may take beside that.
const REQUESTS: Duration = Duration::from_secs(20);

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum VolumeChange {
    /// A helper pod.
    Pod {
        /// Its name.
        name: String,
    },
    /// A claim made from a snapshot.
    Claim {
        /// Its name.
        name: String,
    },
    /// A VolumeSnapshot.
    Snapshot {
        /// Its name.
        name: String,
    },
    /// A Portworx volume, attached and mounted.
    Portworx(PortworxMount),
    /// A Job that takes a backup.
    Job {
        /// Its name.
        name: String,
    },
}

impl VolumeChange {
    /// Whether the run called `run` can have made it. Whoever may write Leases could have recorded anything.
    fn is_of(&self, run: &str) -> bool {
        match self {
            Self::Pod { name } | Self::Claim { name } | Self::Snapshot { name } => {
                is_object_name(name) && name.starts_with(&format!("{run}-"))
            }
            // A run makes one.
            Self::Job { name } => is_object_name(name) && name == run,
            Self::Portworx(mount) => mount.is_of(run),
        }
    }
}

impl Change for VolumeChange {
    fn describe(&self) -> String {
        match self {
            Self::Pod { name } => format!("pod {name}"),
            Self::Claim { name } => format!("persistentvolumeclaim {name}"),
            Self::Snapshot { name } => format!("volumesnapshot {name}"),
            Self::Portworx(mount) => mount.to_string(),
            Self::Job { name } => format!("job {name}"),
        }
    }

    async fn undo(&self, undoing: Undoing<'_>) -> anyhow::Result<()> {
        let run = undoing.run;
        ensure!(
            self.is_of(run),
            "the record of {run} is not what this plugin writes, and nothing was done; look at its lease"
        );
        match self {
            Self::Pod { name } => undoing.delete::<Pod>(name, GONE_WITHIN).await?,
            Self::Claim { name } => {
                claim_at_rest(undoing, name).await?;
                undoing
                    .delete::<PersistentVolumeClaim>(name, GONE_WITHIN)
                    .await?;
            }
            Self::Snapshot { name } => {
                snapshot_at_rest(undoing, name).await?;
                undoing
                    .delete_custom(&volume_snapshots(), name, GONE_WITHIN)
                    .await?;
            }
            Self::Portworx(mount) => mount.undo(undoing).await?,
            Self::Job { name } => {
                undoing
                    .delete_with_dependents::<Job>(name, GONE_WITHIN)
                    .await?;
            }
        }
        Ok(())
    }

    fn undone_within(&self) -> Duration {
        let driver = match self {
            Self::Claim { .. } | Self::Snapshot { .. } => WORKS_AT_MOST,
            Self::Pod { .. } | Self::Portworx(_) | Self::Job { .. } => Duration::ZERO,
        };
        driver + GONE_WITHIN + REQUESTS
    }

    fn manual_commands(&self, namespace: &str, run: &str) -> String {
        if !self.is_of(run) {
            return format!("kubectl get lease {run} -n {namespace} -o yaml");
        }
        match self {
            Self::Portworx(mount) => mount.manual_commands(),
            Self::Pod { name } => format!("kubectl delete pod {name} -n {namespace}"),
            Self::Claim { name } => format!("kubectl delete pvc {name} -n {namespace}"),
            Self::Snapshot { name } => {
                format!("kubectl delete volumesnapshot {name} -n {namespace}")
            }
            Self::Job { name } => format!("kubectl delete job {name} -n {namespace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let changes = [
            VolumeChange::Pod {
                name: "wa-pvc-1-helper".to_owned(),
            },
            VolumeChange::Portworx(PortworxMount::example()),
            VolumeChange::Job {
                name: "wa-backup-1".to_owned(),
            },
        ];
        let json = serde_json::to_string(&changes).unwrap();
        let back: Vec<VolumeChange> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, changes);
    }

    #[test]
    fn no_command_is_made_of_what_no_run_of_this_plugin_wrote() {
        let manual_commands = |change: VolumeChange| change.manual_commands("cpd", "wa-pvc-1");
        let pod = |name: &str| VolumeChange::Pod {
            name: name.to_owned(),
        };
        assert_eq!(
            manual_commands(pod("wa-pvc-1-helper")),
            "kubectl delete pod wa-pvc-1-helper -n cpd"
        );
        let look = "kubectl get lease wa-pvc-1 -n cpd -o yaml";
        for name in [
            "wa-etcd-0",
            "wa-pvc-12-helper",
            "wa-pvc-1;reboot",
            "wa-pvc-1 x",
            "wa-pvc-1/x",
            "",
        ] {
            assert_eq!(manual_commands(pod(name)), look, "{name:?}");
        }
        let job = |name: &str| VolumeChange::Job {
            name: name.to_owned(),
        };
        assert_eq!(
            manual_commands(job("wa-pvc-1")),
            "kubectl delete job wa-pvc-1 -n cpd"
        );
        assert_eq!(manual_commands(job("wa-backup-job-1795647604")), look);
        for mount in PortworxMount::forged() {
            assert_eq!(manual_commands(VolumeChange::Portworx(mount)), look);
        }
    }
}
