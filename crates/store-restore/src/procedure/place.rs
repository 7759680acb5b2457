//! Where the files of a run are: a directory of its own in a PostgreSQL pod.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use kube_transfer::job::JobDirectory;
use kube_transfer::{DownloadError, PodContainer, RemoteCommand};
use wa_common::assistant::{Datastore, Instance, POSTGRES_CONTAINER, PostgresPod};
use wa_common::cluster::{Cluster, pod_has_ended, pod_is_ready};
use wa_common::run::journal::{JournaledRun, StepRecord, StepState};

use super::{Outcome, Restore, RestorePlan, Step};

/// The dump.
pub(super) const DUMP: &str = "store.dump";
/// The program.
pub(super) const PGMIG: &str = "pgmig";
/// Which instance becomes which.
pub(super) const MAPPING: &str = "mapping.yaml";
/// The detached job's directory.
const JOB: &str = "job";

/// Makes the directory `$2`, and `$1`, which it is in; one that is there already must be this user's.
const MAKE: &str = r#"umask 077
mkdir -p -- "$1" || exit
mkdir -- "$2" 2>/dev/null
[ -d "$2" ] && [ ! -L "$2" ] && [ -O "$2" ] || { echo "$2 is there and is not this user's directory" >&2; exit 1; }
chmod 700 -- "$2""#;

/// Removes the directory `$1`, what holds secrets first.
const REMOVE: &str = r#"[ -d "$1" ] && [ ! -L "$1" ] || exit 0
cd -- "$1" || exit
rm -rf -- postgres.yaml* resourceController.yaml* store.dump* safety.dump*
cd / && rm -rf -- "$1""#;

/// Succeeds where everything that pgmig needs is in the directory `$1`.
const IS_WHOLE: &str = r#"cd -- "$1" 2>/dev/null || exit 3
for file in postgres.yaml resourceController.yaml ca.crt mapping.yaml pgmig store.dump; do [ -f "$file" ] || exit 3; done"#;
/// The exit code of that script where something is missing.
const MISSING: i32 = 3;

/// The directory of a run.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) container: PodContainer,
    pub(super) directory: String,
}

impl RestorePlan {
    /// The instance, as the journal knows it.
    pub fn instance(&self) -> Instance {
        Instance {
            name: self.instance.clone(),
            namespace: self.namespace.clone(),
            release: self.release.clone(),
        }
    }

    /// Which instance becomes which, by their ids.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.mapping.iter();
        pairs.map(|pair| (pair.source.as_str(), pair.target.as_str()))
    }

    /// The directory of the run called `run` in its pod.
    pub fn directory(&self, run: &str) -> String {
        format!("{}/{run}", self.stage_dir.trim_end_matches('/'))
    }
}

/// The pod that everything was staged in, or is to be.
pub(super) fn staged_in<'a>(plan: &'a RestorePlan, steps: &'a [StepRecord<Restore>]) -> &'a str {
    let outcomes = steps.iter().filter_map(|record| record.state.outcome());
    let mut staged = outcomes.filter_map(|outcome| match outcome {
        Outcome::Staged { pod } => Some(pod.as_str()),
        _ => None,
    });
    staged.next_back().unwrap_or(&plan.pod)
}

impl Place {
    /// In the pod called `pod`.
    pub(super) fn new(plan: &RestorePlan, run: &str, pod: &str) -> Self {
        Self {
            container: PodContainer {
                namespace: plan.namespace.clone(),
                pod: pod.to_owned(),
                container: POSTGRES_CONTAINER.to_owned(),
            },
            directory: plan.directory(run),
        }
    }

    /// Where the files of a run are that this process holds.
    pub(super) fn of_run(run: &JournaledRun<Restore>) -> Self {
        Self::from_plan(&run.plan(), run.run_id(), &run.steps())
    }

    /// Where the run's files are, as its journal says.
    pub(super) fn from_plan(plan: &RestorePlan, run: &str, steps: &[StepRecord<Restore>]) -> Self {
        Self::new(plan, run, staged_in(plan, steps))
    }

    /// A pod to stage in: the one of the plan where it is Ready, else a replica, else the primary.
    pub(super) async fn choose(
        cluster: &Cluster,
        plan: &RestorePlan,
        run: &str,
    ) -> anyhow::Result<Self> {
        let pods = postgres_pods(cluster, plan).await?;
        let planned = pods.iter().find(|pod| pod.name == plan.pod);
        let replica = || pods.iter().find(|pod| !pod.primary);
        let pod = planned.or_else(replica).or(pods.first());
        let pod = pod.context("there is no PostgreSQL pod to stage in")?;
        Ok(Self::new(plan, run, &pod.name))
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// Makes the directory, for its owner alone.
    pub(super) async fn make(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let parent = self
            .directory
            .rsplit_once('/')
            .map_or("/", |(parent, _)| parent);
        let command = RemoteCommand::script(MAKE).args([parent, &self.directory]);
        cluster
            .run_idempotent(&self.container, &command)
            .await
            .with_context(|| {
                format!(
                    "cannot make {} in pod {}",
                    self.directory, self.container.pod
                )
            })?;
        Ok(())
    }

    /// Removes it with everything in it. Where the pod is gone or has ended, nothing is left to remove: the directory was
    /// the pod's.
    pub(super) async fn remove(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let command = RemoteCommand::script(REMOVE).arg(&self.directory);
        match cluster.run_idempotent(&self.container, &command).await {
            Ok(_) => Ok(()),
            Err(error) if error.pod_is_gone() => Ok(()),
            Err(_) if self.pod_has_ended(cluster).await? => Ok(()),
            Err(error) => Err(anyhow::Error::new(error).context(format!(
                "cannot remove {} in pod {}",
                self.directory, self.container.pod
            ))),
        }
    }

    /// Whether everything that pgmig needs is there.
    pub(super) async fn is_whole(&self, cluster: &Cluster) -> anyhow::Result<bool> {
        let command = RemoteCommand::script(IS_WHOLE).arg(&self.directory);
        match cluster.run_idempotent(&self.container, &command).await {
            Ok(_) => Ok(true),
            Err(DownloadError::Command { code: MISSING, .. }) => Ok(false),
            Err(error) if error.pod_is_gone() => Ok(false),
            Err(_) if self.pod_has_ended(cluster).await? => Ok(false),
            Err(error) => Err(anyhow::Error::new(error).context(format!(
                "cannot look at {} in pod {}",
                self.directory, self.container.pod
            ))),
        }
    }

    /// The job that runs pgmig, also in a pod that is not Ready or is being deleted: what runs there goes on until it has
    /// ended. `None` where nothing runs in the pod.
    pub(super) async fn job(&self, cluster: &Cluster) -> anyhow::Result<Option<JobDirectory>> {
        let pod = self.pod(cluster).await?;
        let runs = pod.filter(|pod| !runs_nothing(pod));
        runs.map(|pod| self.job_in(cluster, pod)).transpose()
    }

    /// The same, where the pod must be fit for one to be started in it.
    pub(super) async fn job_there(&self, cluster: &Cluster) -> anyhow::Result<JobDirectory> {
        match self.pod(cluster).await?.filter(pod_is_ready) {
            Some(pod) => self.job_in(cluster, pod),
            None => bail!("pod {} is gone or not Ready", self.container.pod),
        }
    }

    fn job_in(&self, cluster: &Cluster, pod: Pod) -> anyhow::Result<JobDirectory> {
        let directory = cluster.pod(&self.container).job(self.path(JOB))?;
        let statuses = pod.status.and_then(|status| status.container_statuses);
        let mut statuses = statuses.into_iter().flatten();
        let id = statuses
            .find(|status| status.name == self.container.container)
            .and_then(|status| status.container_id);
        Ok(match id {
            Some(id) => directory.in_container(id)?,
            None => directory,
        })
    }

    /// Whether the pod is there and has ended, so that nothing can be run in it any more.
    pub(super) async fn pod_has_ended(&self, cluster: &Cluster) -> anyhow::Result<bool> {
        Ok(self.pod(cluster).await?.as_ref().is_some_and(pod_has_ended))
    }

    async fn pod(&self, cluster: &Cluster) -> anyhow::Result<Option<Pod>> {
        Ok(cluster.find(&self.container.pod).await?)
    }
}

/// The Ready pods of the store's PostgreSQL cluster.
pub(super) async fn postgres_pods(
    cluster: &Cluster,
    plan: &RestorePlan,
) -> anyhow::Result<Vec<PostgresPod>> {
    let instance = plan.instance();
    let datastore = Datastore::read(cluster, &instance).await?;
    Ok(PostgresPod::find_all(cluster, &instance, Some(&datastore)).await?)
}

/// Whether nothing runs in a pod: it has ended for good, or no container of it is up yet. One of which nobody hears is
/// not such a pod: what runs in it may go on.
fn runs_nothing(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    pod_has_ended(pod) || phase == Some("Pending")
}

/// Whether the database may not be what it was before: pgmig was begun.
pub fn database_is_touched(steps: &[StepRecord<Restore>]) -> bool {
    steps
        .iter()
        .any(|record| record.step == Step::Migrate && record.state.stands())
}

/// Whether a rollback has begun to take the database back, or has done so: then pgmig is not started again.
pub fn is_taken_back(steps: &[StepRecord<Restore>]) -> bool {
    let taken = |state: &StepState<Outcome>| {
        matches!(state, StepState::Undoing { .. } | StepState::Undone { .. })
    };
    steps
        .iter()
        .any(|record| record.step == Step::Migrate && taken(&record.state))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_pod_that_has_ended_or_has_not_begun_runs_nothing() {
        let pod = |phase: &str, ready: &str, deleted: Option<&str>| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "wa-postgres-16-2", "deletionTimestamp": deleted},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let since = Some("2026-11-27T02:00:00Z");
        // Not Ready, of an unknown state as on a node that is away, and Terminating: pgmig may be at work.
        for (phase, ready, deleted) in [
            ("Running", "True", None),
            ("Running", "False", None),
            ("Running", "Unknown", None),
            ("Running", "True", since),
            ("Unknown", "Unknown", None),
        ] {
            let pod = pod(phase, ready, deleted);
            assert!(!runs_nothing(&pod), "{phase} {ready} {deleted:?}");
        }
        for phase in ["Succeeded", "Failed"] {
            let pod = pod(phase, "False", None);
            assert!(pod_has_ended(&pod) && runs_nothing(&pod), "{phase}");
        }
        // What was put into it may be there again when it is up.
        let pending = pod("Pending", "False", None);
        assert!(runs_nothing(&pending) && !pod_has_ended(&pending));
    }
}
