//! Undoing what runs that were killed have left: one engine for every plugin.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{Change, ExitHooks, Found, Loss, Run, RunError, RunState};
use crate::cluster::Cluster;
use crate::report::Reporter;

/// What a command that cleans up brings along: its connection, whom it reports to, and what is done when it ends.
#[derive(Clone)]
pub struct CleanUp {
    /// Where.
    pub cluster: Cluster,
    /// Where the steps are reported.
    pub reporter: Arc<dyn Reporter>,
    /// Where undoing is registered.
    pub exit_hooks: ExitHooks,
    /// Whether to only say what there is.
    pub dry_run: bool,
}

/// What was found of runs that ended early, and what became of it.
#[derive(Debug)]
pub struct Cleaned {
    /// The runs, the oldest of each plugin first.
    pub runs: Vec<CleanedRun>,
    /// One for each that could not be looked at or undone.
    pub failures: Vec<anyhow::Error>,
}

/// A run that left something, and what became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanedRun {
    /// Its name.
    pub name: String,
    /// Whose it is; absent where its holder ended without being able to undo everything.
    pub holder: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// What it was begun for.
    pub purpose: String,
    /// What it changed, in words.
    pub changes: Vec<String>,
    /// What became of them.
    pub outcome: CleanupOutcome,
}

/// What became of what a run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanupOutcome {
    /// It is undone.
    Removed,
    /// It was only looked for.
    WouldBeRemoved,
    /// Its command still runs.
    Refused,
    /// It could not be undone.
    Failed,
}

impl CleanUp {
    /// Undoes what dead runs of these plugins, whose changes are of one kind, have left in the cluster's namespace.
    pub async fn runs_of<C: Change>(&self, plugins: &[&'static str]) -> Result<Cleaned, RunError> {
        let mut cleaned = Cleaned {
            runs: Vec::new(),
            failures: Vec::new(),
        };
        for plugin in plugins {
            for found in Run::<C>::others(&self.cluster, plugin).await? {
                match found {
                    Ok(found) => {
                        let run = self.run(found, &mut cleaned.failures).await;
                        cleaned.runs.push(run);
                    }
                    Err(error) => cleaned.failures.push(error.into()),
                }
            }
        }
        Ok(cleaned)
    }

    async fn run<C: Change>(&self, found: Found<C>, failed: &mut Vec<anyhow::Error>) -> CleanedRun {
        let mut run = CleanedRun::of(&found);
        run.outcome = match found.state {
            RunState::Alive { .. } => CleanupOutcome::Refused,
            RunState::Dead if self.dry_run => CleanupOutcome::WouldBeRemoved,
            RunState::Dead => match self.undo(found).await {
                Ok(()) => CleanupOutcome::Removed,
                Err(error) => match error.downcast_ref() {
                    // Another cleanup was faster: it is at work, or done.
                    Some(RunError::Owned { holder, .. }) => {
                        run.holder = Some(holder.clone());
                        CleanupOutcome::Refused
                    }
                    Some(RunError::Lost {
                        loss: Loss::Gone, ..
                    }) => CleanupOutcome::Removed,
                    _ => {
                        failed.push(error);
                        CleanupOutcome::Failed
                    }
                },
            },
        };
        run
    }

    async fn undo<C: Change>(&self, found: Found<C>) -> anyhow::Result<()> {
        let run = found
            .take_over(&self.exit_hooks, &self.reporter, &self.cluster)
            .await?;
        Ok(run.finish().await?)
    }
}

impl CleanedRun {
    fn of<C: Change>(found: &Found<C>) -> Self {
        Self {
            name: found.name.clone(),
            holder: found.holder.as_ref().map(ToString::to_string),
            started: found.started,
            purpose: found.purpose.clone(),
            changes: found.changes.iter().map(C::describe).collect(),
            outcome: CleanupOutcome::WouldBeRemoved,
        }
    }
}
