//! Everything that a restore needs, looked at without changing anything, and all problems at once.

mod backup;
mod list;
mod permissions;
mod pod;

use std::fmt::Write as _;
use std::path::PathBuf;

use backup_set::{ServiceInstance, Target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use wa_common::assistant::{BackupCronJob, Datastore, Instance, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::report::{bytes, count};

use crate::config::{self, RcForm};
use crate::mapping::Mapping;
use crate::pgmig::{Pgmig, download_url};
use crate::release::Release;
use crate::source::Source;
use crate::target::{self, Address, PostgresCluster, Scaled};
use crate::tenants;

use list::List;
pub use list::{Check, CheckResult};

/// With more instances than this, some builds of pgmig fail.
const MANY_INSTANCES: usize = 20;

/// What is to be restored, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The backup: a set or a dump.
    pub backup: PathBuf,
    /// A mapping of service instances.
    pub mapping: Option<MappingFile>,
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
    pub safety_to: PathBuf,
    /// The form of `resourceController.yaml`.
    pub rc_form: Option<RcForm>,
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
    pub source: Option<Source>,
    /// The target's database.
    pub datastore: Option<Datastore>,
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
    /// Which instance becomes which.
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
    /// A line for each condition, in the order in which they were looked at.
    pub checks: Vec<Check>,
    /// What was found out.
    pub facts: Facts,
}

impl Checked {
    /// Whether nothing stands in the way.
    pub fn passed(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.result != CheckResult::Failed)
    }
}

/// Looks at every condition, as far as those it depends on hold.
pub async fn run(cluster: &Cluster, instance: Option<&str>, options: &Options) -> Checked {
    let mut run = Run {
        cluster,
        options,
        list: List::default(),
        facts: Facts::default(),
    };
    run.backup().await;
    run.pgmig();
    if run.connection().await && run.instance(instance).await {
        run.installation().await;
    }
    run.list.ok(
        "object storage",
        "is not restored: published versions and trained models must be copied apart".to_owned(),
    );
    Checked {
        checks: run.list.checks,
        facts: run.facts,
    }
}

struct Run<'a> {
    cluster: &'a Cluster,
    options: &'a Options,
    list: List,
    facts: Facts,
}

impl Run<'_> {
    async fn connection(&mut self) -> bool {
        let version = self.cluster.version().await;
        let server = self.cluster.server().to_owned();
        let detail = |version: &String| format!("{server}, Kubernetes {version}");
        let connected = self.list.add("connection", version, detail).is_some();
        if !connected {
            self.list.skip("everything in the cluster", "connection");
        }
        connected
    }

    async fn instance(&mut self, wanted: Option<&str>) -> bool {
        let found = Instance::find(self.cluster, wanted).await;
        let found = self.list.add("instance", found, |instance| {
            let release = instance.release.as_deref().unwrap_or("not told");
            format!(
                "{} in namespace {}, release {release}",
                instance.name, instance.namespace
            )
        });
        if found.is_none() {
            self.list.skip("everything of the instance", "instance");
        }
        self.facts.instance = found;
        self.facts.instance.is_some()
    }

    async fn installation(&mut self) {
        let Some(instance) = self.facts.instance.clone() else {
            return;
        };
        self.upgrade_path(&instance);
        self.store_secret(&instance).await;
        self.pods(&instance).await;
        self.safety_space().await;
        self.encryption_key(&instance).await;
        self.instances().await;
        self.resource_controller(&instance).await;
        self.stores(&instance).await;
        self.operator(&instance).await;
        self.nightly_backup(&instance).await;
        self.redis(&instance).await;
        self.permissions(&instance).await;
    }

    async fn store_secret(&mut self, instance: &Instance) {
        let datastore = Datastore::read(self.cluster, instance).await;
        self.facts.datastore = self.list.add("store secret", datastore, |datastore| {
            format!(
                "{}: database {} at {}",
                datastore.secret, datastore.database, datastore.host
            )
        });
        let Some(datastore) = &self.facts.datastore else {
            return self.list.skip("PostgreSQL CA", "store secret");
        };
        let found = PostgresCluster::find(self.cluster, instance, datastore).await;
        self.facts.postgres = self.list.add("PostgreSQL CA", found, |postgres| {
            let icp = if postgres.needs_enable_icp() {
                "needs"
            } else {
                "does not need"
            };
            format!(
                "{} of cluster {}; pgmig {icp} ENABLE_ICP=true",
                postgres.ca_secret, postgres.name
            )
        });
    }

    /// Which instance becomes which, by the mapping given or else by what is clear.
    async fn instances(&mut self) {
        let (Some(datastore), Some(pod)) = (&self.facts.datastore, &self.facts.primary) else {
            return self.list.skip("service instances", "postgres pod");
        };
        let Some(source) = &self.facts.source else {
            return self.list.skip("service instances", "backup");
        };
        let mapping = async {
            let targets = tenants::read(self.cluster, &pod.container(), datastore).await?;
            let sources = source.instances()?;
            Ok::<_, anyhow::Error>(match &self.options.mapping {
                Some(file) => Mapping::read(&file.yaml, &sources, &targets)?,
                None => Mapping::propose(&sources, &targets),
            })
        };
        let mapping = mapping.await.and_then(|mapping| match mapping.gap() {
            Some(gap) => Err(anyhow::anyhow!("{gap}")),
            None => Ok(mapping),
        });
        let mapping = self.list.add("service instances", mapping, pairs_text);
        if let Some(mapping) = &mapping {
            let unused: Vec<&ServiceInstance> = mapping.targets_left.iter().collect();
            if !unused.is_empty() {
                let names: Vec<String> = unused
                    .iter()
                    .map(|one| format!("{} ({})", one.id, crate::mapping::named(one)))
                    .collect();
                self.list.warn(
                    "spare instances",
                    format!(
                        "the data of {} is erased, and nothing of the backup comes in its place",
                        names.join(", ")
                    ),
                );
            }
            if mapping.pairs.len() > MANY_INSTANCES {
                self.list.warn(
                    "many instances",
                    format!(
                        "builds of pgmig from before December 2025 (5.3.0: before 20 February 2026) fail with more than {MANY_INSTANCES} service instances: take a fresh copy"
                    ),
                );
            }
        }
        self.facts.mapping = mapping;
    }

    async fn resource_controller(&mut self, instance: &Instance) {
        match instance.is_of_orchestrate(self.cluster).await {
            Ok(orchestrate) => self.facts.orchestrate = orchestrate,
            Err(error) => {
                self.list.fail("resource controller", &error.into());
                return;
            }
        }
        let form = self.options.rc_form.or_else(|| {
            let release: Option<Release> = instance.release.as_ref()?.parse().ok();
            release.map(RcForm::of)
        });
        let Some(form) = form else {
            let problem = anyhow::anyhow!(
                "the release does not tell the form of resourceController.yaml: give --rc-form user-tokens (before 5.2.1) or service-token"
            );
            return self.list.fail("resource controller", &problem);
        };
        let address: anyhow::Result<Address> = match form {
            RcForm::ServiceToken => config::broker_token(self.cluster)
                .await
                .map(|_| config::broker_address(&instance.namespace)),
            RcForm::UserTokens => target::resource_controller(self.cluster, instance).await,
        };
        let found = self.list.add("resource controller", address, |address| {
            format!("{}:{}, form {form}", address.host, address.port)
        });
        self.facts.rc_form = found.map(|_| form);
    }

    async fn stores(&mut self, instance: &Instance) {
        let stores = target::stores(self.cluster, instance).await;
        let stores = stores.and_then(|stores| {
            target::require_running(&stores)?;
            Ok(stores)
        });
        self.facts.stores = self.list.add("store", stores, |stores| {
            let stores: Vec<String> = stores.iter().map(Scaled::in_words).collect();
            stores.join(", ")
        });
    }

    async fn operator(&mut self, instance: &Instance) {
        let namespace = self.options.operators_namespace.as_deref();
        let operator = target::operator(self.cluster, namespace).await;
        let operator = operator.and_then(|operator| {
            target::require_running(std::slice::from_ref(&operator))?;
            anyhow::ensure!(
                operator.ready > 0,
                "{} in namespace {} has no ready replica: it must be up, to bring the store back later",
                operator.name,
                operator.namespace
            );
            Ok(operator)
        });
        self.facts.operator = self.list.add("operator", operator, |operator| {
            format!("{} in {}", operator.in_words(), operator.namespace)
        });
        match target::other_instances(self.cluster, instance).await {
            Ok(Some(others)) if others.is_empty() => {}
            Ok(Some(others)) => self.list.warn(
                "other instances",
                format!(
                    "nobody looks after {} while the operator is stopped",
                    others.join(", ")
                ),
            ),
            Ok(None) => self.list.warn(
                "other instances",
                "you may not list WatsonAssistants of all namespaces: others that the same operator serves are not looked after while it is stopped".to_owned(),
            ),
            Err(error) => self.list.fail("other instances", &error.into()),
        }
    }

    async fn nightly_backup(&mut self, instance: &Instance) {
        let found = match BackupCronJob::find(self.cluster, instance).await {
            Ok(found) => found,
            Err(error) => return self.list.fail("nightly backup", &error.into()),
        };
        let Some(cron_job) = found else {
            let none = "there is no backup CronJob to suspend".to_owned();
            return self.list.ok("nightly backup", none);
        };
        let active = cron_job.active_jobs();
        let mut text = cron_job.name();
        if cron_job.is_suspended() {
            text.push_str(", suspended");
        } else if let Some(next) = cron_job.next_run(Timestamp::now()) {
            let _ = write!(text, ", next at {}", next.strftime("%Y-%m-%d %H:%M UTC"));
        }
        if active.is_empty() {
            self.list.ok("nightly backup", text);
        } else {
            let _ = write!(
                text,
                ": {} at work now, to be waited for before anything is stopped",
                active.join(", ")
            );
            self.list.warn("nightly backup", text);
        }
        self.facts.cron_job = Some(cron_job);
    }

    async fn redis(&mut self, instance: &Instance) {
        use k8s_openapi::api::apps::v1::StatefulSet;
        let name = instance.redis_server();
        match self.cluster.find::<StatefulSet>(&name).await {
            Ok(found) => {
                self.facts.redis = found.is_some();
                let text = match found {
                    Some(_) => format!("{name}, to be restarted afterwards"),
                    None => format!("there is no StatefulSet {name} to restart"),
                };
                self.list.ok("redis", text);
            }
            Err(error) => self.list.fail("redis", &error.into()),
        }
    }

    fn pgmig(&mut self) {
        let Some(path) = &self.options.pgmig else {
            return;
        };
        self.facts.pgmig = self.list.add("pgmig", Pgmig::read(path), |pgmig| {
            format!(
                "{}, {}, SHA-256 {}",
                pgmig.architecture,
                bytes(pgmig.bytes),
                pgmig.sha256
            )
        });
    }

    /// What is said where no pgmig is given: where to get the one of this release.
    fn no_pgmig(&mut self, instance: &Instance) {
        let release = instance.release.as_deref().unwrap_or("<RELEASE>");
        let problem = anyhow::anyhow!(
            "not given: download the one of the target's release from {} and give it with --pgmig FILE",
            download_url(release)
        );
        self.list.fail("pgmig", &problem);
    }

    /// A dump is smaller than its database, so that too little space for that need not be too little.
    async fn safety_space(&mut self) {
        const NAME: &str = "safety backup";
        let directory = &self.options.safety_to;
        let target = Target::look(directory);
        let found = self.list.add(NAME, target, |target| {
            format!(
                "goes to {}, {} free",
                directory.display(),
                bytes(target.available_bytes)
            )
        });
        let (Some(target), Some(datastore), Some(pod)) =
            (found, &self.facts.datastore, &self.facts.primary)
        else {
            return;
        };
        match tenants::database_bytes(self.cluster, &pod.container(), datastore).await {
            Ok(database) if target.available_bytes < database => self.list.warn(
                NAME,
                format!(
                    "the current database takes {} on its server: its dump is smaller, but may not be small enough",
                    bytes(database)
                ),
            ),
            Ok(_) => {}
            Err(problem) => self.list.fail(NAME, &problem),
        }
    }
}

fn pairs_text(mapping: &Mapping) -> String {
    let by = |mapping: &Mapping| {
        let mut reasons: Vec<String> = mapping
            .pairs
            .iter()
            .map(|pair| pair.by.to_string())
            .collect();
        reasons.sort();
        reasons.dedup();
        reasons.join(", ")
    };
    match mapping.pairs.len() {
        0 => "none in the backup".to_owned(),
        pairs => format!(
            "{}, each with a target ({})",
            count(pairs as u64, "instance"),
            by(mapping)
        ),
    }
}
