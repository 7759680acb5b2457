//! Where a run is: what its journal says, and what the cluster shows.

use anyhow::{Context as _, bail};
use k8s_openapi::api::apps::v1::Deployment;
use kube_transfer::job::{JobLog, JobState, LogPart};
use serde::Serialize;
use tokio::time::{Duration, sleep};
use wa_common::cluster::Cluster;
use wa_common::report::error_text;
use wa_common::run::journal::{FoundRun, StepRecord};

use super::place::Place;
use super::service::unready;
use super::workload;
use super::{Restore, Step};

const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What the cluster shows of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The operator and the stores.
    pub replicas: Vec<ReplicasNow>,
    /// pgmig, in words; `None` where it was not begun, or is cleaned up after.
    pub pgmig: Option<String>,
    /// What is not ready, where that alone is waited for.
    pub not_ready: Vec<String>,
}

/// A Deployment that the run stops.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicasNow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many replicas it had before.
    pub before: i32,
    /// How many are asked for now; `None` where that cannot be seen.
    pub now: Option<i32>,
    /// How many are ready now.
    pub ready: Option<i32>,
}

/// Looks. What cannot be seen is left open.
pub async fn standing(cluster: &Cluster, found: &FoundRun<Restore>) -> Standing {
    let mut replicas = Vec::new();
    for record in found.steps() {
        let (namespace, name, before) = match &record.step {
            Step::StopOperator {
                namespace,
                name,
                replicas,
            } => (namespace.as_str(), name, *replicas),
            Step::StopStore { name, replicas } => (cluster.namespace(), name, *replicas),
            _ => continue,
        };
        let deployment: Option<Deployment> = cluster
            .in_namespace(namespace)
            .find(name)
            .await
            .unwrap_or_default();
        let status = deployment.as_ref().and_then(|one| one.status.as_ref());
        replicas.push(ReplicasNow {
            namespace: namespace.to_owned(),
            name: name.clone(),
            before,
            now: deployment.as_ref().map(workload::replicas),
            ready: deployment
                .as_ref()
                .map(|_| status.and_then(|status| status.ready_replicas).unwrap_or(0)),
        });
    }
    Standing {
        replicas,
        pgmig: pgmig(cluster, found).await,
        not_ready: not_ready(cluster, found).await,
    }
}

/// What keeps a run from its end of which everything was brought back.
async fn not_ready(cluster: &Cluster, found: &FoundRun<Restore>) -> Vec<String> {
    let settles = |record: &StepRecord<Restore>| {
        matches!(record.step, Step::StoreReady | Step::Settle)
            && record.state.stands()
            && !record.state.is_done()
    };
    if !found.steps().iter().any(settles) {
        return Vec::new();
    }
    let steps: Vec<Step> = found
        .steps()
        .iter()
        .map(|record| record.step.clone())
        .collect();
    unready(cluster, found.plan(), &steps)
        .await
        .unwrap_or_default()
}

async fn pgmig(cluster: &Cluster, found: &FoundRun<Restore>) -> Option<String> {
    let stands = |wanted: &Step| {
        found
            .steps()
            .iter()
            .any(|record| record.step == *wanted && record.state.stands())
    };
    if !stands(&Step::Migrate) || stands(&Step::CleanUp) {
        return None;
    }
    let place = Place::from_plan(found.plan(), found.run_id(), found.steps());
    let pod = &place.container.pod;
    let state = match place.job(cluster).await {
        Ok(Some(job)) => job.status().await.map_err(anyhow::Error::from),
        Ok(None) => {
            return Some(format!(
                "not at work: nothing runs in pod {pod}, or it is gone"
            ));
        }
        Err(error) => Err(error),
    };
    Some(match state {
        Ok(JobState::Absent) => format!("not started, or gone with an earlier pod {pod}"),
        Ok(JobState::Starting) => format!("is being started in pod {pod}"),
        Ok(JobState::Running(_)) => format!("at work in pod {pod}"),
        Ok(JobState::Ended(job)) => format!("ended with exit code {} in pod {pod}", job.code()),
        Ok(JobState::Gone(_)) => format!("ended from outside, with its container in pod {pod}"),
        Err(error) => format!("not known: {}", error_text(&error)),
    })
}

/// Hands the log of pgmig, as it is in the pod, to `show`; with `follow` until pgmig has ended.
pub async fn follow_log(
    cluster: &Cluster,
    found: &FoundRun<Restore>,
    follow: bool,
    mut show: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let place = Place::from_plan(found.plan(), found.run_id(), found.steps());
    let job = place.job(cluster).await?;
    let job =
        job.with_context(|| format!("pod {} is gone, or does not run", place.container.pod))?;
    let state = job.status().await?;
    let running = matches!(state, JobState::Running(_));
    let mut log: JobLog = match state {
        JobState::Running(job) => job.log(0),
        JobState::Ended(job) => job.log(0),
        JobState::Gone(job) => job.log(0),
        JobState::Absent | JobState::Starting => bail!(
            "there is no log of pgmig in pod {}: it was not started yet, or is cleaned up after; what was shown of it is kept on {} in {}",
            place.container.pod,
            found.plan().log.host,
            found.plan().log.directory
        ),
    };
    loop {
        let next = if running && !follow {
            // What is there comes at once, and then nothing for a while.
            match tokio::time::timeout(ASK_AGAIN_AFTER, log.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(()),
            }
        } else {
            log.next().await
        };
        match next {
            Ok(LogPart::Data(data)) => show(&data)?,
            Ok(LogPart::End(_)) => return Ok(()),
            Err(error) if error.is_transient() => sleep(ASK_AGAIN_AFTER).await,
            Err(error) => return Err(error.into()),
        }
    }
}
