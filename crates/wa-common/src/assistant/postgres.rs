//! Finding a pod that can run PostgreSQL's programs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube_transfer::PodContainer;

use super::{AssistantError, Instance, names};
use crate::cluster::{Cluster, ClusterError, pod_is_ready};

/// The container that has `pg_dump` and `psql`, the same since 4.0.
pub const POSTGRES_CONTAINER: &str = "postgres";

/// A Ready pod of the store's PostgreSQL cluster.
#[derive(Debug, Clone)]
pub struct PostgresPod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whether it is the cluster's primary.
    pub primary: bool,
}

impl PostgresPod {
    /// The primary where it is Ready, else any Ready pod: `pg_dump` connects to the database's service, so the pod only
    /// supplies a client of the right version.
    pub async fn find(cluster: &Cluster, instance: &Instance) -> Result<Self, AssistantError> {
        let mut pods = Self::find_all(cluster, instance).await?;
        let chosen = pods.iter().position(|pod| pod.primary).unwrap_or_default();
        Ok(pods.swap_remove(chosen))
    }

    /// Every Ready pod of the cluster, of which there is at least one.
    pub async fn find_all(
        cluster: &Cluster,
        instance: &Instance,
    ) -> Result<Vec<Self>, AssistantError> {
        let mut seen = Vec::new();
        for (label, value) in names::postgres_selectors(&instance.name) {
            let pods: Vec<Pod> = cluster.list(&format!("{label}={value}")).await?;
            // A connection pooler's pods carry the cluster's label too.
            let pods: Vec<Pod> = pods.into_iter().filter(has_postgres_container).collect();
            let ready: Vec<&Pod> = pods.iter().filter(|pod| pod_is_ready(pod)).collect();
            if ready.is_empty() {
                seen.extend(pods.iter().map(describe));
                continue;
            }
            let primary = match current_primary(cluster, &value).await? {
                Some(name) => Some(name),
                None => ready
                    .iter()
                    .find(|pod| labelled_primary(pod))
                    .map(|pod| pod.name_any()),
            };
            let found = ready.iter().map(|pod| Self {
                name: pod.name_any(),
                namespace: instance.namespace.clone(),
                primary: Some(pod.name_any()) == primary,
            });
            return Ok(found.collect());
        }
        seen.sort();
        seen.dedup();
        Err(AssistantError::NoPostgresPod {
            instance: instance.name.clone(),
            namespace: instance.namespace.clone(),
            found: if seen.is_empty() {
                let clusters = names::postgres_clusters(&instance.name).join(" or ");
                format!("there are no pods of a cluster {clusters}")
            } else {
                seen.join(", ")
            },
        })
    }

    /// Where commands run in this pod.
    pub fn container(&self) -> PodContainer {
        PodContainer {
            namespace: self.namespace.clone(),
            pod: self.name.clone(),
            container: POSTGRES_CONTAINER.to_owned(),
        }
    }
}

impl Instance {
    /// The names that its PostgreSQL cluster may have, newest first.
    pub fn postgres_clusters(&self) -> [String; 2] {
        names::postgres_clusters(&self.name)
    }

    /// The StatefulSet of its Redis, whose cache is stale when the database was exchanged.
    pub fn redis_server(&self) -> String {
        names::redis_server(&self.name)
    }
}

/// What the PostgreSQL operator says; `None` where it says nothing or the user may not ask.
async fn current_primary(cluster: &Cluster, name: &str) -> Result<Option<String>, ClusterError> {
    match cluster.find_custom(&names::postgres_cluster(), name).await {
        Ok(found) => Ok(found.and_then(|found| {
            let primary = found.data.pointer("/status/currentPrimary")?.as_str()?;
            Some(primary.to_owned())
        })),
        Err(error) if matches!(error.code(), Some(403 | 404)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn has_postgres_container(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .into_iter()
        .any(|container| container.name == POSTGRES_CONTAINER)
}

fn labelled_primary(pod: &Pod) -> bool {
    let label = |labels: &BTreeMap<String, String>, key: &str| {
        labels.get(key).is_some_and(|value| value == "primary")
    };
    label(pod.labels(), "k8s.enterprisedb.io/instanceRole") || label(pod.labels(), "role")
}

fn describe(pod: &Pod) -> String {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Unknown");
    let state = if pod.metadata.deletion_timestamp.is_some() {
        "Terminating"
    } else {
        phase
    };
    let readiness = if state == "Running" {
        ", not Ready"
    } else {
        ""
    };
    format!("{} is {state}{readiness}", pod.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    fn pod(phase: &str, ready: &str, deleted: bool) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "wa-postgres-1"},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        pod.metadata.deletion_timestamp = deleted.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
        pod
    }

    #[test]
    fn a_pod_that_cannot_be_used_is_described() {
        assert_eq!(
            describe(&pod("Running", "False", false)),
            "wa-postgres-1 is Running, not Ready"
        );
        assert_eq!(
            describe(&pod("Pending", "False", false)),
            "wa-postgres-1 is Pending"
        );
        assert_eq!(
            describe(&pod("Running", "True", true)),
            "wa-postgres-1 is Terminating"
        );
    }
}
