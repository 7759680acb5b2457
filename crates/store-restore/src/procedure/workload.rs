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
use serde_json::json;
use wa_common::cluster::{Cluster, ClusterError, Probe, Wait, WaitError};
use wa_common::report::{Reporter, count};

use crate::target::labels_of;

/// How long pods may take to go: a node that is away keeps them for minutes.
pub(super) const GONE_WITHIN: Duration = Duration::from_mins(15);

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
        Ok(match pods.len() {
            0 => Probe::Done(()),
            pods => Probe::Pending(count(pods as u64, "pod")),
        })
    };
    let wait = Wait::new(format!("for the pods of {name} to go"), limit, reporter);
    match wait.until(look, judge).await {
        Ok(()) => Ok(()),
        Err(WaitError::Failed(error)) => Err(error),
        Err(WaitError::TimedOut(timed_out)) => Err(timed_out.into()),
    }
}

/// The pods that a Deployment selects, those that are ending included.
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
    Ok(cluster.list(&labels).await?)
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
    if seen && ready >= wanted && updated >= wanted {
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
