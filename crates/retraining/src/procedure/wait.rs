//! Waiting for what the operator makes of a patch: the key in the annotation, and then the effect, which comes by itself.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::EnvVar;
use wa_common::cluster::{Probe, RetryBudget, Wait};
use wa_common::report::Reporter;

use super::error::ProcedureError;
use super::objects::Objects;
use super::record::OriginalVariable;
use crate::component::Patched;
use crate::error::RetrainError;
use crate::rollout::Rollout;
use crate::workload::Workload;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an API server that is away is waited for, each time.
const ABSENCE_LIMIT: Duration = Duration::from_mins(5);

/// What a user has to know where a kind is not patched.
const IGNORED: &str = ". The operator ignores patches of some kinds, and says nothing: is this one of an older release?";

/// Waits of one command.
#[derive(Clone, Copy)]
pub(super) struct Waits<'a> {
    pub(super) objects: &'a Objects,
    pub(super) reporter: &'a dyn Reporter,
    /// How long each takes at most.
    pub(super) limit: Duration,
}

impl Waits<'_> {
    /// Looks again and again until `judge` finds it done, and bears an API server that is away for minutes.
    pub(super) async fn until<S, T, F>(
        &self,
        what: String,
        look: impl Fn() -> F,
        mut judge: impl FnMut(S) -> Probe<T>,
    ) -> Result<T, ProcedureError>
    where
        F: Future<Output = Result<S, ProcedureError>>,
    {
        let steady = || async {
            let mut budget = RetryBudget::new(self.reporter, ABSENCE_LIMIT, "to see how far it is");
            budget.run(away, &look).await
        };
        let wait = Wait::new(what, self.limit, self.reporter).every(LOOK_EVERY);
        let waited = wait.until(steady, |found| Ok(judge(found))).await;
        Ok(waited?)
    }

    /// Until the operator lists a patch as active.
    pub(super) async fn key(&self, patched: Patched, patch: &str) -> Result<(), ProcedureError> {
        let what = format!("until the operator has taken up TemporaryPatch {patch}");
        let look = || async { Ok(self.objects.active(patched).await?) };
        let waited = self
            .until(what, look, |active| {
                if active.lists(patch) {
                    Probe::Done(())
                } else {
                    let kind = patched.kind;
                    Probe::Pending(format!("{kind} does not list it as active"))
                }
            })
            .await;
        waited.map_err(|error| error.or(IGNORED))
    }

    /// Until a Deployment has at least so many replicas, all of them ready.
    pub(super) async fn replicas(&self, name: &str, replicas: u32) -> Result<(), ProcedureError> {
        let what = format!("until deployment {name} has {replicas} replicas");
        self.rollout(what, name, |_, rollout| {
            (rollout.wanted < replicas).then(|| {
                format!(
                    "it is to have {}, until the operator's next round",
                    rollout.wanted
                )
            })
        })
        .await
        .map_err(|error| {
            error.or(". Have the nodes room? See `kubectl get pods` for pods that are Pending")
        })
    }

    /// Until store-admin runs with these variables, which are absent where they are `None`.
    pub(super) async fn variables(
        &self,
        name: &str,
        wanted: &[OriginalVariable],
    ) -> Result<(), ProcedureError> {
        let what = format!("until deployment {name} has its variables");
        self.rollout(what, name, |deployment, _| {
            let other = differences(deployment, wanted);
            (!other.is_empty()).then(|| {
                format!(
                    "{} not yet, until the operator's next round",
                    other.join(", ")
                )
            })
        })
        .await
    }

    /// Until nothing is `missing` in a Deployment, and its pods are as it says.
    pub(super) async fn rollout(
        &self,
        what: String,
        name: &str,
        missing: impl Fn(&Deployment, Rollout) -> Option<String>,
    ) -> Result<(), ProcedureError> {
        let look = || async { Ok(self.objects.deployment(name).await?) };
        self.until(what, look, |deployment| {
            let rollout = Rollout::from_deployment(&deployment);
            match missing(&deployment, rollout) {
                Some(state) => Probe::Pending(state),
                None if rollout.is_complete() => Probe::Done(()),
                None => Probe::Pending(rollout.in_words()),
            }
        })
        .await
    }
}

/// Which of the variables are otherwise.
pub(super) fn differences(deployment: &Deployment, wanted: &[OriginalVariable]) -> Vec<String> {
    let workload = Workload::from_deployment(deployment);
    let differs =
        |one: &&OriginalVariable| normal(workload.entry(&one.name)) != normal(one.entry.as_ref());
    let other = wanted.iter().filter(differs);
    other.map(|one| one.name.clone()).collect()
}

/// An empty value and none are the same.
fn normal(entry: Option<&EnvVar>) -> Option<EnvVar> {
    entry.cloned().map(|mut entry| {
        entry.value = entry.value.filter(|value| !value.is_empty());
        entry
    })
}

/// What an error says, where the API server is away.
fn away(error: &ProcedureError) -> Option<String> {
    match error {
        ProcedureError::Retrain(RetrainError::Cluster(error)) if error.is_away() => {
            Some(error.to_string())
        }
        _ => None,
    }
}
