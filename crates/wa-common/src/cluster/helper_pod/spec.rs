//! What a helper pod takes from the pod it is derived from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Affinity, Container, PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;
use thiserror::Error;

use super::HELPER_CONTAINER;
use super::metadata::{kept_annotations, kept_labels};
use super::selectors::unselect;

/// Sleeps until it is told to end. The first process of a container gets only the signals it asks for;
/// where a pod's containers share their processes it is not the first, and must leave none behind.
const SLEEP: &str = "trap 'kill $!; wait; exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";
/// The shell ends at once; this is for what still runs beside it.
const GRACE_SECONDS: i64 = 5;

/// A pod that keeps one claim's volume mounted, as some other pod mounts it.
#[derive(Debug, Clone)]
pub struct HelperPodSpec {
    /// The claim. Any other than the original pod's is mounted in its place.
    pub claim: String,
    /// The image, with a shell and what reads files in it.
    pub image: String,
    /// The node to run on, past the scheduler: where a volume of one node is in use.
    pub node: Option<String>,
    /// Whether the files cannot be changed through it.
    pub read_only: bool,
    /// The cluster ends the pod after this, should nobody else.
    pub lifetime: Duration,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Of the claim's volume within the template.
    volume: String,
    mount: VolumeMount,
    /// One container, and only what is kept of the original.
    template: PodSpec,
}

/// The pod that a helper was to be derived from does not mount the claim, or a directory of it only.
#[derive(Debug, Error)]
#[error("no container of {from} mounts the claim {claim} as a whole")]
pub struct NotMounted {
    /// The pod or template.
    pub from: String,
    /// The claim.
    pub claim: String,
}

impl HelperPodSpec {
    /// Derives a helper from the pods of `from` (`cronjob wa-store-cronjob`), for at most `lifetime`.
    ///
    /// Kept are the image, the claim's mount and such other mounted volumes as hold neither secrets nor other claims,
    /// service account, pull secrets, security contexts, tolerations, node selection and resources. Everything else is
    /// dropped, the environment included: what only holds a volume needs no password and no token. Of labels and
    /// annotations all are kept that are not about the original pod alone.
    pub fn derive(
        pod: &PodTemplateSpec,
        from: &str,
        claim: &str,
        lifetime: Duration,
    ) -> Result<Self, NotMounted> {
        let not_mounted = || NotMounted {
            from: from.to_owned(),
            claim: claim.to_owned(),
        };
        let spec = pod.spec.as_ref().ok_or_else(not_mounted)?;
        let metadata = pod.metadata.as_ref();
        let labels = metadata.and_then(|metadata| metadata.labels.as_ref());
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        let volumes = spec.volumes.iter().flatten();
        let volume = volumes
            .clone()
            .find(|volume| claim_of(volume) == Some(claim))
            .ok_or_else(not_mounted)?;
        let mount_in = |container: &Container| {
            let mut mounts = container.volume_mounts.iter().flatten();
            mounts
                .find(|mount| mount.name == volume.name && is_whole(mount))
                .cloned()
        };
        let (container, mount) = spec
            .containers
            .iter()
            .find_map(|container| Some((container, mount_in(container)?)))
            .ok_or_else(not_mounted)?;
        let kept: Vec<Volume> = volumes
            .filter(|other| other.name == volume.name || is_harmless(other))
            .filter(|other| mounts(container, other))
            .cloned()
            .collect();
        Ok(Self {
            claim: claim.to_owned(),
            image: container.image.clone().unwrap_or_default(),
            node: None,
            read_only: false,
            lifetime,
            labels: kept_labels(labels),
            annotations: kept_annotations(annotations, &container.name),
            volume: volume.name.clone(),
            template: kept_of(spec, container, kept, &mount),
            mount,
        })
    }

    /// Where the volume's files are in the pod.
    pub fn mount_path(&self) -> &str {
        &self.mount.mount_path
    }

    /// Without the labels by which any of the selectors would select it.
    #[must_use]
    pub fn unselected(mut self, selectors: &[LabelSelector]) -> Self {
        unselect(&mut self.labels, selectors);
        self
    }

    /// The pod, called `name`.
    pub fn pod(&self, name: &str) -> Pod {
        let mut spec = self.template.clone();
        for volume in spec.volumes.iter_mut().flatten() {
            if volume.name == self.volume {
                volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
                    claim_name: self.claim.clone(),
                    read_only: None,
                });
            }
        }
        for container in &mut spec.containers {
            container.image = Some(self.image.clone());
            for mount in container.volume_mounts.iter_mut().flatten() {
                if mount.name == self.volume && self.read_only {
                    mount.read_only = Some(true);
                }
            }
        }
        if let Some(node) = &self.node {
            spec.node_name = Some(node.clone());
            // Chosen by the scheduler, they would only let the node refuse the pod.
            spec.node_selector = None;
            spec.affinity = None;
        }
        spec.active_deadline_seconds = i64::try_from(self.lifetime.as_secs()).ok();
        Pod {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
            status: None,
        }
    }
}

fn claim_of(volume: &Volume) -> Option<&str> {
    let claim = volume.persistent_volume_claim.as_ref()?;
    Some(&claim.claim_name)
}

fn mounts(container: &Container, volume: &Volume) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| mount.name == volume.name)
}

/// Holds no secret and cannot be in use elsewhere. A writable directory may be needed where the root is read-only.
fn is_harmless(volume: &Volume) -> bool {
    volume.empty_dir.is_some() || volume.config_map.is_some() || volume.downward_api.is_some()
}

/// Whether all of the volume is mounted, rather than a directory of it.
fn is_whole(mount: &VolumeMount) -> bool {
    mount.sub_path.is_none() && mount.sub_path_expr.is_none()
}

pub(super) fn kept_of(
    spec: &PodSpec,
    container: &Container,
    volumes: Vec<Volume>,
    of_claim: &VolumeMount,
) -> PodSpec {
    let kept: BTreeSet<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    // Expressions need the environment, which is not kept.
    let is_kept = |mount: &&VolumeMount| {
        kept.contains(mount.name.as_str())
            && mount.sub_path_expr.is_none()
            && (mount.name != of_claim.name || *mount == of_claim)
    };
    let mounts = container.volume_mounts.iter().flatten();
    let helper = Container {
        name: HELPER_CONTAINER.to_owned(),
        image: container.image.clone(),
        image_pull_policy: container.image_pull_policy.clone(),
        command: Some(["sh", "-c", SLEEP].map(str::to_owned).to_vec()),
        // A LimitRange may demand them.
        resources: container
            .resources
            .clone()
            .map(|resources| ResourceRequirements {
                claims: None,
                ..resources
            }),
        security_context: container.security_context.clone(),
        volume_mounts: Some(mounts.filter(is_kept).cloned().collect()),
        ..Container::default()
    };
    PodSpec {
        affinity: spec.affinity.as_ref().and_then(only_node_affinity),
        automount_service_account_token: Some(false),
        containers: vec![helper],
        enable_service_links: Some(false),
        image_pull_secrets: spec.image_pull_secrets.clone(),
        node_selector: spec.node_selector.clone(),
        priority_class_name: spec.priority_class_name.clone(),
        restart_policy: Some("Never".to_owned()),
        runtime_class_name: spec.runtime_class_name.clone(),
        // Some storage has its own, which knows where the data is.
        scheduler_name: spec.scheduler_name.clone(),
        security_context: spec.security_context.clone().map(without_chown),
        service_account_name: spec.service_account_name.clone(),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        tolerations: spec.tolerations.clone(),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// The helper has none of the labels that affinity between pods is about.
fn only_node_affinity(affinity: &Affinity) -> Option<Affinity> {
    affinity.node_affinity.as_ref()?;
    Some(Affinity {
        node_affinity: affinity.node_affinity.clone(),
        ..Affinity::default()
    })
}

/// A node would otherwise give every file of the volume to the group again, which takes long and changes them.
fn without_chown(context: PodSecurityContext) -> PodSecurityContext {
    let policy = context
        .fs_group
        .map(|_| "OnRootMismatch".to_owned())
        .or_else(|| context.fs_group_change_policy.clone());
    PodSecurityContext {
        fs_group_change_policy: policy,
        ..context
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
