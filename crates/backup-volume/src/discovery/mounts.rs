//! Pods and the claim: which have it mounted, and which a helper pod can be made like.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use kube::ResourceExt as _;
use serde::Serialize;
use wa_common::run::RUN_LABEL;

/// A pod that has the claim, by one of its containers.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Its name.
    pub pod: String,
    /// Absent until the pod is scheduled.
    pub node: Option<String>,
    /// Absent where no container mounts what the pod has.
    #[serde(flatten)]
    pub place: Option<MountPath>,
    /// Whether commands can run in the container, now and as long as the pod runs.
    pub running: bool,
    /// The Job that the pod belongs to: it ends when that is done.
    pub job: Option<String>,
    /// The run whose helper the pod is: it ends with that.
    pub run: Option<String>,
    #[serde(skip)]
    pub(super) created: Option<Timestamp>,
}

/// Where in a pod the files are.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPath {
    /// The container.
    pub container: String,
    /// The path in it.
    pub path: String,
    /// Whether all of the volume is there, rather than a directory of it.
    pub whole: bool,
}

/// What a helper pod can be made from.
pub(crate) struct Template {
    /// Whose it is.
    pub(crate) origin: String,
    pub(crate) pod: PodTemplateSpec,
    /// The claim that it mounts, in whose place the helper pod has ours.
    pub(crate) claim: String,
}

/// The security context constraint by which OpenShift admitted a pod, as it notes it.
const ADMITTED_BY_SCC: &str = "openshift.io/scc";
/// The one that a new pod asks for.
const REQUIRED_SCC: &str = "openshift.io/required-scc";

/// Gives a template the security contexts that the cluster gave a pod which was made from it, and asks for the same
/// constraint. Where policies fill in users and groups, they may fill in others for who makes the helper pod, and those
/// could not read the files.
pub(super) fn admit(template: &mut PodTemplateSpec, made: Option<&Pod>, claim: &str) {
    let Some(made) = made.filter(|pod| job_of(pod).is_some()) else {
        return;
    };
    let (Some(spec), Some(made_spec)) = (template.spec.as_mut(), made.spec.as_ref()) else {
        return;
    };
    let name_in = |spec| mount_in(spec, claim).map(|(container, _)| container.name.clone());
    let (Some((container, _)), Some(name)) = (mount_in(made_spec, claim), name_in(spec)) else {
        return;
    };
    if container.name != name {
        return;
    }
    spec.security_context
        .clone_from(&made_spec.security_context);
    for one in spec.containers.iter_mut().filter(|one| one.name == name) {
        one.security_context.clone_from(&container.security_context);
    }
    if let Some(scc) = made.annotations().get(ADMITTED_BY_SCC) {
        let metadata = template.metadata.get_or_insert_default();
        let annotations = metadata.annotations.get_or_insert_default();
        annotations
            .entry(REQUIRED_SCC.to_owned())
            .or_insert_with(|| scc.clone());
    }
}

/// The first claim that a pod's spec mounts as a whole.
pub(super) fn mounted_claim(spec: &PodSpec) -> Option<String> {
    let volumes = spec.volumes.iter().flatten();
    volumes
        .filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name))
        .find(|claim| mount_in(spec, claim).is_some())
        .cloned()
}

/// The container that mounts the claim as a whole, and where, in a pod's spec.
pub(super) fn mount_in<'a>(spec: &'a PodSpec, claim: &str) -> Option<(&'a Container, &'a str)> {
    let volume = volume_of(spec.volumes.as_deref()?, claim)?;
    spec.containers.iter().find_map(|container| {
        let mount = container
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.name == volume.name && is_whole(mount))?;
        Some((container, mount.mount_path.as_str()))
    })
}

fn volume_of<'a>(volumes: &'a [Volume], claim: &str) -> Option<&'a Volume> {
    volumes.iter().find(|volume| {
        volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|source| source.claim_name == claim)
    })
}

fn is_whole(mount: &VolumeMount) -> bool {
    mount.sub_path.is_none() && mount.sub_path_expr.is_none()
}

pub(super) fn claim_volume<'a>(pod: &'a Pod, claim: &str) -> Option<&'a Volume> {
    volume_of(pod.spec.as_ref()?.volumes.as_deref()?, claim)
}

pub(super) fn created(pod: &Pod) -> Option<Timestamp> {
    let time = pod.metadata.creation_timestamp.as_ref();
    time.map(|time| time.0)
}

/// The Job that a pod belongs to.
pub(super) fn job_of(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let job = owners.find(|owner| owner.kind == "Job")?;
    Some(&job.name)
}

/// What has the claim in a pod. A node attaches what a pod has before its first container runs, and whether or not any
/// container mounts it: a pod that has the claim is always in the list.
pub(super) fn mounts(pod: &Pod, claim: &str) -> Vec<Mount> {
    let Some((spec, volume)) = pod.spec.as_ref().zip(claim_volume(pod, claim)) else {
        return Vec::new();
    };
    let mount = |place, running| Mount {
        pod: pod.name_any(),
        node: spec.node_name.clone(),
        place,
        running,
        job: job_of(pod).map(str::to_owned),
        run: pod.labels().get(RUN_LABEL).cloned(),
        created: created(pod),
    };
    let initial = spec.init_containers.iter().flatten();
    let containers = spec.containers.iter().map(|container| (container, true));
    let containers = containers.chain(initial.map(|container| (container, is_sidecar(container))));
    let found: Vec<Mount> = containers
        .flat_map(|(container, lasts)| {
            let running = lasts && runs(pod, &container.name);
            let mounts = container.volume_mounts.iter().flatten();
            let here = mounts.filter(|mount| mount.name == volume.name);
            here.map(move |mount| (container, mount, running))
        })
        .map(|(container, found, running)| {
            let place = MountPath {
                container: container.name.clone(),
                path: found.mount_path.clone(),
                whole: is_whole(found),
            };
            mount(Some(place), running)
        })
        .collect();
    if found.is_empty() {
        vec![mount(None, false)]
    } else {
        found
    }
}

/// Whether an init container runs as long as the others.
fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn runs(pod: &Pod, container: &str) -> bool {
    let status = pod.status.iter();
    let mut statuses = status
        .flat_map(|status| [&status.container_statuses, &status.init_container_statuses])
        .flatten()
        .flatten();
    pod.metadata.deletion_timestamp.is_none()
        && statuses.any(|status| {
            let state = status.state.as_ref();
            status.name == container && state.is_some_and(|state| state.running.is_some())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CLAIM: &str = "backups";

    fn spec(pod_context: &Value, context: &Value) -> Value {
        json!({
            "securityContext": pod_context,
            "containers": [{
                "name": "backup", "image": "of the template", "securityContext": context,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}],
        })
    }

    #[test]
    fn a_helper_pod_runs_as_the_backups_pods_were_made_to() {
        let template = spec(&json!({}), &json!({"runAsNonRoot": true}));
        let template: PodTemplateSpec =
            serde_json::from_value(json!({ "spec": template })).unwrap();
        let pod_context =
            json!({"fsGroup": 1_000_650_000, "seLinuxOptions": {"level": "s0:c26,c5"}});
        let context = json!({"runAsNonRoot": true, "runAsUser": 1_000_650_000});
        let mut made = json!({
            "metadata": {
                "name": "wa-backup-1-x", "annotations": {"openshift.io/scc": "restricted-v2"},
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "Job", "name": "wa-backup-1", "uid": "u"},
                ],
            },
            "spec": spec(&pod_context, &context),
        });
        made["spec"]["containers"][0]["image"] = "of the pod".into();
        let admitted = |made: Option<&Value>| {
            let made: Option<Pod> = made.map(|made| serde_json::from_value(made.clone()).unwrap());
            let mut admitted = template.clone();
            admit(&mut admitted, made.as_ref(), CLAIM);
            let admitted = serde_json::to_value(admitted).unwrap();
            let spec = &admitted["spec"];
            let container = &spec["containers"][0];
            assert_eq!(container["image"], "of the template");
            [
                spec["securityContext"].clone(),
                container["securityContext"].clone(),
                admitted["metadata"]["annotations"][REQUIRED_SCC].clone(),
            ]
        };
        let as_made = [pod_context, context, "restricted-v2".into()];
        assert_eq!(admitted(Some(&made)), as_made);

        let own = [json!({}), json!({"runAsNonRoot": true}), Value::Null];
        let mut of_no_job = made.clone();
        of_no_job["metadata"]["ownerReferences"] = json!([]);
        made["spec"]["containers"][0]["name"] = "another".into();
        for other in [Some(&of_no_job), Some(&made), None] {
            assert_eq!(admitted(other), own);
        }
    }

    #[test]
    fn a_template_that_asks_for_a_constraint_itself_keeps_its_own() {
        let pod = |annotation: &str, value: &str| {
            json!({
                "metadata": {
                    "name": "x", "annotations": {annotation: value},
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}],
                },
                "spec": spec(&json!({}), &json!({})),
            })
        };
        let mut template: PodTemplateSpec =
            serde_json::from_value(pod(REQUIRED_SCC, "nonroot-v2")).unwrap();
        let made: Pod = serde_json::from_value(pod(ADMITTED_BY_SCC, "anyuid")).unwrap();
        admit(&mut template, Some(&made), CLAIM);
        let annotations = template.metadata.unwrap().annotations.unwrap();
        assert_eq!(annotations[REQUIRED_SCC], "nonroot-v2");
    }

    #[test]
    fn a_mount_of_a_part_of_the_volume_makes_no_template() {
        for key in ["subPath", "subPathExpr"] {
            let mut part = spec(&json!({}), &json!({}));
            part["containers"][0]["volumeMounts"][0][key] = "today".into();
            let part: PodSpec = serde_json::from_value(part).unwrap();
            assert!(mount_in(&part, CLAIM).is_none(), "{key}");
        }
    }

    #[test]
    fn whoever_has_the_claim_uses_it_and_only_what_goes_on_running_can_be_read_through() {
        let container = json!({
            "name": "c", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        });
        let mut sidecar = container.clone();
        sidecar["restartPolicy"] = "Always".into();
        let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]);
        let running = json!([{
            "name": "c", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        }]);
        let cases = [
            (
                json!({"containers": [container]}),
                "containerStatuses",
                true,
                true,
            ),
            (
                json!({"initContainers": [sidecar]}),
                "initContainerStatuses",
                true,
                true,
            ),
            (
                json!({"initContainers": [container]}),
                "initContainerStatuses",
                true,
                false,
            ),
            (
                json!({"containers": [{"name": "c"}]}),
                "containerStatuses",
                false,
                false,
            ),
        ];
        for (mut spec, statuses, mounted, readable) in cases {
            if spec["containers"].is_null() {
                spec["containers"] = json!([]);
            }
            spec["nodeName"] = "node1".into();
            spec["volumes"] = volumes.clone();
            let pod =
                json!({"metadata": {"name": "p"}, "spec": spec, "status": {statuses: running}});
            let found = mounts(&serde_json::from_value(pod).unwrap(), CLAIM);
            assert_eq!(found.len(), 1, "{spec}");
            assert_eq!(found[0].node.as_deref(), Some("node1"));
            let place = found[0].place.as_ref();
            assert_eq!(place.is_some_and(|place| place.whole), mounted, "{spec}");
            assert_eq!(found[0].running, readable, "{spec}");
        }
    }
}
