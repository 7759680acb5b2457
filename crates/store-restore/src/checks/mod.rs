//! Everything that a restore needs, looked at without changing anything, and all problems at once.

mod backup;
mod installation;
mod permissions;
mod pod;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret as SecretObject;
use wa_common::assistant::{BackupCronJob, Datastore, Instance, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::preflight::Preflight;

use crate::config::RcForm;
use crate::mapping::Mapping;
use crate::permissions::Touched;
use crate::pgmig::Pgmig;
use crate::release::Release;
use crate::source::{Candidate, Opener};
use crate::target::{PostgresCluster, Scaled};

/// What is to be restored, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The backup: a set or a dump.
    pub backup: PathBuf,
    /// How it is opened.
    pub opener: Opener,
    /// Who says which service instance becomes which.
    pub mapping: MappingChoice,
    /// IBM's pgmig on this machine.
    pub pgmig: Option<PathBuf>,
    /// The release of the backup, where it does not tell.
    pub from_release: Option<Release>,
    /// Whether an upgrade path that is not in the table only deserves a warning.
    pub force_path: bool,
    /// The namespace of the operator.
    pub operators_namespace: Option<String>,
    /// The directory in the pod that everything is staged in.
    pub stage_dir: String,
    /// Where the safety backup goes.
    pub safety: SafetyPlace,
    /// The form of `resourceController.yaml`.
    pub rc_form: Option<RcForm>,
}

/// Where the safety backup goes, and who can read it there.
#[derive(Debug, Clone, Default)]
pub struct SafetyPlace {
    /// A directory, or a URL.
    pub to: PathBuf,
    /// The keys that it is encrypted to.
    pub encrypt_to: Vec<String>,
    /// Files with more of them.
    pub recipients_files: Vec<PathBuf>,
}

/// Who says which service instance becomes which.
#[derive(Debug, Clone)]
pub enum MappingChoice {
    /// Nobody: it must be clear.
    Clear,
    /// A file.
    File(MappingFile),
    /// The user, who is asked when everything else holds: there need only be enough targets.
    Asked,
}

/// A mapping file that was read.
#[derive(Debug, Clone)]
pub struct MappingFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub yaml: String,
}

/// What was found out on the way; what could not be found out is none.
#[derive(Debug, Default)]
pub struct Facts {
    /// The target.
    pub instance: Option<Instance>,
    /// The backup.
    pub source: Option<Candidate>,
    /// The target's database.
    pub datastore: Option<Datastore>,
    /// The size of that database on its server.
    pub database_bytes: Option<u64>,
    /// The pod that everything is staged in.
    pub pod: Option<PostgresPod>,
    /// The pod with the database's primary server.
    pub primary: Option<PostgresPod>,
    /// The target's PostgreSQL cluster.
    pub postgres: Option<PostgresCluster>,
    /// The form of `resourceController.yaml`.
    pub rc_form: Option<RcForm>,
    /// Whether the target is a watsonx Orchestrate's.
    pub orchestrate: bool,
    /// The store Deployments, with the counts that they are brought back to.
    pub stores: Option<Vec<Scaled>>,
    /// The operator, likewise.
    pub operator: Option<Scaled>,
    /// The nightly backup.
    pub cron_job: Option<BackupCronJob>,
    /// The backups that are at work, by the names of their Jobs.
    pub backups_at_work: Vec<String>,
    /// Which instance becomes which; where the user is to be asked, what is clear without that.
    pub mapping: Option<Mapping>,
    /// pgmig on this machine.
    pub pgmig: Option<Pgmig>,
    /// The auth-encryption secret of the target.
    pub target_key: Option<SecretObject>,
    /// Whether the key of the backup must take the place of the target's.
    pub key_differs: bool,
    /// Whether there is a Redis to restart.
    pub redis: bool,
}

/// The outcome.
#[derive(Debug)]
pub struct Checked {
    /// The conditions, in the order in which they were looked at.
    pub conditions: Preflight,
    /// What was found out.
    pub facts: Facts,
}

impl Checked {
    /// Whether nothing stands in the way.
    pub fn passed(&self) -> bool {
        self.conditions.passed()
    }
}

/// Looks at every condition, as far as those it depends on hold.
pub async fn run(cluster: &Cluster, instance: Option<&str>, options: &Options) -> Checked {
    let mut run = Run {
        cluster,
        options,
        conditions: Preflight::default(),
        backups_at_work: Vec::new(),
    };
    let source = run.backup().await;
    let connection = run.conditions.connection(cluster).await;
    let instance = run
        .conditions
        .instance(&connection, cluster, instance)
        .await;
    run.conditions.release(&instance).await;
    run.upgrade_path(&source, &instance).await;
    let datastore = run.store_secret(&instance).await;
    let postgres = run.postgres_ca(&instance, &datastore).await;
    let pods = run.pods(&instance, &datastore).await;
    run.database_server(&instance, &datastore, &source).await;
    run.pg_restore(&pods, &source).await;
    let pgmig = run.pgmig(&instance).await;
    run.architecture(&pgmig, &pods).await;
    run.space(&pods, &source, &pgmig).await;
    let database_bytes = run.safety_space(&datastore, &pods).await;
    let key = run.encryption_key(&source, &instance).await;
    let mapping = run.service_instances(&source, &datastore, &pods).await;
    let orchestrate = run.orchestrate(&instance).await;
    let controller = run.resource_controller(&instance).await;
    let stores = run.stores(&instance).await;
    let operator = run.operator(&connection).await;
    run.other_instances(&instance).await;
    let cron_job = run.nightly_backup(&instance).await;
    let redis = run.redis(&instance).await;
    let nightly = cron_job.value().and_then(Option::as_ref);
    let nightly = nightly.map(BackupCronJob::name);
    let touched = Touched {
        cron_job: nightly.as_deref(),
        redis: redis.value() == Some(&true),
        key: key.value().is_some_and(|key| key.differs),
    };
    run.permissions(&instance, &touched).await;
    run.permissions_of_operator(&operator).await;
    run.object_storage();

    let (staged, primary) = pods
        .into_value()
        .map(|pods| (pods.staged, pods.primary))
        .unzip();
    let key = key.into_value();
    let facts = Facts {
        instance: instance.into_value(),
        source: source.into_value(),
        datastore: datastore.into_value(),
        database_bytes,
        pod: staged,
        primary,
        postgres: postgres.into_value(),
        rc_form: controller.into_value().map(|controller| controller.form),
        orchestrate: orchestrate.into_value().unwrap_or_default(),
        stores: stores.into_value(),
        operator: operator.into_value(),
        cron_job: cron_job.into_value().flatten(),
        backups_at_work: run.backups_at_work,
        mapping: mapping.into_value(),
        pgmig: pgmig.into_value(),
        key_differs: key.as_ref().is_some_and(|key| key.differs),
        target_key: key.and_then(|key| key.target),
        redis: redis.into_value().unwrap_or_default(),
    };
    Checked {
        conditions: run.conditions,
        facts,
    }
}

struct Run<'a> {
    cluster: &'a Cluster,
    options: &'a Options,
    conditions: Preflight,
    backups_at_work: Vec<String>,
}
