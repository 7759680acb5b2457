//! A pod that works on an empty volume of its own, and on nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, Pod, PodTemplateSpec, ResourceRequirements, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::ObjectMeta;

use super::metadata::kept_annotations;
use super::spec::kept_of;

/// The volume's name.
const VOLUME: &str = "scratch";
/// What programs print beside the volume.
const LOGS_BYTES: u64 = 64 << 20;
/// Annotations by which a cluster lets a pod in.
const ADMITTED_BY: &str = "openshift.io/";
/// Keeps what gives pods a network of their own from adding a container.
const NO_SIDECAR: (&str, &str) = ("sidecar.istio.io/inject", "false");

/// What the pod is for.
#[derive(Debug, Clone)]
pub struct Scratch<'a> {
    /// Where the volume is.
    pub path: &'a str,
    /// How large it may grow: the node must have so much, and ends the pod when there is more in it.
    pub bytes: u64,
    /// How much memory its programs may take.
    pub memory_bytes: u64,
    /// What runs in it; when that ends, so does the pod.
    pub command: &'a [&'a str],
    /// The cluster ends the pod after this, should nobody else.
    pub lifetime: Duration,
}

/// A pod called `name` with the image of that container of `original`.
///
/// Kept are the image, service account, pull secrets, security contexts, tolerations and node selection, by which the
/// original is let into the cluster. It has none of its labels, by which it would be found in its place; no token of the
/// service account; none of its volumes, environment, probes and sidecars. `None` where there is no such container.
pub fn scratch_pod(
    original: &PodTemplateSpec,
    container: &str,
    name: &str,
    scratch: &Scratch<'_>,
) -> Option<Pod> {
    let spec = original.spec.as_ref()?;
    let own = spec.containers.iter().find(|one| one.name == container)?;
    let quantity = |bytes: u64| Quantity(bytes.to_string());
    let volume = Volume {
        name: VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: None,
            size_limit: Some(quantity(scratch.bytes)),
        }),
        ..Volume::default()
    };
    let mount = VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: scratch.path.to_owned(),
        ..VolumeMount::default()
    };
    let mut kept = kept_of(spec, own, vec![volume], &mount);
    for helper in &mut kept.containers {
        helper.command = Some(scratch.command.iter().map(ToString::to_string).collect());
        helper.volume_mounts = Some(vec![mount.clone()]);
        // Its last words are why it has ended.
        helper.termination_message_policy = Some("FallbackToLogsOnError".to_owned());
        let disk = quantity(scratch.bytes.saturating_add(LOGS_BYTES));
        let limits = [
            ("cpu", Quantity("2".to_owned())),
            ("memory", quantity(scratch.memory_bytes)),
            ("ephemeral-storage", disk.clone()),
        ];
        let requests = [
            ("cpu", Quantity("100m".to_owned())),
            ("memory", quantity(scratch.memory_bytes / 2)),
            ("ephemeral-storage", disk),
        ];
        let map = |entries: [(&str, Quantity); 3]| {
            BTreeMap::from(entries.map(|(name, quantity)| (name.to_owned(), quantity)))
        };
        helper.resources = Some(ResourceRequirements {
            limits: Some(map(limits)),
            requests: Some(map(requests)),
            ..ResourceRequirements::default()
        });
    }
    kept.active_deadline_seconds = i64::try_from(scratch.lifetime.as_secs()).ok();
    let metadata = original.metadata.as_ref();
    let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
    let mut annotations = kept_annotations(annotations, container);
    annotations.retain(|key, _| key.starts_with(ADMITTED_BY));
    let (key, value) = NO_SIDECAR;
    annotations.insert(key.to_owned(), value.to_owned());
    Some(Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(kept),
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_the_database_is_in_the_pod_and_nobody_takes_it_for_one_of_its_own() {
        let original: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {
                "labels": {"k8s.enterprisedb.io/cluster": "wa-postgres-16", "role": "primary", "app": "wa"},
                "annotations": {"k8s.enterprisedb.io/nodeSerial": "1", "openshift.io/required-scc": "nonroot"},
            },
            "spec": {
                "serviceAccountName": "wa-postgres-16",
                "imagePullSecrets": [{"name": "pull"}],
                "securityContext": {"runAsUser": 26, "fsGroup": 26},
                "containers": [{
                    "name": "postgres", "image": "edb:16", "env": [{"name": "PGPASSWORD", "value": "hunter2"}],
                    "resources": {"limits": {"memory": "64Gi"}},
                    "securityContext": {"readOnlyRootFilesystem": true},
                    "volumeMounts": [{"name": "pgdata", "mountPath": "/var/lib/postgresql/data"},
                                     {"name": "app-secret", "mountPath": "/etc/app-secret"}],
                }, {"name": "metrics", "image": "m"}],
                "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": "wa-postgres-16-1"}},
                            {"name": "app-secret", "secret": {"secretName": "wa-postgres-16-app"}}],
            },
        }))
        .unwrap();
        let scratch = Scratch {
            path: "/scratch",
            bytes: 2 << 30,
            memory_bytes: 1 << 30,
            command: &["sh", "-c", "true"],
            lifetime: Duration::from_hours(1),
        };
        let pod = scratch_pod(&original, "postgres", "run-scratch", &scratch).unwrap();
        let text = serde_json::to_string(&pod).unwrap();
        for foreign in [
            "hunter2",
            "pgdata",
            "app-secret",
            "claimName",
            "metrics",
            "enterprisedb",
            "64Gi",
        ] {
            assert!(!text.contains(foreign), "{foreign} in {text}");
        }
        let spec = pod.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.active_deadline_seconds, Some(3600));
        assert_eq!(spec.containers[0].image.as_deref(), Some("edb:16"));
        let volume = spec.volumes.unwrap().remove(0).empty_dir.unwrap();
        assert_eq!(volume.size_limit, Some(Quantity((2_u64 << 30).to_string())));
        assert_eq!(pod.metadata.labels.unwrap().len(), 1);
        assert_eq!(
            pod.metadata.annotations.unwrap()["openshift.io/required-scc"],
            "nonroot"
        );
        assert!(scratch_pod(&original, "other", "x", &scratch).is_none());
    }
}
