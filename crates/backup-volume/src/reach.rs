//! What can be known of volumes and their files at once and without changing anything: for a shell that completes a command
//! line, whose user waits.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use kube::api::ApiResource;
use kube_transfer::PodContainer;
use kube_transfer::file::{Entry, Space};
use wa_common::assistant::{Instance, backup_claim};
use wa_common::cluster::{Cluster, ClusterError};

use crate::discovery::mounts_of;
use crate::driver::volume_snapshot_classes;
use crate::selection::dumps;

/// The dumps on the volume, newest first; none where no running pod has it mounted. One that is about to end will do.
pub async fn dumps_in_reach(
    cluster: &Cluster,
    instance: Option<&str>,
    claim: Option<&str>,
) -> anyhow::Result<Vec<Entry>> {
    let claim = if let Some(claim) = claim {
        claim.to_owned()
    } else {
        let instance = Instance::find(cluster, instance).await?;
        backup_claim(cluster, &instance).await?.name_any()
    };
    let Some((target, directory)) = place_in_reach(cluster, &claim).await? else {
        return Ok(Vec::new());
    };
    Ok(dumps(cluster.pod(&target).list(&directory).await?))
}

/// How full the volume of a claim is; `None` where no running pod has it mounted.
pub async fn space_in_reach(cluster: &Cluster, claim: &str) -> anyhow::Result<Option<Space>> {
    let Some((target, directory)) = place_in_reach(cluster, claim).await? else {
        return Ok(None);
    };
    Ok(Some(cluster.pod(&target).space(&directory).await?))
}

/// Where a running pod has the claim.
async fn place_in_reach(
    cluster: &Cluster,
    claim: &str,
) -> Result<Option<(PodContainer, String)>, ClusterError> {
    let mut mounts = mounts_of(cluster, claim).await?.into_iter();
    Ok(mounts.find_map(|mount| {
        let place = mount.place.filter(|place| place.whole && mount.running)?;
        let target = PodContainer {
            namespace: cluster.namespace().to_owned(),
            pod: mount.pod,
            container: place.container,
        };
        Some((target, place.path))
    }))
}

/// The names of the claims in the cluster's namespace.
pub async fn claims(cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
    let claims: Vec<PersistentVolumeClaim> = cluster.list("").await?;
    Ok(claims.iter().map(PersistentVolumeClaim::name_any).collect())
}

/// A class of snapshots or of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The driver that does it.
    pub driver: String,
}

/// The classes by which snapshots of volumes can be taken.
pub async fn snapshot_classes(cluster: &Cluster) -> Result<Vec<Class>, ClusterError> {
    classes(cluster, &volume_snapshot_classes(), "driver").await
}

/// The classes by which volumes can be made.
pub async fn storage_classes(cluster: &Cluster) -> Result<Vec<Class>, ClusterError> {
    classes(
        cluster,
        &ApiResource::erase::<StorageClass>(&()),
        "provisioner",
    )
    .await
}

async fn classes(
    cluster: &Cluster,
    kind: &ApiResource,
    driver: &str,
) -> Result<Vec<Class>, ClusterError> {
    let classes = cluster.list_custom(kind, true).await?;
    let class = |one: &kube::api::DynamicObject| Class {
        name: one.name_any(),
        driver: one.data[driver].as_str().unwrap_or_default().to_owned(),
    };
    Ok(classes.iter().map(class).collect())
}
