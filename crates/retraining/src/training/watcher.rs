//! Looking at a retraining, once or again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;
use wa_common::assistant::Instance;
use wa_common::cluster::{Cluster, RetryBudget};
use wa_common::report::{Event, Reporter};
use wa_common::run::ServerClock;

use super::logs::{ContainerRun, Reader};
use super::phase::{Facts, Patience, Phase};
use super::progress::{Log, Progress, Remark};
use crate::component::Component;
use crate::error::RetrainError;
use crate::formula;
use crate::kinds::Kinds;
use crate::patch::{STORE, STORE_ADMIN, TemporaryPatch};
use crate::rollout::Rollout;
use crate::schedule::Schedule;
use crate::settings::{ENABLED, SCHEDULE};
use crate::workload::{Variable, Workload};

/// How long an API server that is away is waited for while a retraining is watched.
const ABSENCE_LIMIT: Duration = Duration::from_hours(1);

/// Looks at the retraining of one instance.
pub struct Watcher {
    cluster: Cluster,
    instance: String,
    kinds: Kinds,
    clock: ServerClock,
    patience: Patience,
    reader: Reader,
    log: Log,
    /// The runs of store-admin's container that were seen.
    seen: BTreeSet<String>,
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it is.
    pub phase: Phase,
    /// When it starts or started; absent where its schedule is not one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The patches that ask for it.
    pub patches: Vec<String>,
    /// What store-admin has logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How long the rest takes as measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_seconds_left: Option<u64>,
    /// How long it takes by IBM's formula.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula_seconds_left: Option<u64>,
    /// store-admin's pods: `2 of 2 ready`.
    pub store_admin: String,
    /// The Deployments that are scaled for it.
    pub deployments: Vec<Scaled>,
    /// Lines of the log that matter, the newest last.
    pub lines: Vec<Remark>,
}

/// A Deployment that may be scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaled {
    /// Its name.
    pub deployment: String,
    /// How many replicas it is to have.
    pub replicas: u32,
    /// How many of them are ready.
    pub ready: u32,
}

impl Watcher {
    /// For the retraining of an instance.
    pub async fn new(
        cluster: &Cluster,
        instance: &Instance,
        patience: Patience,
    ) -> Result<Self, RetrainError> {
        Ok(Self {
            kinds: Kinds::discover(cluster).await?,
            clock: ServerClock::read(cluster).await?,
            cluster: cluster.clone(),
            instance: instance.name.clone(),
            patience,
            reader: Reader::default(),
            log: Log::default(),
            seen: BTreeSet::new(),
        })
    }

    /// Looks again and again until the retraining has ended, and tells what has changed. Bears an API server that is away.
    pub async fn watch(
        &mut self,
        every: Duration,
        reporter: &dyn Reporter,
        mut changed: impl FnMut(&Status),
    ) -> Result<Status, RetrainError> {
        let mut last: Option<Status> = None;
        loop {
            let status = self.look_steadily(reporter).await?;
            let is_new = last.as_ref().is_none_or(|last| !last.is_like(&status));
            if is_new {
                changed(&status);
            }
            if !status.phase.is_under_way() {
                return Ok(status);
            }
            last = Some(status);
            tokio::time::sleep(every).await;
        }
    }

    async fn look_steadily(&mut self, reporter: &dyn Reporter) -> Result<Status, RetrainError> {
        let mut budget = RetryBudget::new(reporter, ABSENCE_LIMIT, "to see how far training is");
        let watcher = tokio::sync::Mutex::new(self);
        let away = |error: &RetrainError| match error {
            RetrainError::Cluster(error) if error.is_away() => Some(error.to_string()),
            _ => None,
        };
        let look = || async { watcher.lock().await.look(reporter).await };
        budget.run(away, look).await
    }

    /// Looks once.
    pub async fn look(&mut self, reporter: &dyn Reporter) -> Result<Status, RetrainError> {
        let name = format!("{}-{STORE_ADMIN}", self.instance);
        let found: Option<Deployment> = self.cluster.find(&name).await?;
        let deployment = found.ok_or_else(|| RetrainError::NoDeployment {
            name: name.clone(),
            namespace: self.cluster.namespace().to_owned(),
        })?;
        let store_admin = Workload::from_deployment(&deployment);
        let rollout = Rollout::from_deployment(&deployment);
        let schedule = text(&store_admin, SCHEDULE);
        let runs = self.read_logs(&deployment, &store_admin, reporter).await?;
        let progress = self.log.progress(
            &runs
                .iter()
                .map(|run| (run.id.clone(), run.pod.clone()))
                .collect::<Vec<_>>(),
        );
        let patches = self.patches().await?;
        let deployments = self.deployments().await?;
        let start = schedule
            .and_then(|text| text.parse::<Schedule>().ok())
            .map(Schedule::time);
        let facts = Facts {
            patched: !patches.is_empty(),
            enabled: text(&store_admin, ENABLED).as_deref() == Some("true"),
            rolled_out: rollout.is_complete(),
            schedule: start,
            started: runs.iter().filter_map(|run| run.started).max(),
            progress: progress.as_ref(),
            now: self.clock.now(),
        };
        let phase = Phase::from_facts(&facts, self.patience);
        let training_pods = deployments.first().map_or(0, |one| one.replicas);
        let left = progress.as_ref().and_then(|progress| {
            let missing = progress.affected.checked_sub(progress.retrained)?;
            formula::duration(missing, training_pods)
        });
        Ok(Status {
            phase,
            start: start.filter(|_| facts.enabled),
            patches,
            measured_seconds_left: progress
                .as_ref()
                .and_then(Progress::time_left)
                .map(|left| left.as_secs()),
            formula_seconds_left: left.map(|left| left.as_secs()),
            progress,
            store_admin: rollout.in_words(),
            deployments,
            lines: self.log.remarks(),
        })
    }

    /// Reads what is new in the logs of the pods that run with the Deployment's variables as they are now. A pod of before
    /// tells of an earlier job.
    async fn read_logs(
        &mut self,
        deployment: &Deployment,
        now: &Workload,
        reporter: &dyn Reporter,
    ) -> Result<Vec<ContainerRun>, RetrainError> {
        let spec = deployment.spec.as_ref();
        let labels = spec.and_then(|spec| spec.selector.match_labels.clone());
        let selector: Vec<String> = labels
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let pods: Vec<Pod> = self.cluster.list(&selector.join(",")).await?;
        let mut runs = Vec::new();
        for pod in &pods {
            let of_now = |name: &str| {
                pod.spec
                    .as_ref()
                    .is_some_and(|spec| text_of(spec, name) == text(now, name))
            };
            if pod.metadata.deletion_timestamp.is_some() || !of_now(ENABLED) || !of_now(SCHEDULE) {
                continue;
            }
            let Some(run) = ContainerRun::of_pod(pod) else {
                continue;
            };
            if self.seen.insert(run.id.clone()) && self.seen.len() > 1 {
                reporter.report(&Event::Step {
                    step: "log",
                    detail: format!("store-admin runs anew, in pod {}", run.pod),
                });
            }
            self.reader.read(&self.cluster, &run, &mut self.log).await?;
            runs.push(run);
        }
        Ok(runs)
    }

    async fn patches(&self) -> Result<Vec<String>, RetrainError> {
        let all = TemporaryPatch::list(&self.cluster, &self.kinds).await?;
        let starts = |patch: &&TemporaryPatch| {
            patch.target.kind == STORE.kind
                && patch.target.name == self.instance
                && !patch.retraining_variables().is_empty()
        };
        Ok(all
            .iter()
            .filter(starts)
            .map(|patch| patch.name.clone())
            .collect())
    }

    async fn deployments(&self) -> Result<Vec<Scaled>, RetrainError> {
        let mut all = Vec::new();
        for component in Component::ALL {
            let found: Option<Deployment> = self
                .cluster
                .find(&component.deployment(&self.instance))
                .await?;
            all.extend(found.map(|deployment| {
                let rollout = Rollout::from_deployment(&deployment);
                Scaled {
                    deployment: deployment.name_any(),
                    replicas: rollout.wanted,
                    ready: rollout.ready,
                }
            }));
        }
        Ok(all)
    }
}

fn text(workload: &Workload, name: &str) -> Option<String> {
    match workload.variable(name) {
        Variable::Value(value) => Some(value),
        Variable::Unset | Variable::Elsewhere => None,
    }
}

fn text_of(pod: &k8s_openapi::api::core::v1::PodSpec, name: &str) -> Option<String> {
    let workload = Workload {
        name: String::new(),
        replicas: 0,
        pod: pod.clone(),
    };
    text(&workload, name)
}

impl Status {
    /// Whether nothing has changed that a user would be told.
    fn is_like(&self, other: &Self) -> bool {
        let told = |status: &Self| {
            let progress = status.progress.as_ref();
            let numbers = progress.map(|one| (one.affected, one.retrained, one.pod.clone()));
            (
                status.phase,
                status.start,
                numbers,
                status.store_admin.clone(),
                status.lines.len(),
            )
        };
        told(self) == told(other)
    }
}
