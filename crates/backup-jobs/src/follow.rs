//! Following a Job to its end, with what its pod logs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use backup_volume::VolumeChange;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use wa_common::cluster::{
    Cluster, ClusterError, LogPlace, Probe, RetryBudget, TimedOut, Wait, WaitError,
};
use wa_common::report::{Event, Reporter};

use crate::end::{JobEnd, Outcome, of_status};
use crate::error::JobError;
use crate::pod::PodRun;
use crate::trigger::{Afterwards, StartedJob};

/// How often the Job is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an API server may be away meanwhile: the Job goes on without it.
const ABSENCE_LIMIT: Duration = Duration::from_mins(10);

impl StartedJob {
    /// Waits until the Job has ended, at most `limit`, and reports what its pods log. A Job that is not waited for any
    /// longer goes on, and is not removed.
    pub async fn follow(&self, limit: Duration) -> anyhow::Result<JobEnd> {
        let name = self.name();
        let cluster = &self.caller.cluster;
        let reporter = &*self.caller.reporter;
        let mut follower = Follower::new(cluster, reporter, self.job.clone());
        let wait = Wait::new(format!("for job {name}"), limit, reporter).every(LOOK_EVERY);
        let follower = tokio::sync::Mutex::new(&mut follower);
        let look = || async { follower.lock().await.look().await };
        let judge = |seen: Seen| {
            Ok(match seen {
                Seen::Ended(end) => Probe::Done(end),
                Seen::Runs(state) => Probe::Pending(state),
            })
        };
        let waited = self.run.guard(wait.until(look, judge)).await?;
        match waited {
            Ok(end) => Ok(*end),
            Err(WaitError::Failed(error)) => {
                Err(error).with_context(|| format!("cannot follow job {name}"))
            }
            Err(WaitError::TimedOut(TimedOut { after, state, .. })) => {
                if self.afterwards == Afterwards::Removed {
                    let change = VolumeChange::Job { name: name.clone() };
                    self.run.keep(&change).await?;
                }
                Err(JobError::TimedOut {
                    job: name,
                    namespace: cluster.namespace().to_owned(),
                    after,
                    state,
                }
                .into())
            }
        }
    }
}

/// What one look has found.
enum Seen {
    Runs(String),
    Ended(Box<JobEnd>),
}

struct Follower<'a> {
    cluster: &'a Cluster,
    reporter: &'a dyn Reporter,
    job: Job,
    /// Where the reading of each pod's log has come to; `None` where it may not be read.
    places: Option<BTreeMap<String, Option<LogPlace>>>,
    /// The pods whose eviction was reported.
    told: Vec<String>,
    last: Option<PodRun>,
}

impl<'a> Follower<'a> {
    fn new(cluster: &'a Cluster, reporter: &'a dyn Reporter, job: Job) -> Self {
        Self {
            cluster,
            reporter,
            job,
            places: Some(BTreeMap::new()),
            told: Vec::new(),
            last: None,
        }
    }

    async fn look(&mut self) -> Result<Seen, ClusterError> {
        let name = self.job.name_any();
        let cluster = self.cluster;
        let mut budget = RetryBudget::new(self.reporter, ABSENCE_LIMIT, "to follow the job");
        // Before the pods: what a Job says of its end, its pods say too.
        let found = budget.with(|| cluster.find::<Job>(&name)).await?;
        let selector = format!("job-name={name}");
        let pods = budget.with(|| cluster.list::<Pod>(&selector)).await?;
        self.look_at_pods(pods).await;
        let pod = self.last.as_ref();
        let ours = |job: &Job| job.uid() == self.job.uid();
        let Some(job) = found.filter(ours) else {
            return Ok(self.ended(Outcome::Deleted, None));
        };
        if let Some((outcome, why)) = of_status(&job, pod) {
            return Ok(self.ended(outcome, why));
        }
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(self.ended(Outcome::Deleted, None));
        }
        if job.spec.is_some_and(|spec| spec.suspend == Some(true)) {
            return Ok(Seen::Runs("it is suspended".to_owned()));
        }
        let state = pod.map(|pod| pod.state.clone());
        Ok(Seen::Runs(
            state.unwrap_or_else(|| "it has no pod yet".to_owned()),
        ))
    }

    fn ended(&self, outcome: Outcome, why: Option<String>) -> Seen {
        let end = JobEnd::from_outcome(&self.job.name_any(), outcome, why, self.last.as_ref());
        Seen::Ended(Box::new(end))
    }

    async fn look_at_pods(&mut self, mut pods: Vec<Pod>) {
        let uid = self.job.uid();
        pods.retain(|pod| {
            let owners = pod.owner_references().iter();
            owners
                .into_iter()
                .any(|owner| Some(&owner.uid) == uid.as_ref())
        });
        pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
        for pod in &pods {
            let run = PodRun::from_pod(pod);
            self.read_log(&run).await;
            if run.evicted && !self.told.contains(&run.name) {
                self.told.push(run.name.clone());
                let why = run.why_failed.as_deref().unwrap_or_default();
                self.warn(format!("pod {} was evicted: {why}", run.name));
            }
            self.last = Some(run);
        }
    }

    async fn read_log(&mut self, pod: &PodRun) {
        let Some(places) = &mut self.places else {
            return;
        };
        if pod.started.is_none() {
            return;
        }
        let place = places.get(&pod.name).copied().flatten();
        let line = |_, text: &str| {
            self.reporter.report(&Event::Step {
                step: "log",
                detail: text.to_owned(),
            });
        };
        let read = self
            .cluster
            .read_log(&pod.name, &pod.container, place, line);
        match read.await {
            Ok(place) => {
                places.insert(pod.name.clone(), place);
            }
            Err(error) if error.code() == Some(403) => {
                self.places = None;
                self.warn(format!("its log cannot be shown: {error}"));
            }
            // The next look reads it.
            Err(_) => {}
        }
    }

    fn warn(&self, message: String) {
        self.reporter.report(&Event::Warning { message });
    }
}
