//! What this plugin changes in the cluster, as data that a later run can undo.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wa_common::cli::Context;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter};
use wa_common::run::{Change, Recorded, Run, RunError, Undoing};

use crate::driver::{WORKS_AT_MOST, claim_at_rest, snapshot_at_rest, volume_snapshots};
use crate::reach::PortworxMount;

/// This plugin's name in the records.
pub(crate) const PLUGIN: &str = "wa-pvc";
/// How long an object may take to be gone: a node unmounts and detaches the volume first.
const GONE_WITHIN: Duration = Duration::from_secs(100);
/// How long the requests may take beside that.
const REQUESTS: Duration = Duration::from_secs(20);

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum VolumeChange {
    /// A helper pod.
    Pod { name: String },
    /// A claim made from a snapshot.
    Claim { name: String },
    /// A VolumeSnapshot.
    Snapshot { name: String },
    /// A Portworx volume, attached and mounted.
    Portworx(PortworxMount),
}

impl VolumeChange {
    /// Whether the run called `run` can have made it. Whoever may write Leases could have recorded anything.
    fn is_of(&self, run: &str) -> bool {
        match self {
            Self::Pod { name } | Self::Claim { name } | Self::Snapshot { name } => {
                is_object_name(name) && name.starts_with(&format!("{run}-"))
            }
            Self::Portworx(mount) => mount.is_of(run),
        }
    }
}

/// Whether an object can be called that (RFC 1123): then it is one word to a shell, and no option.
pub(crate) fn is_object_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

impl Change for VolumeChange {
    fn describe(&self) -> String {
        match self {
            Self::Pod { name } => format!("pod {name}"),
            Self::Claim { name } => format!("persistentvolumeclaim {name}"),
            Self::Snapshot { name } => format!("volumesnapshot {name}"),
            Self::Portworx(mount) => mount.to_string(),
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
            Self::Portworx(mount) => mount.undo(undoing.cluster).await?,
        }
        Ok(())
    }

    fn undone_within(&self) -> Duration {
        let driver = match self {
            Self::Claim { .. } | Self::Snapshot { .. } => WORKS_AT_MOST,
            Self::Pod { .. } | Self::Portworx(_) => Duration::ZERO,
        };
        driver + GONE_WITHIN + REQUESTS
    }

    fn by_hand(&self, namespace: &str, run: &str) -> String {
        if !self.is_of(run) {
            return format!("kubectl get lease {run} -n {namespace} -o yaml");
        }
        match self {
            Self::Portworx(mount) => mount.by_hand(),
            Self::Pod { name } => format!("kubectl delete pod {name} -n {namespace}"),
            Self::Claim { name } => format!("kubectl delete pvc {name} -n {namespace}"),
            Self::Snapshot { name } => {
                format!("kubectl delete volumesnapshot {name} -n {namespace}")
            }
        }
    }
}

/// A run of this plugin that changes something.
pub(crate) struct VolumeRun {
    run: Arc<Run<VolumeChange>>,
    cluster: Cluster,
    reporter: Arc<dyn Reporter>,
}

impl VolumeRun {
    /// Begins one. What it changes is undone when the command ends, however it ends.
    pub(crate) async fn begin(
        context: &Context,
        cluster: &Cluster,
        purpose: String,
    ) -> Result<Self, RunError> {
        Ok(Self {
            run: Run::begin(
                &context.endings,
                &context.reporter,
                cluster,
                PLUGIN,
                purpose,
            )
            .await?,
            cluster: cluster.clone(),
            reporter: Arc::clone(&context.reporter),
        })
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    pub(crate) fn step(&self, step: &'static str, detail: String) {
        self.reporter.report(&Event::Step { step, detail });
    }

    /// The run's own name.
    pub(crate) fn run_name(&self) -> &str {
        self.run.run_name()
    }

    /// A name for an object of this run.
    pub(crate) fn name(&self, suffix: &str) -> String {
        self.run.name(suffix)
    }

    pub(crate) async fn record(&self, change: VolumeChange) -> Result<Recorded, RunError> {
        self.run.record(change).await
    }

    /// Records the change, then creates the object that it is.
    pub(crate) async fn create<K>(&self, change: VolumeChange, object: K) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize
            + Send
            + Sync
            + 'static,
    {
        let recorded = self.record(change).await?;
        Ok(recorded.create(&self.cluster, object).await?)
    }

    /// As [`Self::create`], for a custom resource.
    pub(crate) async fn create_custom(
        &self,
        change: VolumeChange,
        kind: &ApiResource,
        object: Value,
    ) -> anyhow::Result<DynamicObject> {
        let recorded = self.record(change).await?;
        let object = serde_json::from_value(object)?;
        Ok(recorded.create_custom(&self.cluster, kind, object).await?)
    }

    /// Does `work`, as long as nobody else has taken over this run.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.run.guard(work).await?
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
        ];
        let json = serde_json::to_string(&changes).unwrap();
        let back: Vec<VolumeChange> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, changes);
    }

    #[test]
    fn no_command_is_made_of_what_no_run_of_this_plugin_wrote() {
        let by_hand = |change: VolumeChange| change.by_hand("cpd", "wa-pvc-1");
        let pod = |name: &str| VolumeChange::Pod {
            name: name.to_owned(),
        };
        assert_eq!(
            by_hand(pod("wa-pvc-1-helper")),
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
            assert_eq!(by_hand(pod(name)), look, "{name:?}");
        }
        for mount in PortworxMount::made_up() {
            assert_eq!(by_hand(VolumeChange::Portworx(mount)), look);
        }
    }
}
