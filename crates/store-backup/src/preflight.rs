//! Everything a backup needs, looked at before anything is done, and all problems at once.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use backup_set::Target;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube_transfer::{DownloadError, StreamError};
use serde::Serialize;
use wa_common::assistant::{Datastore, Instance, PostgresPod};
use wa_common::cluster::{Cluster, ClusterError, Permission};
use wa_common::report::{bytes, error_text};

use crate::dump::{self, Versions};

/// A finished preflight.
pub struct Preflight {
    /// One line for each condition, in the order they were looked at.
    pub checks: Vec<Check>,
    findings: Findings,
}

/// One condition and how it stands.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub result: CheckResult,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    Ok,
    Failed,
    /// Depends on one that failed.
    Skipped,
}

/// Everything that a backup needs to know.
pub struct Ready {
    pub instance: Instance,
    pub datastore: Datastore,
    pub auth_encryption: Option<SecretObject>,
    pub pod: PostgresPod,
    pub versions: Versions,
}

#[derive(Default)]
struct Findings {
    instance: Option<Instance>,
    datastore: Option<Datastore>,
    auth_encryption: Option<AuthEncryption>,
    pod: Option<PostgresPod>,
    versions: Option<Versions>,
    target: Option<Target>,
    problems: Vec<anyhow::Error>,
}

/// The auth-encryption secret, which some releases do not have.
struct AuthEncryption(Option<SecretObject>);

/// Several problems, told together.
#[derive(Debug)]
struct Problems(Vec<anyhow::Error>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} problems stand in the way; nothing was changed:",
            self.0.len()
        )?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}", error_text(problem)))
    }
}

impl std::error::Error for Problems {}

/// Looks at every condition, as far as those it depends on hold.
pub async fn run(cluster: &Cluster, instance: Option<&str>) -> Preflight {
    let mut preflight = Preflight {
        checks: Vec::new(),
        findings: Findings::default(),
    };
    if preflight.connection(cluster).await {
        preflight.installation(cluster, instance).await;
    } else {
        for name in [
            "instance",
            "release",
            "permissions",
            "store secret",
            "auth-encryption",
            "postgres pod",
            "websocket",
            "pg_dump",
        ] {
            preflight.skip(name, "connection");
        }
    }
    preflight
}

impl Preflight {
    /// What a backup needs, or all that stands in its way.
    pub fn ready(self) -> anyhow::Result<Ready> {
        let Findings {
            instance: Some(instance),
            datastore: Some(datastore),
            auth_encryption: Some(AuthEncryption(auth_encryption)),
            pod: Some(pod),
            versions: Some(versions),
            target: _,
            problems,
        } = self.findings
        else {
            return Err(together(self.findings.problems));
        };
        if !problems.is_empty() {
            return Err(together(problems));
        }
        Ok(Ready {
            instance,
            datastore,
            auth_encryption,
            pod,
            versions,
        })
    }

    /// Looks at the directory that the set is to be made in.
    pub fn target(&mut self, directory: &Path) {
        let target = Target::look(directory).map_err(anyhow::Error::from);
        self.findings.target = self.record("target", target, |target| {
            format!(
                "{}, {} free",
                directory.display(),
                bytes(target.available_bytes)
            )
        });
    }

    /// What the user should know although nothing stands in the way.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        [self.missing_key(), self.little_space()]
            .into_iter()
            .flatten()
    }

    /// The names of releases only decide how loudly it is told: what counts is what was found.
    fn missing_key(&self) -> Option<String> {
        let AuthEncryption(None) = self.findings.auth_encryption.as_ref()? else {
            return None;
        };
        let instance = self.findings.instance.as_ref()?;
        let release = instance.release.as_deref()?;
        has_key(release).then(|| {
            format!(
                "there is no secret {}, which release {release} has: without its key, restored data cannot be read; look for the key before you rely on this backup",
                instance.auth_encryption_name()
            )
        })
    }

    fn little_space(&self) -> Option<String> {
        let available = self.findings.target?.available_bytes;
        let database = self.findings.versions.as_ref()?.database_bytes;
        (available < database).then(|| {
            format!(
                "the database takes {} on its server, and only {} are free here; a dump is smaller, but may not be small enough",
                bytes(database),
                bytes(available)
            )
        })
    }

    /// Whether everything a backup needs is there.
    pub fn passed(&self) -> bool {
        self.findings.problems.is_empty()
    }

    async fn connection(&mut self, cluster: &Cluster) -> bool {
        let answer = cluster.version().await;
        let detail = |version: &String| format!("{}, Kubernetes {version}", cluster.server());
        self.record("connection", answer.map_err(anyhow::Error::from), detail)
            .is_some()
    }

    async fn installation(&mut self, cluster: &Cluster, wanted: Option<&str>) {
        let found = Instance::find(cluster, wanted)
            .await
            .map_err(anyhow::Error::from);
        let instance = self.record("instance", found, |instance| {
            format!("{} in namespace {}", instance.name, instance.namespace)
        });
        let Some(instance) = instance else {
            self.skip("release", "instance");
            self.permissions(cluster, needed_permissions(wanted, None))
                .await;
            for name in [
                "store secret",
                "auth-encryption",
                "postgres pod",
                "websocket",
                "pg_dump",
            ] {
                self.skip(name, "instance");
            }
            return;
        };
        let release = instance
            .release
            .clone()
            .unwrap_or_else(|| "not told by the WatsonAssistant resource".to_owned());
        self.passed_check("release", release);
        self.permissions(cluster, needed_permissions(wanted, Some(&instance)))
            .await;

        let datastore = Datastore::read(cluster, &instance)
            .await
            .map_err(anyhow::Error::from);
        let datastore = self.record("store secret", datastore, |datastore| {
            format!(
                "{}: database {} at {}",
                datastore.secret, datastore.database, datastore.host
            )
        });
        let secret = instance
            .auth_encryption(cluster)
            .await
            .map(AuthEncryption)
            .map_err(anyhow::Error::from);
        self.findings.auth_encryption = self.record(
            "auth-encryption",
            secret,
            |AuthEncryption(secret)| match secret {
                Some(secret) => secret.metadata.name.clone().unwrap_or_default(),
                None => "none found; releases before 5.1 may have none".to_owned(),
            },
        );
        let pod = PostgresPod::find(cluster, &instance)
            .await
            .map_err(anyhow::Error::from);
        let pod = self.record("postgres pod", pod, |pod| {
            let role = if pod.primary { "primary" } else { "replica" };
            format!("{}, Ready, {role}", pod.name)
        });
        if let (Some(datastore), Some(pod)) = (&datastore, &pod) {
            let versions = versions(cluster, pod, datastore).await;
            self.versions(versions);
        } else {
            let needed = if datastore.is_none() {
                "store secret"
            } else {
                "postgres pod"
            };
            self.skip("websocket", needed);
            self.skip("pg_dump", needed);
        }
        self.findings.instance = Some(instance);
        self.findings.datastore = datastore;
        self.findings.pod = pod;
    }

    async fn permissions(&mut self, cluster: &Cluster, needed: Vec<Needed>) {
        let allowed = try_join_all(needed.iter().map(|needed| needed.held(cluster))).await;
        let answers = allowed.map_err(anyhow::Error::from).and_then(|allowed| {
            let missing: Vec<String> = needed
                .iter()
                .zip(allowed)
                .filter(|(_, allowed)| !allowed)
                .map(|(needed, _)| needed.to_string())
                .collect();
            anyhow::ensure!(
                missing.is_empty(),
                "you may not {} in namespace {:?}; ask a cluster administrator for a role that allows it",
                missing.join(", "),
                cluster.namespace()
            );
            Ok(())
        });
        self.record("permissions", answers, |()| {
            let verbs: Vec<String> = needed.iter().map(Needed::to_string).collect();
            verbs.join(", ")
        });
    }

    /// Asking for the versions is the first command that is run in a pod. Whether it could be tells of what stands between
    /// here and the API server.
    fn versions(&mut self, versions: anyhow::Result<Versions>) {
        let refused = versions
            .as_ref()
            .err()
            .and_then(|error| error.chain().find_map(|cause| cause.downcast_ref()));
        match refused {
            Some(DownloadError::Stream(StreamError::Refused(error)))
                if error.is_for_want_of_websockets() =>
            {
                self.record("websocket", versions, Versions::to_string);
                self.skip("pg_dump", "websocket");
                return;
            }
            Some(DownloadError::Stream(StreamError::Refused(_))) => {
                self.skip("websocket", "pg_dump");
            }
            _ => self.passed_check(
                "websocket",
                "commands in pods can be run from here".to_owned(),
            ),
        }
        self.findings.versions = self.record("pg_dump", versions, Versions::to_string);
    }

    /// Adds a line for `outcome` and keeps what it holds.
    fn record<T>(
        &mut self,
        name: &'static str,
        outcome: anyhow::Result<T>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match outcome {
            Ok(found) => {
                self.passed_check(name, detail(&found));
                Some(found)
            }
            Err(problem) => {
                self.checks.push(Check {
                    name,
                    result: CheckResult::Failed,
                    detail: error_text(&problem),
                });
                self.findings.problems.push(problem);
                None
            }
        }
    }

    fn passed_check(&mut self, name: &'static str, detail: String) {
        self.checks.push(Check {
            name,
            result: CheckResult::Ok,
            detail,
        });
    }

    fn skip(&mut self, name: &'static str, because: &str) {
        self.checks.push(Check {
            name,
            result: CheckResult::Skipped,
            detail: format!("needs: {because}"),
        });
    }
}

fn together(mut problems: Vec<anyhow::Error>) -> anyhow::Error {
    if problems.len() == 1 {
        return problems.remove(0);
    }
    anyhow::Error::new(Problems(problems))
}

/// Permissions of which one suffices.
#[derive(Debug)]
struct Needed(Vec<Permission>);

impl Needed {
    async fn held(&self, cluster: &Cluster) -> Result<bool, ClusterError> {
        for permission in &self.0 {
            if cluster.may(permission).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permissions: Vec<String> = self.0.iter().map(Permission::to_string).collect();
        f.write_str(&permissions.join(" or "))
    }
}

/// What `create` does, as narrow as a role can allow it: secrets by name, as far as the names are known, and no search for
/// an instance that was `named`.
///
/// An exec over WebSocket is a GET request: API servers ask for `get` on `pods/exec`, and since Kubernetes 1.35 for
/// `create` as well.
fn needed_permissions(named: Option<&str>, instance: Option<&Instance>) -> Vec<Needed> {
    let mut needed = Vec::new();
    let mut need = |permission| needed.push(Needed(vec![permission]));
    if named.is_none() {
        need(Permission::new(
            "list",
            "assistant.watson.ibm.com",
            "watsonassistants",
        ));
    }
    need(Permission::new("list", "", "pods"));
    need(Permission::new("get", "", "pods").on_subresource("exec"));
    need(Permission::new("create", "", "pods").on_subresource("exec"));
    if let Some(instance) = instance {
        let get = |name| Permission::new("get", "", "secrets").named(name);
        need(get(instance.auth_encryption_name()));
        let store = Datastore::secret_names(instance);
        needed.push(Needed(store.map(get).into()));
    }
    needed
}

/// Whether every installation of the release has an auth-encryption secret: from 5.1 on.
fn has_key(release: &str) -> bool {
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(1))
}

async fn versions(
    cluster: &Cluster,
    pod: &PostgresPod,
    datastore: &Datastore,
) -> anyhow::Result<Versions> {
    let commands = [
        dump::client_version_command(),
        dump::server_version_command(datastore)?,
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

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pg_dump {}, server {}, database {}",
            self.pg_dump,
            self.server,
            bytes(self.database_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(named: Option<&str>, instance: Option<&Instance>) -> Vec<String> {
        let needed = needed_permissions(named, instance);
        needed.iter().map(Needed::to_string).collect()
    }

    #[test]
    fn a_role_that_names_its_secrets_suffices() {
        let instance = Instance {
            name: "wa".to_owned(),
            namespace: "cpd".to_owned(),
            release: None,
        };
        assert_eq!(
            told(Some("wa"), Some(&instance)),
            [
                "list pods",
                "get pods/exec",
                "create pods/exec",
                "get secrets/wa-auth-encryption",
                "get secrets/wa-store-datastore-connection-strings or get secrets/wa-store-vcap",
            ]
        );
    }

    #[test]
    fn a_key_is_expected_from_5_1_on() {
        let expected = ["5.1", "5.1.0", "5.2.1", "5.10.0", "6.0", "10.0.1"];
        assert!(expected.iter().all(|release| has_key(release)));
        let optional = ["4.0.9", "4.8.8", "5.0.3", "5", "unknown", ""];
        assert!(!optional.iter().any(|release| has_key(release)));
    }

    #[test]
    fn an_instance_that_is_not_named_must_be_searched() {
        assert_eq!(
            told(None, None)[0],
            "list watsonassistants.assistant.watson.ibm.com"
        );
    }
}
