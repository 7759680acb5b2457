//! Everything a backup needs, looked at before anything is done, and all problems at once.

use std::path::Path;

use anyhow::Context as _;
use backup_set::Target;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube_transfer::exec::OpenError;
use kube_transfer::{DownloadError, StreamError};
use serde_json::json;
use wa_common::assistant::{Datastore, Instance, PostgresPod};
use wa_common::cluster::Cluster;
use wa_common::preflight::{Finding, Needs as _, Preflight};
use wa_common::report::{Event, Reporter, Steps, bytes, count};

use crate::permissions::needed_permissions;
use crate::pg_dump::{self, Versions};

/// What was found for a backup.
pub struct BackupPreflight {
    conditions: Preflight,
    instance: Finding<Instance>,
    datastore: Finding<Datastore>,
    auth_encryption: Finding<AuthEncryption>,
    pod: Finding<PostgresPod>,
    versions: Finding<Versions>,
}

/// Everything that a backup needs to know.
#[derive(Debug)]
pub struct Ready {
    /// What is backed up.
    pub instance: Instance,
    /// Its store database.
    pub datastore: Datastore,
    /// The secret that restored data is read with, where the release has one.
    pub auth_encryption: Option<SecretObject>,
    /// The pod that `pg_dump` runs in.
    pub pod: PostgresPod,
    /// What PostgreSQL says of itself.
    pub versions: Versions,
}

/// The auth-encryption secret, which some releases do not have.
type AuthEncryption = Option<SecretObject>;

/// Looks at everything that a backup of `instance` into `directory` needs (none where no set is made), as one of `steps`;
/// an error has all that stands in the way.
pub async fn prepare(
    cluster: &Cluster,
    reporter: &dyn Reporter,
    steps: &Steps<'_>,
    instance: Option<&str>,
    directory: Option<&Path>,
) -> anyhow::Result<Ready> {
    let step = steps.begin("preflight", "");
    let mut preflight = BackupPreflight::run(cluster, instance).await;
    if let Some(directory) = directory {
        preflight.target(directory);
    }
    for remark in preflight.conditions.remarks() {
        reporter.report(&Event::Warning {
            message: remark.to_owned(),
        });
    }
    let checks = preflight.conditions.checks().len() as u64;
    let ready = preflight.ready()?;
    let Instance {
        name,
        namespace,
        release,
    } = &ready.instance;
    let shown = release.as_deref().unwrap_or("unknown");
    step.done_with(
        format!(
            "{} passed: {name} in {namespace}, release {shown}",
            count(checks, "check")
        ),
        json!({"checks": checks, "instance": name, "namespace": namespace, "release": release}),
    );
    reporter.report(&Event::Step {
        step: "pg_dump",
        detail: format!("{} through pod {}", ready.versions, ready.pod.name),
    });
    Ok(ready)
}

impl BackupPreflight {
    /// Looks at every condition of a backup of `wanted`, or of the only instance.
    pub async fn run(cluster: &Cluster, wanted: Option<&str>) -> Self {
        let mut conditions = Preflight::default();
        let connection = conditions.connection(cluster).await;
        let instance = conditions.instance(&connection, cluster, wanted).await;
        conditions.release(&instance).await;
        // What is needed of which object is known where the instance is.
        let needed = needed_permissions(wanted, instance.value());
        conditions.permissions(&connection, cluster, &needed).await;
        let datastore = datastore(&mut conditions, &instance, cluster).await;
        let auth_encryption = auth_encryption(&mut conditions, &instance, cluster).await;
        let pod = postgres_pod(&mut conditions, &instance, &datastore, cluster).await;
        let versions = versions(&mut conditions, &datastore, &pod, cluster).await;
        Self {
            conditions,
            instance,
            datastore,
            auth_encryption,
            pod,
            versions,
        }
    }

    /// Looks at the directory that the set is to be made in.
    pub fn target(&mut self, directory: &Path) {
        let target = Target::look(directory).map_err(anyhow::Error::from);
        let target = self.conditions.record("target", target, |target| {
            format!(
                "{}, {} free",
                directory.display(),
                bytes(target.available_bytes)
            )
        });
        let (Some(here), Some(versions)) = (target.value(), self.versions.value()) else {
            return;
        };
        let (available, database) = (here.available_bytes, versions.database_bytes);
        if available < database {
            self.conditions.remark(
                &target,
                format!(
                    "the database takes {} on its server, and only {} are free here; a dump is smaller, but may not be small enough",
                    bytes(database),
                    bytes(available)
                ),
            );
        }
    }

    /// The conditions that were looked at, for a command that only checks.
    pub fn into_conditions(self) -> Preflight {
        self.conditions
    }

    /// What a backup needs, or all that stands in its way.
    pub fn ready(self) -> anyhow::Result<Ready> {
        let found = (
            self.instance.into_value(),
            self.datastore.into_value(),
            self.auth_encryption.into_value(),
            self.pod.into_value(),
            self.versions.into_value(),
        );
        match found {
            (Some(instance), Some(datastore), Some(auth_encryption), Some(pod), Some(versions))
                if self.conditions.passed() =>
            {
                Ok(Ready {
                    instance,
                    datastore,
                    auth_encryption,
                    pod,
                    versions,
                })
            }
            _ => Err(self.conditions.into_error()),
        }
    }
}

async fn datastore(
    conditions: &mut Preflight,
    instance: &Finding<Instance>,
    cluster: &Cluster,
) -> Finding<Datastore> {
    let look = async |instance: &Instance| Ok(Datastore::read(cluster, instance).await?);
    let detail = |datastore: &Datastore| {
        format!(
            "{}: database {} at {}",
            datastore.secret, datastore.database, datastore.host
        )
    };
    conditions
        .check("store secret", instance, look, detail)
        .await
}

async fn auth_encryption(
    conditions: &mut Preflight,
    instance: &Finding<Instance>,
    cluster: &Cluster,
) -> Finding<AuthEncryption> {
    let look = async |instance: &Instance| Ok(instance.auth_encryption(cluster).await?);
    let detail = |secret: &AuthEncryption| match secret {
        Some(secret) => secret.metadata.name.clone().unwrap_or_default(),
        None => "none found; releases before 5.1 may have none".to_owned(),
    };
    let found = conditions
        .check("auth-encryption", instance, look, detail)
        .await;
    if let (Some(None), Some(instance)) = (found.value(), instance.value())
        && let Some(remark) = missing_key(instance)
    {
        conditions.remark(&found, remark);
    }
    found
}

/// The names of releases only decide how loudly it is reported: what counts is what was found.
fn missing_key(instance: &Instance) -> Option<String> {
    let release = instance.release.as_deref()?;
    has_key(release).then(|| {
        format!(
            "there is no secret {}, which release {release} has: without its key, restored data cannot be read; look for the key before you rely on this backup",
            instance.auth_encryption_name()
        )
    })
}

async fn postgres_pod(
    conditions: &mut Preflight,
    instance: &Finding<Instance>,
    datastore: &Finding<Datastore>,
    cluster: &Cluster,
) -> Finding<PostgresPod> {
    // Without the secret it is looked for by what there is.
    let datastore = datastore.value();
    let look =
        async |instance: &Instance| Ok(PostgresPod::find(cluster, instance, datastore).await?);
    let detail = |pod: &PostgresPod| {
        let role = if pod.primary { "primary" } else { "replica" };
        format!("{}, Ready, {role}", pod.name)
    };
    conditions
        .check("postgres pod", instance, look, detail)
        .await
}

/// Asking for the versions is the first command that is run in a pod. Whether it could be tells of what stands between
/// here and the API server, which is a condition of its own.
async fn versions(
    conditions: &mut Preflight,
    datastore: &Finding<Datastore>,
    pod: &Finding<PostgresPod>,
    cluster: &Cluster,
) -> Finding<Versions> {
    let (datastore, pod) = match (datastore, pod).found() {
        Ok(found) => found,
        Err(because) => {
            conditions.skip::<()>("websocket", because);
            return conditions.skip("pg_dump", because);
        }
    };
    let versions = ask_versions(cluster, pod, datastore).await;
    let refused = versions.as_ref().err().and_then(refusal);
    match refused {
        Some(error) if error.is_for_want_of_websockets() => {
            conditions.record("websocket", versions, Versions::to_string);
            return conditions.skip("pg_dump", "websocket");
        }
        Some(_) => drop(conditions.skip::<()>("websocket", "pg_dump")),
        None => {
            let detail = "commands in pods can be run from here".to_owned();
            conditions.record("websocket", Ok(()), |()| detail);
        }
    }
    conditions.record("pg_dump", versions, Versions::to_string)
}

/// Why no command could be run in the pod at all.
fn refusal(error: &anyhow::Error) -> Option<&OpenError> {
    let cause = error.chain().find_map(|cause| cause.downcast_ref())?;
    match cause {
        DownloadError::Stream(StreamError::Refused(error)) => Some(error),
        _ => None,
    }
}

/// Whether every installation of the release has an auth-encryption secret: from 5.1 on.
fn has_key(release: &str) -> bool {
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(1))
}

async fn ask_versions(
    cluster: &Cluster,
    pod: &PostgresPod,
    datastore: &Datastore,
) -> anyhow::Result<Versions> {
    let commands = [
        pg_dump::client_version_command(),
        pg_dump::server_version_command(datastore)?,
    ];
    // One after the other: a shell around both could leave the second behind when the connection is cut.
    let mut printed = Vec::new();
    for command in &commands {
        let answer = cluster
            .run_idempotent(&pod.container(), command)
            .await
            .with_context(|| {
                format!(
                    "cannot ask PostgreSQL for its version through pod {}",
                    pod.name
                )
            })?;
        printed.push(String::from_utf8_lossy(&answer.stdout).into_owned());
    }
    let versions =
        Versions::parse(&printed[0], &printed[1]).context("cannot read PostgreSQL's versions")?;
    versions.require_compatible()?;
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_expected_from_5_1_on() {
        let expected = ["5.1", "5.1.0", "5.2.1", "5.10.0", "6.0", "10.0.1"];
        assert!(expected.iter().all(|release| has_key(release)));
        let optional = ["4.0.9", "4.8.8", "5.0.3", "5", "unknown", ""];
        assert!(!optional.iter().any(|release| has_key(release)));
    }
}
