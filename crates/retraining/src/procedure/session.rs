//! One command's hold on the retraining of an instance: begun, or resumed.

use std::time::Duration;

use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter, Steps};
use wa_common::run::LeftBehind;
use wa_common::run::journal::{
    FoundRun, FoundState, JournalError, JournaledRun, NewRun, Next, RunContext, StepState,
};

use super::error::ProcedureError;
use super::objects::Objects;
use super::others::Others;
use super::ready::Ready;
use super::record::{Outcome, Step, Subject};
use super::scale::Doing;
use super::start_job::Start;
use super::undo::Retraining;
use super::wait::Waits;
use crate::component::Component;
use crate::kinds::Kinds;
use crate::operator::Operator;
use crate::patch::TemporaryPatch;

/// A retraining that was begun.
pub type Found = FoundRun<Retraining>;

/// One command's hold on a retraining.
pub struct Session<'a> {
    run: JournaledRun<Retraining>,
    objects: Objects,
    reporter: &'a dyn Reporter,
    patience: Duration,
    adopt: bool,
}

/// How a command wants to work.
#[derive(Debug, Clone)]
pub struct Manner {
    /// What the user typed.
    pub command: String,
    /// How long each wait may take.
    pub patience: Duration,
    /// Whether patches of others with the same purpose are taken over.
    pub adopt: bool,
}

impl<'a> Session<'a> {
    /// The last retraining of an instance, whoever began it; reads only.
    pub async fn find(cluster: &Cluster, instance: &str) -> Result<Option<Found>, JournalError> {
        JournaledRun::find(cluster, instance).await
    }

    /// Goes on with the retraining that is open, or begins one with everything as it is now.
    pub async fn open(
        context: RunContext<'a>,
        ready: &Ready,
        training_pods: Option<u32>,
        manner: Manner,
    ) -> Result<Self, ProcedureError> {
        let (cluster, instance) = (context.cluster, &ready.instance);
        let objects = Objects::new(cluster, instance, ready.kinds.clone());
        if let Some(found) = Self::find(cluster, &instance.name).await?
            && is_open(&found)
        {
            return Self::resume(context, found, objects, manner).await;
        }
        let new = NewRun {
            instance: instance.name.clone(),
            command: manner.command.clone(),
            locks: Vec::new(),
            plan: Subject {
                instance: instance.name.clone(),
                operators_namespace: ready.operator.namespace.clone(),
                training_pods,
            },
            steps: Step::all(instance, &ready.workloads, &ready.store_admin),
        };
        let run = JournaledRun::begin(context, new).await?;
        Ok(Self::from_run(context, run, objects, &manner))
    }

    /// Goes on with a retraining that was found, to undo it.
    pub async fn go_on(
        context: RunContext<'a>,
        instance: &Instance,
        found: Found,
        manner: Manner,
    ) -> Result<Self, ProcedureError> {
        let kinds = Kinds::discover(context.cluster).await?;
        let objects = Objects::new(context.cluster, instance, kinds);
        Self::resume(context, found, objects, manner).await
    }

    async fn resume(
        context: RunContext<'a>,
        found: Found,
        objects: Objects,
        manner: Manner,
    ) -> Result<Self, ProcedureError> {
        let run = found.resume(context, manner.command.clone()).await?;
        Ok(Self::from_run(context, run, objects, &manner))
    }

    fn from_run(
        context: RunContext<'a>,
        run: JournaledRun<Retraining>,
        objects: Objects,
        manner: &Manner,
    ) -> Self {
        run.undo_within(Retraining::undo_limit_of(manner.patience));
        Self {
            run,
            objects,
            reporter: &**context.reporter,
            patience: manner.patience,
            adopt: manner.adopt,
        }
    }

    /// How many training pods it is for: as asked for now or when it began, or as it was scaled for.
    pub async fn training_pods(&self, asked: Option<u32>) -> Result<Option<u32>, ProcedureError> {
        let scaled = |outcome: &Outcome| match outcome {
            Outcome::Scaled { training_pods, .. } => Some(*training_pods),
            Outcome::Kept | Outcome::Started { .. } => None,
        };
        let steps = self.run.steps();
        let mut outcomes = steps.iter().filter_map(|one| one.state.outcome());
        let done = asked
            .or(outcomes.find_map(scaled))
            .or(self.run.plan().training_pods);
        if done.is_some() {
            return Ok(done);
        }
        // A process that was killed before it could write that down has left it in its patch.
        let (instance, first) = (&self.objects.instance, Component::Training);
        let name = format!("{instance}-{}", first.patched().patch);
        let found = self.objects.patch(&name).await?;
        let found = found.map(|found| TemporaryPatch::from_object(&found));
        let ours = found.filter(|found| found.run.as_deref() == Some(self.run.run_id()));
        Ok(ours.and_then(|ours| ours.replicas_of(first)))
    }

    /// Has everything scaled for so many training pods.
    pub async fn scale(&mut self, training_pods: u32) -> Result<(), ProcedureError> {
        self.undo_other_scales(training_pods).await?;
        let steps = self.run.steps();
        let total = steps
            .iter()
            .filter(|one| matches!(one.step, Step::Scale(_)))
            .count();
        let shown = Steps::with_total(self.reporter, u32::try_from(total).unwrap_or(u32::MAX));
        while let Next::Step(pending) = self.run.next_step() {
            let Step::Scale(step) = pending.step().clone() else {
                return Ok(());
            };
            let names: Vec<&str> = step
                .deployments
                .iter()
                .map(|one| &*one.deployment)
                .collect();
            let running = shown.begin("scale", names.join(", "));
            let started = pending.start().await?;
            let doing = Doing {
                started: &started,
                waits: waits(&self.objects, self.reporter, self.patience),
                adopt: self.adopt,
            };
            let outcome = doing.scale(&step, training_pods).await?;
            let text = in_words(&outcome);
            started.done(outcome).await?;
            running.done(text);
        }
        Ok(())
    }

    /// Ends what an interrupted command began to scale, or to undo, and leaves everything else as it is.
    pub async fn settle_scales(&mut self) -> Result<(), ProcedureError> {
        let steps = self.run.steps();
        let scales = steps
            .iter()
            .enumerate()
            .filter(|(_, one)| matches!(one.step, Step::Scale(_)));
        let scales: Vec<_> = scales.collect();
        if scales
            .iter()
            .any(|(_, one)| matches!(one.state, StepState::Started { .. }))
            && let Some(training_pods) = self.training_pods(None).await?
        {
            return self.scale(training_pods).await;
        }
        for (at, one) in scales.iter().rev() {
            if !one.state.is_done() {
                self.run.undo(*at).await?;
            }
        }
        while let Next::Step(pending) = self.run.next_step() {
            if !matches!(pending.step(), Step::Scale(_)) {
                return Ok(());
            }
            pending.start().await?.done(Outcome::Kept).await?;
        }
        Ok(())
    }

    /// Undoes scaling for another number of training pods, or none.
    async fn undo_other_scales(&mut self, wanted: u32) -> Result<(), ProcedureError> {
        let other = |outcome: &Outcome| match outcome {
            Outcome::Kept => true,
            Outcome::Scaled { training_pods, .. } => *training_pods != wanted,
            Outcome::Started { .. } => false,
        };
        let steps = self.run.steps();
        let is_other = |at: &usize| {
            let state = &steps[*at].state;
            state.is_done() && state.outcome().is_some_and(other)
        };
        for at in (0..steps.len()).rev().filter(is_other) {
            self.run.undo(at).await?;
        }
        Ok(())
    }

    /// Undoes the scaling, and nothing else.
    pub async fn revert_scale(&mut self) -> Result<(), ProcedureError> {
        let steps = self.run.steps();
        for (at, _) in steps
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, one)| matches!(one.step, Step::Scale(_)))
        {
            self.run.undo(at).await?;
        }
        Ok(())
    }

    /// Has the job started, unless it is.
    pub async fn start(&mut self, start: Start) -> Result<(), ProcedureError> {
        let pods = self
            .objects
            .deployment(&Component::Training.deployment(&self.objects.instance))
            .await?;
        let pods = crate::rollout::Rollout::from_deployment(&pods).wanted;
        let Next::Step(pending) = self.run.next_step() else {
            return Ok(());
        };
        let Step::Start(step) = pending.step().clone() else {
            return Ok(());
        };
        let shown = Steps::new(self.reporter);
        let running = shown.begin("start", step.deployment.clone());
        let started = pending.start().await?;
        let doing = Doing {
            started: &started,
            waits: waits(&self.objects, self.reporter, self.patience),
            adopt: self.adopt,
        };
        let outcome = doing.start(&step, start, pods).await?;
        let text = in_words(&outcome);
        started.done(outcome).await?;
        running.done(text);
        Ok(())
    }

    /// Every step, with what came of it.
    pub fn steps(&self) -> Vec<(Step, Option<Outcome>)> {
        let steps = self.run.steps().into_iter();
        steps
            .map(|one| (one.step, one.state.outcome().cloned()))
            .collect()
    }

    /// Whether the job was started.
    pub fn is_started(&self) -> bool {
        let steps = self.run.steps();
        let start = steps.iter().find(|one| matches!(one.step, Step::Start(_)));
        start.is_some_and(|start| start.state.is_done())
    }

    /// An error where something is to be removed that only the operator removes, and that does not run.
    pub async fn require_operator(&self) -> Result<(), ProcedureError> {
        for record in self.run.steps() {
            if record.state.stands() && self.objects.patch(record.step.patch()).await?.is_some() {
                let namespace = self.run.plan().operators_namespace;
                let operator = Operator::find(&self.objects.cluster, Some(&namespace)).await?;
                return Ok(operator.require_up()?);
            }
        }
        Ok(())
    }

    /// Whether nothing is changed any more.
    fn is_undone(&self) -> bool {
        let kept = |outcome: Option<&Outcome>| outcome == Some(&Outcome::Kept);
        let steps = self.run.steps();
        steps
            .iter()
            .all(|one| !one.state.stands() || kept(one.state.outcome()))
    }

    /// Lets go of it, to be resumed; where nothing is changed, it is over.
    pub async fn leave(self) {
        if self.is_undone() {
            // There is nothing that could fail.
            let _ = self.run.roll_back().await;
        } else {
            self.run.leave().await;
        }
    }

    /// Undoes everything, and sees that what belongs to others is as it was.
    pub async fn undo(self) -> Result<(), FinishError> {
        let mut ours: Vec<String> = Vec::new();
        for record in self.run.steps() {
            ours.push(record.step.patch().to_owned());
            ours.extend(
                record
                    .state
                    .outcome()
                    .and_then(Outcome::adopted)
                    .map(|one| one.patch.clone()),
            );
        }
        let before = Others::read(&self.objects, &ours).await?;
        let (objects, reporter) = (self.objects.clone(), self.reporter);
        let steps = self.run.steps();
        self.run.roll_back().await?;
        // Somebody who patched the same custom resource at the same time can have brought a key of ours back.
        for record in steps {
            let Some(patched) = record.step.patched() else {
                continue;
            };
            let name = record.step.patch();
            if objects
                .active(patched)
                .await
                .map_err(ProcedureError::from)?
                .lists(name)
                && objects
                    .patch(name)
                    .await
                    .map_err(ProcedureError::from)?
                    .is_none()
            {
                objects.remove_key(patched, name).await?;
                reporter.report(&Event::Warning {
                    message: format!(
                        "the key {name} had come back in {}, and is removed again",
                        patched.kind
                    ),
                });
            }
        }
        let after = Others::read(&objects, &ours).await?;
        for missing in before.missing_in(&after) {
            reporter.report(&Event::Warning {
                message: format!("{missing}: somebody else has changed that meanwhile"),
            });
        }
        Ok(())
    }

    /// The run, to wait under its lock.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, JournalError> {
        self.run.guard(work).await
    }
}

/// Why not everything is undone.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// It cannot be seen, or the run is not this process's.
    #[error(transparent)]
    Procedure(#[from] ProcedureError),
    /// Something stands.
    #[error(transparent)]
    Left(#[from] LeftBehind),
}

fn waits<'w>(objects: &'w Objects, reporter: &'w dyn Reporter, limit: Duration) -> Waits<'w> {
    Waits {
        objects,
        reporter,
        limit,
    }
}

/// Whether a retraining is not over.
pub fn is_open(found: &Found) -> bool {
    matches!(
        found.state(),
        FoundState::Running { .. } | FoundState::Stopped
    )
}

fn in_words(outcome: &Outcome) -> String {
    let adopted = outcome.adopted();
    let adopted =
        adopted.map(|one| format!(", by TemporaryPatch {} that was taken over", one.patch));
    let done = match outcome {
        Outcome::Kept => "nothing to do".to_owned(),
        Outcome::Scaled { replicas, .. } => {
            let each = replicas
                .iter()
                .map(|one| format!("{} has {}", one.deployment, one.replicas));
            each.collect::<Vec<_>>().join(", ")
        }
        Outcome::Started {
            time: Some(time), ..
        } => format!("training begins at {time}"),
        Outcome::Started { time: None, .. } => {
            "training begins by a schedule of several times".to_owned()
        }
    };
    format!("{done}{}", adopted.unwrap_or_default())
}
