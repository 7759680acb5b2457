//! What the target's installation must be: its database, its service instances, and what is stopped meanwhile.

use std::fmt::Write as _;
use std::slice;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use store_backup::tenants;
use wa_common::assistant::{BackupCronJob, Datastore, Instance};
use wa_common::preflight::Finding;
use wa_common::report::{bytes, count};

use super::pod::Pods;
use super::{MappingChoice, Run};
use crate::config::{self, RcForm};
use crate::database::{DatabaseServer, Room};
use crate::mapping::{Mapping, named};
use crate::release::Release;
use crate::source::Candidate;
use crate::target::{self, Address, PostgresCluster, Scaled, restarts_by_itself};

/// With more instances than this, some builds of pgmig fail.
const MANY_INSTANCES: usize = 20;

/// Where the resource controller is, and how pgmig is told of it.
pub(super) struct Controller {
    address: Address,
    pub(super) form: RcForm,
}

impl Run<'_> {
    pub(super) async fn store_secret(
        &mut self,
        instance: &Finding<Instance>,
    ) -> Finding<Datastore> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| Ok(Datastore::read(cluster, instance).await?);
        let detail = |datastore: &Datastore| {
            format!(
                "{}: database {} at {}",
                datastore.secret, datastore.database, datastore.host
            )
        };
        let conditions = &mut self.conditions;
        conditions
            .check("store secret", instance, look, detail)
            .await
    }

    pub(super) async fn postgres_ca(
        &mut self,
        instance: &Finding<Instance>,
        datastore: &Finding<Datastore>,
    ) -> Finding<PostgresCluster> {
        let cluster = self.cluster;
        let look = async |(instance, datastore): (&Instance, &Datastore)| {
            PostgresCluster::find(cluster, instance, datastore).await
        };
        let detail = |postgres: &PostgresCluster| {
            let icp = if postgres.needs_enable_icp() {
                "needs"
            } else {
                "does not need"
            };
            format!(
                "{} of cluster {}; pgmig {icp} ENABLE_ICP=true",
                postgres.ca_secret, postgres.name
            )
        };
        let needs = (instance, datastore);
        let conditions = &mut self.conditions;
        conditions.check("PostgreSQL CA", needs, look, detail).await
    }

    /// A dump is smaller than its database, so that too little space for that need not be too little. Returns the size of
    /// the database.
    pub(super) async fn safety_space(
        &mut self,
        datastore: &Finding<Datastore>,
        pods: &Finding<Pods>,
    ) -> Option<u64> {
        let (cluster, to) = (self.cluster, &self.options.safety.to);
        let places = &self.options.opener.places;
        let look = async |()| {
            let target = places.look(to)?;
            let available = target.map(|target| target.available_bytes);
            let database = match (datastore.value(), pods.value()) {
                (Some(datastore), Some(pods)) => {
                    let container = pods.primary.container();
                    Some(tenants::database_bytes(cluster, &container, datastore).await?)
                }
                _ => None,
            };
            Ok((available, database))
        };
        let detail = |(available, _): &(Option<u64>, Option<u64>)| {
            let free = available.map(|available| format!(", {} free", bytes(available)));
            format!("goes to {}{}", to.display(), free.unwrap_or_default())
        };
        let found = self
            .conditions
            .check("safety backup", (), look, detail)
            .await;
        if let Some((Some(available), Some(database))) = found.value()
            && available < database
        {
            self.conditions.remark(
                &found,
                format!(
                    "the current database takes {} on its server: its dump is smaller, but may not be small enough",
                    bytes(*database)
                ),
            );
        }
        found.into_value().and_then(|(_, database)| database)
    }

    /// Whether the superuser, who copies the database and looks at what was restored, is let in, and whether a copy fits.
    pub(super) async fn database_server(
        &mut self,
        instance: &Finding<Instance>,
        datastore: &Finding<Datastore>,
        source: &Finding<Candidate>,
    ) {
        let cluster = self.cluster;
        let dump_bytes = source.value().map_or(0, Candidate::table_bytes);
        let look = async |(instance, datastore): (&Instance, &Datastore)| {
            let server = DatabaseServer::new(cluster, instance, datastore);
            let room = server.room_for_copy(dump_bytes).await.context(
                "the restore acts as superuser postgres on the local socket of the primary, where no password is asked for",
            )?;
            Ok(room)
        };
        let detail = |room: &Room| {
            format!(
                "superuser let in; a copy and what is restored need {}, {} free",
                bytes(room.needed_bytes),
                bytes(room.free_bytes)
            )
        };
        let conditions = &mut self.conditions;
        let found = conditions
            .check("database server", (instance, datastore), look, detail)
            .await;
        if found.value().is_some_and(|room| !room.suffices()) {
            conditions.remark(
                &found,
                "the database will not be copied inside its server, and going back takes the safety backup: a full disk would stop the server",
            );
        }
    }

    /// Which instance becomes which, by the mapping given or else by what is clear.
    pub(super) async fn service_instances(
        &mut self,
        source: &Finding<Candidate>,
        datastore: &Finding<Datastore>,
        pods: &Finding<Pods>,
    ) -> Finding<Mapping> {
        let (cluster, choice) = (self.cluster, &self.options.mapping);
        let is_asked = matches!(choice, MappingChoice::Asked);
        let look = async |(source, (datastore, pods)): (&Candidate, (&Datastore, &Pods))| {
            let container = pods.primary.container();
            let targets = tenants::read(cluster, &container, datastore).await?;
            let sources = source.instances()?;
            let mapping = match choice {
                MappingChoice::File(file) => Mapping::read(&file.yaml, &sources, &targets)?,
                MappingChoice::Clear | MappingChoice::Asked => Mapping::propose(&sources, &targets),
            };
            let gap = mapping.gap();
            match gap.filter(|_| !is_asked || mapping.lacks_targets()) {
                Some(gap) => Err(anyhow::anyhow!("{gap}")),
                None => Ok(mapping),
            }
        };
        let needs = (source, (datastore, pods));
        let conditions = &mut self.conditions;
        let detail = if is_asked { asked_text } else { pairs_text };
        let found = conditions
            .check("service instances", needs, look, detail)
            .await;
        if let Some(mapping) = found.value() {
            let unused = mapping.targets_left.iter();
            let unused: Vec<String> = unused
                .map(|one| format!("{} ({})", one.id, named(one)))
                .collect();
            if !unused.is_empty() && !is_asked {
                conditions.remark(
                    &found,
                    format!(
                        "the data of {} is erased, and nothing of the backup comes in its place",
                        unused.join(", ")
                    ),
                );
            }
            if mapping.pairs.len() + mapping.sources_left.len() > MANY_INSTANCES {
                conditions.remark(
                    &found,
                    format!(
                        "builds of pgmig from before December 2025 (5.3.0: before 20 February 2026) fail with more than {MANY_INSTANCES} service instances: take a fresh copy"
                    ),
                );
            }
        }
        found
    }

    /// Whether the target is a watsonx Orchestrate's.
    pub(super) async fn orchestrate(&mut self, instance: &Finding<Instance>) -> Finding<bool> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| Ok(instance.is_of_orchestrate(cluster).await?);
        let detail = |is_part: &bool| {
            let text = if *is_part {
                "the target is part of one: pgmig gets --wxo"
            } else {
                "the target is not part of one"
            };
            text.to_owned()
        };
        let conditions = &mut self.conditions;
        conditions
            .check("watsonx Orchestrate", instance, look, detail)
            .await
    }

    pub(super) async fn resource_controller(
        &mut self,
        instance: &Finding<Instance>,
    ) -> Finding<Controller> {
        let (cluster, given) = (self.cluster, self.options.rc_form);
        let look = async |instance: &Instance| {
            let form = given.or_else(|| {
                let release: Option<Release> = instance.release.as_ref()?.parse().ok();
                release.map(RcForm::from_release)
            });
            let form = form.context(
                "the release does not tell the form of resourceController.yaml: give --rc-form user-tokens (before 5.2.1) or service-token",
            )?;
            let address = match form {
                RcForm::ServiceToken => {
                    config::broker_token(cluster).await?;
                    config::broker_address(&instance.namespace)
                }
                RcForm::UserTokens => target::resource_controller(cluster, instance).await?,
            };
            Ok(Controller { address, form })
        };
        let detail = |Controller { address, form }: &Controller| {
            format!("{}:{}, form {form}", address.host, address.port)
        };
        let conditions = &mut self.conditions;
        conditions
            .check("resource controller", instance, look, detail)
            .await
    }

    pub(super) async fn stores(&mut self, instance: &Finding<Instance>) -> Finding<Vec<Scaled>> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| {
            let stores = target::stores(cluster, instance).await?;
            target::require_running(&stores)?;
            target::require_selectors(&stores)?;
            Ok(stores)
        };
        let detail = |stores: &Vec<Scaled>| {
            let stores: Vec<String> = stores.iter().map(Scaled::in_words).collect();
            stores.join(", ")
        };
        self.conditions.check("store", instance, look, detail).await
    }

    pub(super) async fn operator(&mut self, connection: &Finding<()>) -> Finding<Scaled> {
        let (cluster, namespace) = (self.cluster, self.options.operators_namespace.as_deref());
        let look = async |(): &()| {
            let operator = target::operator(cluster, namespace).await?;
            target::require_running(slice::from_ref(&operator))?;
            target::require_selectors(slice::from_ref(&operator))?;
            ensure!(
                operator.ready > 0,
                "{} in namespace {} has no ready replica: it must be up, to bring the store back later",
                operator.name,
                operator.namespace
            );
            Ok(operator)
        };
        let detail =
            |operator: &Scaled| format!("{} in {}", operator.in_words(), operator.namespace);
        let conditions = &mut self.conditions;
        conditions.check("operator", connection, look, detail).await
    }

    /// Those that nobody looks after while the operator is stopped.
    pub(super) async fn other_instances(&mut self, instance: &Finding<Instance>) {
        let cluster = self.cluster;
        let look =
            async |instance: &Instance| Ok(target::other_instances(cluster, instance).await?);
        let detail = |others: &Option<Vec<String>>| match others {
            Some(others) if others.is_empty() => "none".to_owned(),
            Some(others) => format!("{} beside this one", others.len()),
            None => "not known".to_owned(),
        };
        let conditions = &mut self.conditions;
        let found = conditions
            .check("other instances", instance, look, detail)
            .await;
        match found.value() {
            Some(Some(others)) if others.is_empty() => {}
            Some(Some(others)) => conditions.remark(
                &found,
                format!(
                    "nobody looks after {} while the operator is stopped",
                    others.join(", ")
                ),
            ),
            Some(None) => conditions.remark(
                &found,
                "you may not list WatsonAssistants of all namespaces: others that the same operator serves are not looked after while it is stopped",
            ),
            None => {}
        }
    }

    pub(super) async fn nightly_backup(
        &mut self,
        instance: &Finding<Instance>,
    ) -> Finding<Option<BackupCronJob>> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| Ok(BackupCronJob::find(cluster, instance).await?);
        let detail = |found: &Option<BackupCronJob>| {
            let Some(cron_job) = found else {
                return "there is no backup CronJob to suspend".to_owned();
            };
            let mut text = cron_job.name();
            if cron_job.is_suspended() {
                text.push_str(", suspended");
            } else if let Some(next) = cron_job.next_run(Timestamp::now()) {
                let _ = write!(text, ", next at {}", next.strftime("%Y-%m-%d %H:%M UTC"));
            }
            text
        };
        let conditions = &mut self.conditions;
        let found = conditions
            .check("nightly backup", instance, look, detail)
            .await;
        let cron_job = found.value().and_then(Option::as_ref);
        let active = match cron_job {
            // Whoever may not list Jobs is told so by the permissions.
            Some(cron_job) => {
                (cron_job.jobs_at_work(cluster).await).unwrap_or_else(|_| cron_job.active_jobs())
            }
            None => Vec::new(),
        };
        if !active.is_empty() {
            conditions.remark(
                &found,
                format!(
                    "{} at work now, to be waited for before anything is stopped",
                    active.join(", ")
                ),
            );
        }
        self.backups_at_work = active;
        found
    }

    /// Whether there is a Redis to restart.
    pub(super) async fn redis(&mut self, instance: &Finding<Instance>) -> Finding<bool> {
        let cluster = self.cluster;
        let look = async |instance: &Instance| {
            let name = instance.redis_server();
            let found: Option<StatefulSet> = cluster.find(&name).await?;
            Ok((name, found))
        };
        let detail = |(name, found): &(String, Option<StatefulSet>)| {
            if found.is_some() {
                format!("{name}, to be restarted while the store is at 0")
            } else {
                format!("there is no StatefulSet {name} to restart")
            }
        };
        let found = self.conditions.check("redis", instance, look, detail).await;
        if let Some((name, Some(stateful_set))) = found.value()
            && !restarts_by_itself(stateful_set)
        {
            self.conditions.remark(
                &found,
                format!("{name} is not set to be restarted by Kubernetes (updateStrategy OnDelete, or a partition): delete its pods yourself while the store is at 0, as it keeps what it has read of the old database"),
            );
        }
        found.map(|(_, found)| found.is_some())
    }

    pub(super) fn object_storage(&mut self) {
        let detail = "is not restored: published versions and trained models must be copied apart"
            .to_owned();
        self.conditions
            .record("object storage", Ok(()), |()| detail);
    }
}

fn asked_text(mapping: &Mapping) -> String {
    let pairs = mapping.pairs.len();
    format!(
        "{} in the backup and {} in the target, to be asked for",
        pairs + mapping.sources_left.len(),
        pairs + mapping.targets_left.len()
    )
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
