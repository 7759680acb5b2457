//! Deployments scaled down and back, the CronJob suspended, Redis restarted.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use kube_transfer::DownloadError;
use kube_transfer::job::JobError;
use serde_json::json;
use wa_common::assistant::AssistantError;
use wa_common::cluster::{Cluster, ClusterError, Probe, Wait, WaitError, pod_has_ended};
use wa_common::report::{Reporter, count};
use wa_common::run::journal::JournalError;

use crate::database::ServerError;
use crate::target::{labels_of, restarts_by_itself};

/// How long pods may take to go: a node that is away keeps them for minutes.
pub(super) const GONE_WITHIN: Duration = Duration::from_mins(15);

/// How many of the pods that have not gone are named.
const NAMED_PODS: usize = 3;

/// What is known while nothing can be seen.
pub(super) const AWAY: &str = "the API server cannot be reached";

/// Scales a Deployment of the cluster's namespace.
pub(super) async fn scale(
    cluster: &Cluster,
    deployment: &str,
    replicas: i32,
) -> Result<(), ClusterError> {
    send_scale(cluster, deployment, replicas, &PATCH).await
}

/// The same, sent as `parameters` say.
pub(super) async fn send_scale(
    cluster: &Cluster,
    deployment: &str,
    replicas: i32,
    parameters: &PatchParams,
) -> Result<(), ClusterError> {
    let api: Api<Deployment> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let what = format!("scale deployment {deployment} to {replicas}");
    cluster
        .send_idempotent(&what, || api.patch_scale(deployment, parameters, &patch))
        .await
        .map(drop)
}

/// As kubectl's own patches are: no field manager, no force.
const PATCH: PatchParams = PatchParams {
    dry_run: false,
    force: false,
    field_manager: None,
    field_validation: None,
};

/// The same, which the API server only answers, without doing it.
pub(super) const TRIAL: PatchParams = PatchParams {
    dry_run: true,
    ..PATCH
};

/// A Deployment that must be there.
pub(super) async fn deployment(cluster: &Cluster, name: &str) -> anyhow::Result<Deployment> {
    let found: Option<Deployment> = cluster.find(name).await?;
    found.with_context(|| {
        format!(
            "deployment {name} in namespace {} is gone",
            cluster.namespace()
        )
    })
}

/// How many replicas are asked for; what Kubernetes makes of no number is 1.
pub(super) fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Waits until no pod of a Deployment is there; an error where something scales it back meanwhile.
pub(super) async fn pods_gone(
    cluster: &Cluster,
    name: &str,
    limit: Duration,
    reporter: &dyn Reporter,
) -> anyhow::Result<()> {
    let look = || {
        patiently(async {
            let deployment = deployment(cluster, name).await?;
            let pods = pods_of(cluster, &deployment).await?;
            anyhow::Ok((replicas(&deployment), pods))
        })
    };
    let judge = |found: Option<(i32, Vec<Pod>)>| {
        let Some((replicas, pods)) = found else {
            return Ok(Probe::Pending(AWAY.to_owned()));
        };
        if replicas != 0 {
            bail!(
                "something has scaled deployment {name} back to {replicas} while it was to be at 0: look who does that (an autoscaler, GitOps, a second operator)"
            );
        }
        Ok(if pods.is_empty() {
            Probe::Done(())
        } else {
            Probe::Pending(in_words(&pods))
        })
    };
    let wait = Wait::new(format!("for the pods of {name} to go"), limit, reporter);
    wait.until(look, judge).await.map_err(WaitError::into_error)
}

/// `2 pods: wa-store-5d9-a on node worker-1, wa-store-5d9-b on node worker-2`: a pod on a node that is away stays until that
/// is back, and a person must know which.
fn in_words(pods: &[Pod]) -> String {
    let named = pods.iter().take(NAMED_PODS).map(|pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        let node = node.map_or_else(String::new, |node| format!(" on node {node}"));
        format!("{}{node}", pod.name_any())
    });
    let named: Vec<String> = named.collect();
    let more = if pods.len() > NAMED_PODS { ", …" } else { "" };
    format!(
        "{}: {}{more}",
        count(pods.len() as u64, "pod"),
        named.join(", ")
    )
}

/// The pods of a Deployment in which something may still be at work, those that are ending included. Others that its
/// selector finds as well are not counted: those of another instance under the same labels, and those that have failed,
/// as by an eviction, which nobody removes when a Deployment is scaled down.
pub(super) async fn pods_of(
    cluster: &Cluster,
    deployment: &Deployment,
) -> anyhow::Result<Vec<Pod>> {
    let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
    let labels = selector.and_then(labels_of).with_context(|| {
        format!(
            "deployment {} does not select its pods by labels alone, so that they cannot be waited for",
            deployment.name_any()
        )
    })?;
    let mut pods: Vec<Pod> = cluster.list(&labels).await?;
    pods.retain(|pod| is_made_by(pod, &deployment.name_any()) && may_be_at_work(pod));
    Ok(pods)
}

/// Whether a pod is of a ReplicaSet of this Deployment: that is called by the Deployment and the hash of the pod's template.
fn is_made_by(pod: &Pod, deployment: &str) -> bool {
    let Some(hash) = pod.labels().get("pod-template-hash") else {
        return false;
    };
    let set = format!("{deployment}-{hash}");
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| owner.kind == "ReplicaSet" && owner.name == set)
}

fn may_be_at_work(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || !pod_has_ended(pod)
}

/// Whether the controller has made everything of a Deployment that it asks for; else how far it is.
pub(super) fn readiness(deployment: &Deployment) -> Result<(), String> {
    let wanted = replicas(deployment);
    let status = deployment.status.as_ref();
    let ready = status
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default();
    let seen =
        status.and_then(|status| status.observed_generation) == deployment.metadata.generation;
    if seen && ready >= wanted {
        return Ok(());
    }
    Err(format!(
        "{}: {ready} of {wanted} ready",
        deployment.name_any()
    ))
}

/// The same of a StatefulSet, whose pods must also be those of its newest template.
pub(super) fn rollout(stateful_set: &StatefulSet) -> Result<(), String> {
    let wanted = stateful_set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let status = stateful_set.status.as_ref();
    let number = |of: Option<i32>| of.unwrap_or_default();
    let ready = number(status.and_then(|status| status.ready_replicas));
    let updated = number(status.and_then(|status| status.updated_replicas));
    let seen =
        status.and_then(|status| status.observed_generation) == stateful_set.metadata.generation;
    let restarted = updated >= wanted || !restarts_by_itself(stateful_set);
    if seen && ready >= wanted && restarted {
        return Ok(());
    }
    Err(format!(
        "{}: {} of {wanted} restarted and ready",
        stateful_set.name_any(),
        ready.min(updated)
    ))
}

/// Suspends a CronJob, or has it run again.
pub(super) async fn suspend(
    cluster: &Cluster,
    cron_job: &str,
    suspended: bool,
) -> Result<(), ClusterError> {
    send_suspend(cluster, cron_job, suspended, &PATCH).await
}

/// The same, sent as `parameters` say.
pub(super) async fn send_suspend(
    cluster: &Cluster,
    cron_job: &str,
    suspended: bool,
    parameters: &PatchParams,
) -> Result<(), ClusterError> {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspended}}));
    let what = format!("set suspend of cronjob {cron_job} to {suspended}");
    let api: Api<CronJob> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let sent = cluster
        .send_idempotent(&what, || api.patch(cron_job, parameters, &patch))
        .await;
    match sent {
        // Kubernetes before 1.21 serves it only by its older version.
        Err(error) if error.code() == Some(404) => {
            let kind = GroupVersionKind::gvk("batch", "v1beta1", "CronJob");
            let kind = ApiResource::from_gvk_with_plural(&kind, "cronjobs");
            let older: Api<DynamicObject> =
                Api::namespaced_with(cluster.client().clone(), cluster.namespace(), &kind);
            let sent = cluster
                .send_idempotent(&what, || older.patch(cron_job, parameters, &patch))
                .await;
            // Of the two refusals the first one is about the version that clusters have.
            sent.map(drop).map_err(|_| error)
        }
        sent => sent.map(drop),
    }
}

/// Has a StatefulSet make its pods anew, as `kubectl rollout restart` does.
pub(super) async fn restart(cluster: &Cluster, stateful_set: &str) -> Result<(), ClusterError> {
    send_restart(cluster, stateful_set, &PATCH).await
}

/// The same, sent as `parameters` say.
pub(super) async fn send_restart(
    cluster: &Cluster,
    stateful_set: &str,
    parameters: &PatchParams,
) -> Result<(), ClusterError> {
    let api: Api<StatefulSet> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    let now = Timestamp::now().to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch =
        Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}));
    let what = format!("restart statefulset {stateful_set}");
    cluster
        .send_idempotent(&what, || api.patch(stateful_set, parameters, &patch))
        .await
        .map(drop)
}

/// Whether an error says that the API server cannot be reached, or does not serve.
pub(super) fn is_away(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let away = cause.downcast_ref().is_some_and(ClusterError::is_away);
        let transfer = cause.downcast_ref::<DownloadError>();
        away || transfer.is_some_and(DownloadError::is_transient)
    })
}

/// Whether what failed may be done a while later: the API server or the database's own is away, or none of its pods is Ready.
/// What the journal could not do has been borne already.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    if error.is::<JournalError>() {
        return false;
    }
    let mut causes = error.chain();
    is_away(error)
        || causes.any(|cause| {
            let job = cause.downcast_ref().is_some_and(JobError::is_transient);
            let server = cause.downcast_ref().is_some_and(ServerError::is_transient);
            let assistant = match cause.downcast_ref() {
                Some(AssistantError::Cluster(error)) => error.is_away(),
                Some(AssistantError::NoPostgresPod { .. }) => true,
                _ => false,
            };
            job || server || assistant
        })
}

/// What is looked at; none while the API server is away.
pub(super) async fn patiently<T>(
    look: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    match look.await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_away(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(owner: &str, hash: &str, phase: &str) -> Pod {
        let pod = json!({
            "metadata": {
                "name": "pod", "labels": {"component": "store", "pod-template-hash": hash},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "1", "controller": true}],
            },
            "spec": {"containers": [], "nodeName": "worker-1"},
            "status": {"phase": phase},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn only_pods_of_the_deployment_itself_in_which_something_may_be_at_work_are_waited_for() {
        let counts = |pod: &Pod| is_made_by(pod, "wa-store") && may_be_at_work(pod);
        assert!(counts(&pod("wa-store-5d9", "5d9", "Running")));
        assert!(counts(&pod("wa-store-5d9", "5d9", "Pending")));
        // Evicted: it stays until somebody deletes it.
        let mut failed = pod("wa-store-5d9", "5d9", "Failed");
        assert!(!counts(&failed));
        // What is being deleted may have a process that does not end.
        failed.metadata.deletion_timestamp =
            serde_json::from_str("\"2026-11-27T02:00:00Z\"").unwrap();
        assert!(counts(&failed));
        // Another instance's, under the same labels.
        assert!(!counts(&pod("wo-wa-store-5d9", "5d9", "Running")));
        assert!(!counts(&pod("wa-store-b-5d9", "5d9", "Running")));
    }

    #[test]
    fn who_waits_for_pods_is_told_which_and_where() {
        let one = pod("wa-store-5d9", "5d9", "Running");
        assert_eq!(in_words(&[one]), "1 pod: pod on node worker-1");
    }
}
