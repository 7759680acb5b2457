//! How each step is undone.

use std::time::Duration;

use anyhow::Context as _;
use wa_common::assistant::Instance;
use wa_common::cluster::Probe;
use wa_common::report::Event;
use wa_common::run::journal::{Procedure, StepRecord, UndoStep, WhenStopped};

use super::DEFAULT_PATIENCE;
use super::error::ProcedureError;
use super::objects::Objects;
use super::record::{
    Adopted, OriginalReplicas, OriginalVariable, Outcome, ScaleStep, StartStep, Step, Subject,
};
use super::remove::{Ownership, Removed};
use super::wait::{Waits, differences};
use crate::kinds::Kinds;
use crate::operator::Operator;
use crate::rollout::Rollout;
use crate::settings::ENABLED;
use crate::workload::{Variable, Workload};

/// What undoing takes beside its two waits, for the operator and for a Deployment.
const BESIDE: Duration = Duration::from_mins(5);
/// How often a Deployment's variables are set while somebody else changes it.
const CONFLICTS: u32 = 8;

/// A retraining, as its journal is read.
#[derive(Debug)]
pub struct Retraining;

impl Retraining {
    /// How long undoing a step may take in all, where each wait may take `patience`.
    pub(super) fn undo_limit_of(patience: Duration) -> Duration {
        patience.saturating_mul(2).saturating_add(BESIDE)
    }

    /// The other way round.
    fn patience_of(remaining: Duration) -> Duration {
        remaining.saturating_sub(BESIDE) / 2
    }
}

impl Procedure for Retraining {
    const PLUGIN: &'static str = "wa-retrain";
    const FORMAT_VERSION: u32 = 1;
    type Plan = Subject;
    type Step = Step;
    type Outcome = Outcome;

    fn validate(plan: &Subject, steps: &[StepRecord<Self>]) -> Result<(), String> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !is_name(&plan.instance) || !is_name(&plan.operators_namespace) {
            return Err("its names cannot be any".to_owned());
        }
        for record in steps {
            record.step.validate(&plan.instance)?;
            let adopted = record.state.outcome().and_then(Outcome::adopted);
            if adopted.is_some_and(|one| !one.patch.split('.').all(is_name)) {
                return Err("a patch cannot be called so".to_owned());
            }
        }
        Ok(())
    }

    fn describe(step: &Step) -> String {
        match step {
            Step::Scale(step) => {
                let names: Vec<&str> = step
                    .deployments
                    .iter()
                    .map(|one| &*one.deployment)
                    .collect();
                format!("scale {}", names.join(", "))
            }
            Step::Start(step) => format!("start the job in {}", step.deployment),
        }
    }

    async fn undo(undo: UndoStep<'_, Self>) -> anyhow::Result<()> {
        if undo.outcome == Some(&Outcome::Kept) {
            return Ok(());
        }
        let (subject, undoing) = (undo.plan, undo.undoing);
        let kinds = Kinds::discover(undoing.cluster).await?;
        let instance = Instance {
            name: subject.instance.clone(),
            namespace: undoing.cluster.namespace().to_owned(),
            release: None,
        };
        let objects = Objects::new(undoing.cluster, &instance, kinds);
        let waits = Waits {
            objects: &objects,
            reporter: &undoing,
            limit: Self::patience_of(undoing.remaining()),
        };
        let adopted = undo.outcome.and_then(Outcome::adopted);
        let (patch, ownership) = match adopted {
            Some(Adopted { patch, uid }) => (&**patch, Ownership::Object(uid)),
            None => (undo.step.patch(), Ownership::Run(undoing.run)),
        };
        if objects.patch(patch).await?.is_some() {
            let namespace = Some(&*subject.operators_namespace);
            Operator::find(undoing.cluster, namespace)
                .await?
                .require_up()?;
        }
        let patched = undo.step.patched().context("nothing is patched so")?;
        if waits.remove(patched, patch, ownership).await? == Removed::NotOurs {
            return Ok(());
        }
        match undo.step {
            Step::Scale(step) => waits.restore_counts(step).await?,
            Step::Start(step) => waits.restore_variables(step, adopted.is_some()).await?,
        }
        Ok(())
    }

    fn undo_limit(_step: &Step) -> Duration {
        Self::undo_limit_of(DEFAULT_PATIENCE)
    }

    fn may_stay(_step: &Step) -> bool {
        // One custom resource does not depend on the other.
        true
    }

    fn manual_commands(_: &Subject, step: &Step, namespace: &str, _run: &str) -> String {
        let kind = "temporarypatches.assistant.watson.ibm.com";
        let mut commands = vec![format!(
            "kubectl delete {kind} {} -n {namespace}",
            step.patch()
        )];
        if let Step::Scale(step) = step {
            commands.extend(step.deployments.iter().map(|one| {
                format!(
                    "kubectl scale deployment {} --replicas={} -n {namespace}",
                    one.deployment, one.replicas
                )
            }));
        }
        commands.join("\n")
    }

    fn when_stopped(_: &[StepRecord<Self>]) -> WhenStopped {
        // A patch may take half an hour to go: whoever interrupts does not wait for that.
        WhenStopped::KeepAll
    }

    fn advice(subject: &Subject, namespace: &str) -> String {
        let of = format!("-n {namespace} -i {}", subject.instance);
        format!(
            "`kubectl wa-retrain status {of}` shows it, `kubectl wa-retrain run {of}` goes on with it, and `kubectl wa-retrain finish {of}` undoes everything"
        )
    }
}

impl Waits<'_> {
    /// Gives the Deployments the recorded counts, which the operator then keeps, and sees that they stay.
    async fn restore_counts(&self, step: &ScaleStep) -> Result<(), ProcedureError> {
        for one in &step.deployments {
            self.restore_count(one).await?;
        }
        Ok(())
    }

    async fn restore_count(&self, one: &OriginalReplicas) -> Result<(), ProcedureError> {
        let (name, replicas) = (&*one.deployment, one.replicas);
        let look = || async {
            let deployment = self.objects.deployment(name).await?;
            if Rollout::from_deployment(&deployment).wanted == replicas {
                return Ok(deployment);
            }
            // Also when the operator was just rendering what it had read before.
            self.objects.set_replicas(name, replicas).await?;
            Ok(self.objects.deployment(name).await?)
        };
        let what = format!("until deployment {name} is back to {replicas} replicas");
        self.until(what, look, |deployment| {
            let rollout = Rollout::from_deployment(&deployment);
            // Whether they are ready is not for this to decide: they may not have been before.
            if rollout.observed && rollout.wanted == replicas && rollout.all == replicas {
                Probe::Done(())
            } else {
                Probe::Pending(format!("there are {} pods", rollout.all))
            }
        })
        .await
    }

    /// Waits until store-admin has its variables back, and gives them back where the operator does not.
    async fn restore_variables(
        &self,
        step: &StartStep,
        adopted: bool,
    ) -> Result<(), ProcedureError> {
        // Of a patch that was there before, nobody knows what was before it: the operator does.
        let originals: Vec<OriginalVariable> = step
            .variables
            .iter()
            .map(|one| OriginalVariable {
                name: one.name.clone(),
                entry: one.entry.clone().filter(|_| !adopted),
            })
            .collect();
        let name = &*step.deployment;
        let waited = if adopted {
            let what = format!("until deployment {name} is without the job");
            self.rollout(what, name, |deployment, _| {
                let on = Workload::from_deployment(deployment).variable(ENABLED)
                    == Variable::Value("true".to_owned());
                on.then(|| format!("{ENABLED} is true, until the operator's next round"))
            })
            .await
        } else {
            self.variables(name, &originals).await
        };
        match waited {
            Err(ProcedureError::NotInTime { .. }) => {}
            waited => return waited,
        }
        self.reporter.report(&Event::Warning {
            message: format!(
                "the operator has not given deployment {name} its variables back: they are set here as they were"
            ),
        });
        for _ in 0..CONFLICTS {
            let deployment = self.objects.deployment(name).await?;
            if differences(&deployment, &originals).is_empty()
                || self.objects.set_variables(&deployment, &originals).await?
            {
                return self.variables(name, &originals).await;
            }
        }
        Err(ProcedureError::Contended {
            what: format!("deployment {name}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_of_a_command_comes_back_out_of_the_limit_that_it_makes() {
        let patience = Duration::from_mins(25);
        let limit = Retraining::undo_limit_of(patience);
        assert_eq!(Retraining::patience_of(limit), patience);
    }
}
