//! What the journal of a restore keeps: the plan, its steps with what undoes them, and what came of them. No secret.

use std::path::Path;

use backup_set::scheme_of;
use serde::{Deserialize, Serialize};

use crate::config::RcForm;

/// What holds for all steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePlan {
    /// The instance that is restored onto.
    pub instance: String,
    /// Its namespace.
    pub namespace: String,
    /// Its release, where it tells.
    pub release: Option<String>,
    /// The backup.
    pub backup: BackupRecord,
    /// The backup of the database as it was before, where one was taken.
    pub safety: Option<SafetyRecord>,
    /// pgmig on the machine that began.
    pub pgmig: PgmigRecord,
    /// The database.
    pub database: String,
    /// The PostgreSQL pod that was chosen to stage in.
    pub pod: String,
    /// The directory in it that the run's own one is made in.
    pub stage_dir: String,
    /// Which service instance becomes which.
    pub mapping: Vec<InstancePair>,
    /// The form of `resourceController.yaml`.
    pub rc_form: RcForm,
    /// Whether that form was asked for, so that no other is tried.
    pub rc_form_given: bool,
    /// Whether the target is a watsonx Orchestrate's.
    pub orchestrate: bool,
    /// Whether pgmig needs `ENABLE_ICP=true`.
    pub enable_icp: bool,
    /// The command's machine and directory, where the log of pgmig is kept.
    pub log: LogRecord,
}

/// A backup, by which it is known again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRecord {
    /// The absolute path of the set or dump on the machine that began.
    pub path: String,
    /// The SHA-256 of its dump.
    pub dump_sha256: String,
    /// The size of its dump.
    pub dump_bytes: u64,
    /// The release that it was taken on, where that is known.
    pub release: Option<String>,
}

/// A safety backup, by which it is known again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SafetyRecord {
    /// The machine that took it.
    pub host: String,
    /// The absolute path of the set on that machine, or its URL.
    pub path: String,
    /// The SHA-256 of its dump, in plaintext.
    pub dump_sha256: String,
}

impl SafetyRecord {
    /// Where it is: `/mnt/sets/wa-cpd-20261127T020000Z on bastion`, or its URL.
    pub fn in_words(&self) -> String {
        if scheme_of(Path::new(&self.path)).is_some() {
            return self.path.clone();
        }
        format!("{} on {}", self.path, self.host)
    }
}

/// pgmig, and how it is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PgmigRecord {
    /// The absolute path on the machine that began.
    pub path: String,
    /// The SHA-256 of that file.
    pub sha256: String,
    /// Arguments beside those of the procedure.
    pub arguments: Vec<String>,
}

/// Where the log of pgmig is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRecord {
    /// The machine.
    pub host: String,
    /// The absolute path of the directory.
    pub directory: String,
}

/// A service instance of the backup and the one that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePair {
    /// The id in the backup.
    pub source: String,
    /// The id in the target.
    pub target: String,
}

/// One step, with what must be known to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Step {
    /// Put into the pod what pgmig needs.
    Stage,
    /// Have pgmig reach the database and the resource controller.
    Connections,
    /// Suspend the nightly backup, and wait for one that runs.
    SuspendBackups {
        /// The CronJob.
        cron_job: String,
        /// Whether it was suspended before.
        suspended: bool,
    },
    /// Scale the operator to 0.
    StopOperator {
        /// Its namespace.
        namespace: String,
        /// Its Deployment.
        name: String,
        /// How many replicas it had.
        replicas: i32,
    },
    /// Scale a Deployment of the store to 0.
    StopStore {
        /// The Deployment.
        name: String,
        /// How many replicas it had.
        replicas: i32,
    },
    /// Restart Redis, whose cache is that of the old database, while no store is there to fill it from that.
    RestartRedis {
        /// Its StatefulSet.
        stateful_set: String,
    },
    /// Copy the database inside its server.
    CopyDatabase,
    /// Wait until pgmig can begin: what was staged is there, and nobody is at the database. The last look at which going
    /// back costs nothing.
    ReadyToMigrate,
    /// Run pgmig.
    Migrate,
    /// Hold the restored database against the backup.
    Check,
    /// Put the backup's key in the place of the target's.
    EncryptionKey {
        /// The secret that it is in.
        secret: String,
    },
    /// Scale a Deployment of the store back.
    StartStore {
        /// The Deployment.
        name: String,
        /// To so many replicas.
        replicas: i32,
    },
    /// Scale the operator back.
    StartOperator {
        /// Its namespace.
        namespace: String,
        /// Its Deployment.
        name: String,
        /// To so many replicas.
        replicas: i32,
    },
    /// Set the nightly backup back to what it was.
    ResumeBackups {
        /// The CronJob.
        cron_job: String,
        /// Whether it was suspended before.
        suspended: bool,
    },
    /// Wait until every Deployment of the store is ready: production is up again.
    StoreReady,
    /// Wait until all of it is ready.
    Settle,
    /// Remove what was staged, and the copy inside the server.
    CleanUp,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Outcome {
    /// It is done.
    Done,
    /// There was nothing to do.
    NotNeeded {
        /// Why.
        why: String,
    },
    /// Everything is in this pod.
    Staged {
        /// Its name.
        pod: String,
    },
    /// pgmig reaches everything.
    Connected {
        /// The form of `resourceController.yaml` that it takes.
        rc_form: RcForm,
    },
    /// It is done, though rows of tables are not as in the backup: the user accepts that.
    RowsAccepted {
        /// What differs, a sentence each.
        differences: Vec<String>,
    },
    /// pgmig ended well.
    Migrated {
        /// The size of its log.
        log_bytes: u64,
        /// The SHA-256 of its log.
        log_sha256: String,
    },
}

/// A part of the restore as a user counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything that must hold.
    Preflight,
    /// The user agrees.
    Confirm,
    /// The backup of the present database.
    SafetyBackup,
    /// Locks and journal.
    Lock,
    /// See [`Step::Stage`].
    Stage,
    /// See [`Step::Connections`].
    Connections,
    /// Everything stops that writes to the database.
    Quiesce,
    /// See [`Step::Migrate`].
    Migrate,
    /// See [`Step::Check`].
    Check,
    /// See [`Step::EncryptionKey`].
    EncryptionKey,
    /// Everything that was stopped comes back.
    ResumeService,
    /// See [`Step::CleanUp`].
    CleanUp,
}

impl Phase {
    /// How many there are.
    pub const COUNT: u32 = 12;

    /// Which it is, from 1.
    pub fn number(self) -> u32 {
        self as u32 + 1
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Confirm => "confirm",
            Self::SafetyBackup => "safety backup",
            Self::Lock => "locks and journal",
            Self::Stage => "stage",
            Self::Connections => "connections",
            Self::Quiesce => "quiesce",
            Self::Migrate => "migrate",
            Self::Check => "check",
            Self::EncryptionKey => "encryption key",
            Self::ResumeService => "resume service",
            Self::CleanUp => "clean up",
        }
    }
}

impl Step {
    /// The part of the restore that it belongs to.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Stage => Phase::Stage,
            Self::Connections => Phase::Connections,
            Self::SuspendBackups { .. }
            | Self::StopOperator { .. }
            | Self::StopStore { .. }
            | Self::RestartRedis { .. }
            | Self::CopyDatabase
            | Self::ReadyToMigrate => Phase::Quiesce,
            Self::Migrate => Phase::Migrate,
            Self::Check => Phase::Check,
            Self::EncryptionKey { .. } => Phase::EncryptionKey,
            Self::StartStore { .. }
            | Self::StartOperator { .. }
            | Self::ResumeBackups { .. }
            | Self::StoreReady
            | Self::Settle => Phase::ResumeService,
            Self::CleanUp => Phase::CleanUp,
        }
    }

    /// Whether it stops something that comes back in [`Phase::ResumeService`].
    pub fn stops(&self) -> bool {
        matches!(
            self,
            Self::SuspendBackups { .. } | Self::StopOperator { .. } | Self::StopStore { .. }
        )
    }
}
