//! What the steps work with, and what the journal tells of those before.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use backup_set::BackupError;
use jiff::Timestamp;
use kube_transfer::Secret;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter};
use wa_common::run::journal::{JournaledRun, StepRecord, StepState};

use super::{Outcome, Restore, RestorePlan, Step};
use crate::config::RcForm;
use crate::source::{Opener, Source};
use crate::workspaces::{WorkspaceRows, Workspaces};

/// What this machine gives to a restore.
#[derive(Debug)]
pub struct Inputs {
    /// The backup, where it is not where the journal says.
    pub backup: Option<PathBuf>,
    /// How it is opened.
    pub opener: Opener,
    /// pgmig, likewise.
    pub pgmig: Option<PathBuf>,
    /// The bearer tokens of users, for the older form of `resourceController.yaml`.
    pub tokens: Vec<Secret>,
    /// The directory for the log of pgmig.
    pub log_to: PathBuf,
    /// How long is waited until everything is ready again.
    pub timeout: Duration,
    /// Whether rows of tables need not be as in the backup.
    pub accept_row_differences: bool,
    /// What was read of the backup, once that was done.
    pub read: OnceCell<ReadBackup>,
    /// Since when is waited until everything is ready again.
    pub waiting_since: OnceLock<Instant>,
}

impl Inputs {
    /// How long is waited from now on until everything is ready again.
    pub(super) fn time_left(&self) -> Duration {
        let since = self.waiting_since.get_or_init(Instant::now);
        self.timeout.saturating_sub(since.elapsed())
    }
}

/// What the restored database is held against.
#[derive(Debug)]
pub struct ReadBackup {
    pub(super) source: Source,
    pub(super) workspaces: Option<Workspaces>,
}

impl ReadBackup {
    /// Reads it once, from the first byte to the last.
    fn read(how: &Opener, path: &Path) -> Result<Self, BackupError> {
        let mut rows = WorkspaceRows::default();
        let source = Source::read_with(how, path, &mut rows)?;
        let workspaces = rows.of_store(&source.intact.verified.contents.tables);
        Ok(Self { source, workspaces })
    }
}

/// What the steps work with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The cluster, in the namespace of the instance.
    pub cluster: &'a Cluster,
    /// Where it is reported.
    pub reporter: &'a Arc<dyn Reporter>,
    /// What this machine gives.
    pub inputs: &'a Inputs,
}

impl Work<'_> {
    /// Where the backup is.
    pub(super) fn backup(&self, plan: &RestorePlan) -> PathBuf {
        let given = self.inputs.backup.clone();
        given.unwrap_or_else(|| PathBuf::from(&plan.backup.path))
    }

    /// The backup, which must be the one that the restore began with, read from end to end. That is done once, before
    /// production stops: a large one takes long.
    pub(super) async fn read_backup(&self, plan: &RestorePlan) -> anyhow::Result<&ReadBackup> {
        let path = self.backup(plan);
        let cannot = || {
            format!(
                "the restored database cannot be held against {}: name the backup with --backup",
                path.display()
            )
        };
        let read = || async {
            let (read, opener) = (path.clone(), self.inputs.opener.clone());
            let backup = spawn_blocking(move || ReadBackup::read(&opener, &read))
                .await?
                .with_context(cannot)?;
            ensure!(
                backup.source.intact.sha256 == plan.backup.dump_sha256,
                "{} is not the backup that this restore began with",
                path.display()
            );
            Ok(backup)
        };
        self.inputs.read.get_or_try_init(read).await
    }

    /// Tells of something that does not stop the work.
    pub(super) fn warn(&self, message: String) {
        self.reporter.report(&Event::Warning { message });
    }
}

/// The form of `resourceController.yaml` that pgmig was found to take.
pub(super) fn connected_form(run: &JournaledRun<Restore>) -> RcForm {
    let steps = run.steps();
    let outcomes = steps.iter().filter_map(|record| record.state.outcome());
    let mut forms = outcomes.filter_map(|outcome| match outcome {
        Outcome::Connected { rc_form } => Some(*rc_form),
        _ => None,
    });
    forms.next_back().unwrap_or(run.plan().rc_form)
}

/// Whether the product may come back: the restored database was found to be what the backup holds, and the key that it is
/// read with is in place. With another one, the product would write what cannot be read with the restored data.
pub(super) fn is_restored(steps: &[StepRecord<Restore>]) -> bool {
    let is_done = |record: &StepRecord<Restore>| record.state.is_done();
    let checked = steps
        .iter()
        .any(|record| record.step == Step::Check && is_done(record));
    let mut keys = steps
        .iter()
        .filter(|record| matches!(record.step, Step::EncryptionKey { .. }));
    checked && keys.all(is_done)
}

/// When production went down, where it did.
pub fn down_since(steps: &[StepRecord<Restore>]) -> Option<Timestamp> {
    let first = steps.iter().position(|record| {
        matches!(record.step, Step::StopStore { .. }) && record.state.stands()
    })?;
    // A step that is done tells when it ended, which for the one before is when this one began.
    let before = first.checked_sub(1).map(|at| &steps[at].state);
    match &steps[first].state {
        StepState::Started { at } => Some(*at),
        state => before
            .filter(|before| before.is_done())
            .and_then(StepState::since)
            .or(state.since()),
    }
}
