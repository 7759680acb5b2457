//! A new restore: the safety backup, what is to be done, the locks and the journal.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use backup_set::{FileRole, Store, ToolRecord, scheme_of};
use store_backup::take_safety_backup;
use wa_common::cluster::Cluster;
use wa_common::report::Reporter;
use wa_common::run::Holder;
use wa_common::run::journal::{JournaledRun, LockName, NewRun, RunContext};

use super::{
    BackupRecord, InstancePair, LogRecord, PgmigRecord, Restore, RestorePlan, SafetyRecord, Step,
};
use crate::checks::{Facts, Options};
use crate::plan::require_stage_dir;
use crate::target::{PostgresCluster, Scaled};

/// Where the backup of the present database goes, and who takes it.
#[derive(Debug)]
pub struct SafetyBackup<S> {
    /// Where.
    pub store: S,
    /// What its manifest names.
    pub tool: ToolRecord,
}

impl<S: Store> SafetyBackup<S> {
    /// Takes it; an error where it is not known to be intact.
    pub async fn take(
        self,
        cluster: &Cluster,
        reporter: &dyn Reporter,
        instance: &str,
    ) -> anyhow::Result<SafetyRecord> {
        let stored =
            take_safety_backup(cluster, reporter, instance, &self.store, self.tool).await?;
        if let Some(why) = stored.judged.reason() {
            bail!(
                "the safety backup {} cannot be judged ({why}): nothing was stopped; go on without one by --no-safety-backup",
                stored.path.display()
            );
        }
        let files = stored.manifest.files();
        let dump = files.iter().find(|file| file.role == FileRole::StoreDump);
        Ok(SafetyRecord {
            host: Holder::this_process().host,
            path: absolute(&stored.path)?,
            dump_sha256: dump
                .context("the safety backup has no dump")?
                .plaintext_sha256()
                .to_owned(),
        })
    }
}

/// A restore that everything is found out for.
#[derive(Debug)]
pub struct Begin<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// What was found out, with every condition met.
    pub facts: &'a Facts,
    /// The backup of the present database, where one was taken.
    pub safety: Option<SafetyRecord>,
    /// Arguments for pgmig beside those of the procedure.
    pub pgmig_arguments: Vec<String>,
    /// The directory for the log of pgmig.
    pub log_to: &'a Path,
    /// Whether the target keeps its encryption key though the backup's differs.
    pub keep_encryption_key: bool,
    /// What the user typed.
    pub command: String,
}

/// Takes the locks and writes everything into the journal. Nothing is changed yet.
pub async fn begin(
    context: RunContext<'_>,
    begin: Begin<'_>,
) -> anyhow::Result<JournaledRun<Restore>> {
    let plan = plan(&begin)?;
    let steps = steps(&begin)?;
    let operator = begin.facts.operator.as_ref().context(MISSING)?;
    let operators = context.cluster.in_namespace(&operator.namespace);
    let new = NewRun::<Restore> {
        instance: plan.instance.clone(),
        command: begin.command,
        locks: vec![LockName::for_deployment(&operators, &operator.name)],
        plan,
        steps,
    };
    Ok(JournaledRun::begin(context, new).await?)
}

/// What is said where something was not found out though nothing stood in the way.
const MISSING: &str = "not everything was found out that a restore needs; this is a bug";

/// An absolute path as text, or a URL, as the journal keeps it.
fn absolute(path: &Path) -> anyhow::Result<String> {
    let absolute = if scheme_of(path).is_some() && !path.exists() {
        Ok(path.to_owned())
    } else {
        std::path::absolute(path)
    };
    let absolute =
        absolute.with_context(|| format!("cannot tell the absolute path of {}", path.display()))?;
    let text = absolute
        .to_str()
        .filter(|path| !path.chars().any(char::is_control));
    let text = text.with_context(|| {
        format!(
            "the path {} holds characters that cannot be kept in the journal: rename it",
            path.display()
        )
    })?;
    Ok(text.to_owned())
}

fn plan(begin: &Begin<'_>) -> anyhow::Result<RestorePlan> {
    let Begin { options, facts, .. } = begin;
    require_stage_dir(&options.stage_dir)?;
    let instance = facts.instance.as_ref().context(MISSING)?;
    let source = facts.source.as_ref().context(MISSING)?;
    let pgmig = facts.pgmig.as_ref().context(MISSING)?;
    let mapping = facts.mapping.as_ref().context(MISSING)?;
    ensure!(
        mapping.is_complete(),
        "not every service instance has a target"
    );
    let release = options
        .from_release
        .map(|release| release.to_string())
        .or_else(|| source.release().map(str::to_owned));
    let pairs = mapping.pairs.iter().map(|pair| InstancePair {
        source: pair.source.id.clone(),
        target: pair.target.id.clone(),
    });
    Ok(RestorePlan {
        instance: instance.name.clone(),
        namespace: instance.namespace.clone(),
        release: instance.release.clone(),
        backup: BackupRecord {
            path: absolute(&source.path)?,
            dump_sha256: source.sha256.clone(),
            dump_bytes: source.bytes,
            release,
        },
        safety: begin.safety.clone(),
        pgmig: PgmigRecord {
            path: absolute(&pgmig.path)?,
            sha256: pgmig.sha256.clone(),
            arguments: begin.pgmig_arguments.clone(),
        },
        database: facts.datastore.as_ref().context(MISSING)?.database.clone(),
        pod: facts.pod.as_ref().context(MISSING)?.name.clone(),
        stage_dir: options.stage_dir.clone(),
        mapping: pairs.collect(),
        rc_form: facts.rc_form.context(MISSING)?,
        rc_form_given: options.rc_form.is_some(),
        orchestrate: facts.orchestrate,
        enable_icp: facts
            .postgres
            .as_ref()
            .is_some_and(PostgresCluster::needs_enable_icp),
        log: LogRecord {
            host: Holder::this_process().host,
            directory: absolute(begin.log_to)?,
        },
    })
}

fn steps(begin: &Begin<'_>) -> anyhow::Result<Vec<Step>> {
    let facts = begin.facts;
    let instance = facts.instance.as_ref().context(MISSING)?;
    let operator = facts.operator.as_ref().context(MISSING)?;
    let stores = facts.stores.as_ref().context(MISSING)?;
    let cron_job = facts.cron_job.as_ref();
    let cron_job = cron_job.map(|cron_job| (cron_job.name(), cron_job.is_suspended()));
    let mut steps = vec![Step::Stage, Step::Connections];
    if let Some((cron_job, suspended)) = cron_job.clone() {
        steps.push(Step::SuspendBackups {
            cron_job,
            suspended,
        });
    }
    steps.push(Step::StopOperator {
        namespace: operator.namespace.clone(),
        name: operator.name.clone(),
        replicas: operator.replicas,
    });
    let stop = |store: &Scaled| Step::StopStore {
        name: store.name.clone(),
        replicas: store.replicas,
    };
    steps.extend(stores.iter().map(stop));
    // While the store is away: it must not come back to what it kept there of the database of before.
    if facts.redis {
        steps.push(Step::RestartRedis {
            stateful_set: instance.redis_server(),
        });
    }
    steps.extend([
        Step::CopyDatabase,
        Step::ReadyToMigrate,
        Step::Migrate,
        Step::Check,
    ]);
    if facts.key_differs && !begin.keep_encryption_key {
        steps.push(Step::EncryptionKey {
            secret: instance.auth_encryption_name(),
        });
    }
    let start = |store: &Scaled| Step::StartStore {
        name: store.name.clone(),
        replicas: store.replicas,
    };
    steps.extend(stores.iter().map(start));
    steps.push(Step::StartOperator {
        namespace: operator.namespace.clone(),
        name: operator.name.clone(),
        replicas: operator.replicas,
    });
    if let Some((cron_job, suspended)) = cron_job {
        steps.push(Step::ResumeBackups {
            cron_job,
            suspended,
        });
    }
    steps.extend([Step::StoreReady, Step::Settle, Step::CleanUp]);
    Ok(steps)
}
