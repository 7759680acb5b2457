//! Through a snapshot of the volume: a VolumeSnapshot, a claim made from it, and a helper pod on that claim. The volume
//! itself is not touched, whoever uses it.

use std::fmt;
use std::time::Duration;

use anyhow::{anyhow, bail};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube_transfer::PodContainer;
use serde_json::json;
use wa_common::cluster::{Cluster, ClusterError, Lasting, Probe, Wait, WaitError};
use wa_common::preflight::missing_permissions;
use wa_common::report::{elapsed, printable};

use super::obstacles::Obstacles;
use super::options::AccessOptions;
use super::restored::RestoredClaim;
use crate::change::VolumeChange;
use crate::discovery::{Discovery, if_allowed};
use crate::driver::{SNAPSHOT_GROUP, is_lasting, volume_snapshot_classes, volume_snapshots};
use crate::helper::Helper;
use crate::permissions::to_use_snapshot;
use crate::remedy::{Obstacle, Remediable, Remedy};
use crate::run::VolumeRun;

const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";
/// The policy of classes whose snapshots and volumes outlive the objects that stand for them.
const RETAIN: &str = "Retain";
/// An error that a snapshot shows for this long is not one that passes.
const ERROR_GRACE: Duration = Duration::from_secs(15);

/// The snapshot, the claim and the pod to make.
#[derive(Debug)]
pub(crate) struct SnapshotPlan {
    claim: String,
    snapshot_class: String,
    /// What the claim made from the snapshot takes over from the one that was snapshotted.
    restored: RestoredClaim,
    helper: Helper,
}

impl fmt::Display for SnapshotPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snapshot of {} with class {}, a claim from it, and a helper pod",
            self.claim, self.snapshot_class
        )
    }
}

pub(super) async fn plan(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> Result<Result<SnapshotPlan, Obstacles>, ClusterError> {
    let mut obstacles = Vec::new();
    if !discovery.is_bound() {
        obstacles.push(Obstacle::from(format!(
            "claim {} is {}, so that there is nothing to take a snapshot of",
            discovery.claim_name(),
            discovery.phase()
        )));
    }
    if discovery.is_csi() == Some(false) {
        let reason = "the volume is not a CSI driver's, and only those make snapshots";
        obstacles.push(Obstacle::from(reason.to_owned()));
    }
    let class = match snapshot_class(cluster, discovery, options).await? {
        Ok(class) => Some(class),
        Err(reason) => {
            obstacles.push(reason);
            None
        }
    };
    obstacles.extend(storage_class_obstacle(cluster, discovery, options).await?);
    let missing = missing_permissions(cluster, &to_use_snapshot()).await?;
    obstacles.extend(missing.map(Obstacle::from));
    let helper = helper(discovery, options).map_err(|obstacle| obstacles.push(obstacle));
    Ok(match (class, helper) {
        (Some(snapshot_class), Ok(helper)) if obstacles.is_empty() => Ok(SnapshotPlan {
            claim: discovery.claim_name(),
            snapshot_class,
            restored: RestoredClaim::like(discovery, options),
            helper,
        }),
        _ => Err(Obstacles::from(obstacles)),
    })
}

/// A pod for the claim that is made from the snapshot; it may run on any node.
fn helper(discovery: &Discovery, options: &AccessOptions) -> Result<Helper, Obstacle> {
    let claim = discovery.claim_name();
    match (discovery.template(), options.image.as_deref()) {
        (Some(template), image) => Helper::from_template(&template, &claim, image),
        (None, Some(image)) => Helper::bare(&claim, image),
        (None, None) => Err(Obstacle::new(
            "there is neither a CronJob nor a finished pod of it to take an image from",
            Remedy::Image,
        )),
    }
}

/// The class named, else the one of the volume's driver; the default class where there are several. The inner error is
/// the reason why there is none.
async fn snapshot_class(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> Result<Result<String, Obstacle>, ClusterError> {
    let named = options.snapshot_class.as_deref();
    Ok(
        match cluster.list_custom(&volume_snapshot_classes(), true).await {
            Ok(classes) => choose_class(&classes, named, discovery.provisioner()),
            Err(error) if error.code() == Some(404) => {
                Err("the cluster has no VolumeSnapshots".to_owned().into())
            }
            Err(error) if error.code() == Some(403) => named.map(str::to_owned).ok_or_else(|| {
                let reason = "you may not list volumesnapshotclasses";
                Obstacle::new(reason, Remedy::SnapshotClass)
            }),
            Err(error) => return Err(error),
        },
    )
}

fn choose_class(
    classes: &[DynamicObject],
    named: Option<&str>,
    driver: Option<&str>,
) -> Result<String, Obstacle> {
    let candidates: Vec<&DynamicObject> = match (named, driver) {
        (Some(name), _) => {
            let class = classes.iter().find(|class| class.name_any() == name);
            vec![class.ok_or_else(|| format!("there is no VolumeSnapshotClass {name}"))?]
        }
        (None, Some(driver)) => classes
            .iter()
            .filter(|class| class.data["driver"] == driver)
            .collect(),
        (None, None) => {
            let reason = "the driver of the volume is not known, and so no class for it";
            return Err(Obstacle::new(reason, Remedy::SnapshotClass));
        }
    };
    let first = candidates.first().ok_or_else(|| {
        let driver = driver.unwrap_or_default();
        format!("there is no VolumeSnapshotClass for the volume's driver {driver}")
    })?;
    let default = |class: &&&DynamicObject| {
        class.annotations().get(DEFAULT_CLASS).map(String::as_str) == Some("true")
    };
    let mut ending = candidates
        .iter()
        .filter(|class| class.data["deletionPolicy"] != RETAIN);
    let chosen = ending.clone().find(default).or(ending.next());
    chosen.map(|class| class.name_any()).ok_or_else(|| {
        let reason = format!(
            "VolumeSnapshotClass {} would leave the snapshot on the storage (deletionPolicy Retain), and one that deletes it is needed",
            first.name_any()
        );
        Obstacle::new(reason, Remedy::SnapshotClass)
    })
}

/// What speaks against the class of the claim that is to be made.
async fn storage_class_obstacle(
    cluster: &Cluster,
    discovery: &Discovery,
    options: &AccessOptions,
) -> Result<Option<Obstacle>, ClusterError> {
    let class = match &options.storage_class {
        Some(name) => if_allowed(cluster.find_global(name).await)?,
        None if discovery.class_name().is_none() => {
            return Ok(Some(Obstacle::new(
                "the claim has no storage class, which a claim made from the snapshot needs",
                Remedy::StorageClass,
            )));
        }
        None => discovery.class.clone(),
    };
    let retains =
        class.filter(|class: &StorageClass| class.reclaim_policy.as_deref() == Some(RETAIN));
    Ok(retains.map(|class| {
        let reason = format!(
            "StorageClass {} would leave the copied volume behind (reclaimPolicy Retain), and one that deletes it is needed",
            class.name_any()
        );
        Obstacle::new(reason, Remedy::StorageClass)
    }))
}

impl SnapshotPlan {
    pub(super) async fn open(
        &self,
        run: &VolumeRun,
        timeout: Duration,
    ) -> anyhow::Result<(PodContainer, String)> {
        let snapshot = self.take(run).await?;
        let restore_size = run.guard(ready(run, &snapshot, timeout)).await?;
        let claim = self
            .restore(run, &snapshot, restore_size.as_deref())
            .await?;
        // The pod before the claim is bound: some classes bind a claim only for a pod.
        self.helper
            .clone()
            .on_claim(&claim)
            .start(run, timeout)
            .await
    }

    async fn take(&self, run: &VolumeRun) -> anyhow::Result<String> {
        let name = run.name("snapshot");
        let object = json!({
            "apiVersion": format!("{SNAPSHOT_GROUP}/v1"), "kind": "VolumeSnapshot",
            "metadata": { "name": name },
            "spec": {
                "volumeSnapshotClassName": self.snapshot_class,
                "source": { "persistentVolumeClaimName": self.claim },
            },
        });
        run.create_custom(
            VolumeChange::Snapshot { name: name.clone() },
            &volume_snapshots(),
            object,
        )
        .await?;
        run.step("snapshot", format!("{name} of claim {}", self.claim));
        Ok(name)
    }

    async fn restore(
        &self,
        run: &VolumeRun,
        snapshot: &str,
        restore_size: Option<&str>,
    ) -> anyhow::Result<String> {
        let name = run.name("restored");
        let object = self.restored.object(&name, snapshot, restore_size);
        let claim: PersistentVolumeClaim = serde_json::from_value(object)?;
        run.create(VolumeChange::Claim { name: name.clone() }, claim)
            .await?;
        run.step("claim", format!("{name} from snapshot {snapshot}"));
        Ok(name)
    }
}

/// Waits until the snapshot can be restored from, and returns its size where it has one.
async fn ready(run: &VolumeRun, name: &str, timeout: Duration) -> anyhow::Result<Option<String>> {
    let kind = volume_snapshots();
    let look = || async { Ok(run.cluster().find_custom(&kind, name).await?) };
    let mut failing = Lasting::default();
    let mut said = None;
    let judge = |snapshot: Option<DynamicObject>| {
        let Some(snapshot) = snapshot else {
            bail!("snapshot {name} is gone; somebody has deleted it");
        };
        if snapshot.metadata.deletion_timestamp.is_some() {
            bail!("snapshot {name} is being deleted by somebody else; run the command again");
        }
        let status = &snapshot.data["status"];
        if status["readyToUse"] == true {
            let size = status["restoreSize"].as_str().map(str::to_owned);
            return Ok(Probe::Done(size));
        }
        said = status["error"]["message"].as_str().map(str::to_owned);
        match &said {
            Some(error) if is_lasting(error) => {
                if failing.so() >= ERROR_GRACE {
                    return Err(failed(name, error));
                }
            }
            _ => failing.over(),
        }
        let state = said.clone();
        Ok(Probe::Pending(
            state.unwrap_or_else(|| "the driver takes it".to_owned()),
        ))
    };
    let wait = Wait::new(format!("for snapshot {name}"), timeout, run.reporter());
    let ended = wait.until(look, judge).await;
    ended.map_err(|ended| match (ended, said) {
        (WaitError::Failed(error), _) => error,
        (WaitError::TimedOut(_), Some(error)) if is_lasting(&error) => failed(name, &error),
        (WaitError::TimedOut(_), said) => {
            let said = said.map(|error| format!(" ({})", printable(&error)));
            let what = format!(
                "snapshot {name} is not ready after {}{}; look at the snapshot controller and the driver",
                elapsed(timeout),
                said.unwrap_or_default()
            );
            Remediable::new(what, Remedy::LongerWait).into()
        }
    })
}

fn failed(name: &str, error: &str) -> anyhow::Error {
    anyhow!("snapshot {name} failed: {}", printable(error))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn class(name: &str, policy: &str, annotations: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": { "name": name, "annotations": annotations },
            "driver": "ceph", "deletionPolicy": policy,
        }))
        .unwrap()
    }

    #[test]
    fn a_class_that_keeps_what_is_deleted_is_never_chosen() {
        let default = json!({ DEFAULT_CLASS: "true" });
        let classes = [
            class("keeps", "Retain", &default),
            class("first", "Delete", &json!({})),
            class("default", "Delete", &default),
        ];
        let chosen = |named, classes| choose_class(classes, named, Some("ceph"));
        assert_eq!(chosen(None, &classes[..]).unwrap(), "default");
        assert_eq!(chosen(None, &classes[..2]).unwrap(), "first");
        for (named, classes) in [(None, &classes[..1]), (Some("keeps"), &classes[..])] {
            let Obstacle { reason, remedy } = chosen(named, classes).unwrap_err();
            assert_eq!(remedy, Some(Remedy::SnapshotClass));
            assert!(
                reason.contains("keeps would leave the snapshot"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_class_that_is_not_there_is_reported() {
        let classes = [class("first", "Delete", &json!({}))];
        for (named, driver, reason) in [
            (
                Some("second"),
                Some("ceph"),
                "no VolumeSnapshotClass second",
            ),
            (None, Some("ebs"), "for the volume's driver ebs"),
            (None, None, "not known"),
        ] {
            let told = choose_class(&classes, named, driver).unwrap_err().reason;
            assert!(told.contains(reason), "{told}");
        }
    }
}
