//! Scaling the Deployments of one custom resource, by one patch.

use std::collections::BTreeSet;

use wa_common::run::journal::{JournalError, StartedStep};

use super::error::ProcedureError;
use super::record::{Adopted, NewReplicas, Outcome, ScaleStep};
use super::remove::Ownership;
use super::undo::Retraining;
use super::wait::Waits;
use crate::component::{Component, Patched};
use crate::patch::TemporaryPatch;

/// A step that changes something, with what it waits with.
pub(super) struct Doing<'a, 'r> {
    pub(super) started: &'a StartedStep<'r, Retraining>,
    pub(super) waits: Waits<'a>,
    /// Whether patches of others are taken over.
    pub(super) adopt: bool,
}

impl Doing<'_, '_> {
    /// Has the Deployments scaled for so many training pods.
    pub(super) async fn scale(
        &self,
        step: &ScaleStep,
        training_pods: u32,
    ) -> Result<Outcome, ProcedureError> {
        let patched = step.patched().unwrap_or(Component::Training.patched());
        let scales = |patch: &TemporaryPatch| {
            patch.target.name == self.waits.objects.instance
                && step
                    .deployments
                    .iter()
                    .any(|one| patch.scales(one.component))
        };
        if let Some(adopted) = self
            .adopted(&step.patch, "sets the same replicas", scales)
            .await?
        {
            let replicas = step.deployments.iter().map(|one| NewReplicas {
                deployment: one.deployment.clone(),
                replicas: one.replicas,
            });
            return Ok(Outcome::Scaled {
                training_pods,
                replicas: replicas.collect(),
                adopted: Some(adopted),
            });
        }
        let targets = step.targets(training_pods);
        let counts: Vec<(Component, u32)> = targets
            .iter()
            .map(|(one, new)| (*one, new.replicas))
            .collect();
        let wanted = TemporaryPatch::replicas(&self.waits.objects.instance, &counts);
        for patch in &wanted {
            self.make(patched, patch).await?;
        }
        for (_, new) in &targets {
            self.wait(self.waits.replicas(&new.deployment, new.replicas))
                .await?;
        }
        Ok(Outcome::Scaled {
            training_pods,
            replicas: targets.into_iter().map(|(_, new)| new).collect(),
            adopted: None,
        })
    }

    /// Creates a patch and waits for its key. One that this run made before is as good, if it says the same and stays; else
    /// it is removed first: the operator does not notice a change of a patch.
    pub(super) async fn make(
        &self,
        patched: Patched,
        patch: &TemporaryPatch,
    ) -> Result<(), ProcedureError> {
        let run = self.started.run().run_id().to_owned();
        if let Some(found) = self.waits.objects.patch(&patch.name).await? {
            let same = TemporaryPatch::from_object(&found).patch == patch.patch;
            if !same || found.metadata.deletion_timestamp.is_some() {
                self.take_back(patched, &patch.name, &run).await?;
            }
        }
        let (objects, manifest) = (self.waits.objects.clone(), patch.clone());
        self.started
            .change(move |permit| async move { objects.create_patch(&permit, &manifest).await })
            .await??;
        self.wait(self.waits.key(patched, &patch.name)).await
    }

    /// Removes a patch of this run, so that it can be made anew.
    pub(super) async fn take_back(
        &self,
        patched: Patched,
        name: &str,
        run: &str,
    ) -> Result<(), ProcedureError> {
        // Every change of this is guarded by the object it is decided on.
        self.started.change(|_| async {}).await?;
        self.wait(self.waits.remove(patched, name, Ownership::Run(run)))
            .await?;
        Ok(())
    }

    /// The patch of somebody else that does what this step would, if the user takes it over; an error if not.
    pub(super) async fn adopted(
        &self,
        name: &str,
        does: &str,
        purpose: impl Fn(&TemporaryPatch) -> bool,
    ) -> Result<Option<Adopted>, ProcedureError> {
        let run = self.started.run().run_id();
        let mut foreign = self.waits.objects.all_patches().await?;
        foreign.retain(|patch| {
            patch.run.as_deref() != Some(run) && (patch.name == name || purpose(patch))
        });
        let names: BTreeSet<String> = foreign.iter().map(|patch| patch.name.clone()).collect();
        match &foreign[..] {
            [] => Ok(None),
            [only] if self.adopt => Ok(Some(Adopted {
                patch: only.name.clone(),
                uid: only.uid.clone().unwrap_or_default(),
            })),
            [only] => Err(ProcedureError::Foreign {
                patch: only.name.clone(),
                what: does.to_owned(),
            }),
            _ => Err(ProcedureError::SeveralForeign {
                patches: names.into_iter().collect(),
            }),
        }
    }

    /// Waits as long as the run is this process's.
    pub(super) async fn wait<T>(
        &self,
        waiting: impl Future<Output = Result<T, ProcedureError>>,
    ) -> Result<T, ProcedureError> {
        let waited: Result<_, JournalError> = self.started.guard(waiting).await;
        waited?
    }
}
