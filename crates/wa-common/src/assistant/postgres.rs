//! Finding a pod that can run PostgreSQL's programs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube_transfer::PodContainer;

use super::{AssistantError, Datastore, Instance, names};
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
    pub async fn find(
        cluster: &Cluster,
        instance: &Instance,
        datastore: Option<&Datastore>,
    ) -> Result<Self, AssistantError> {
        let mut pods = Self::find_all(cluster, instance, datastore).await?;
        let chosen = pods.iter().position(|pod| pod.primary).unwrap_or_default();
        Ok(pods.swap_remove(chosen))
    }

    /// Every Ready pod of the cluster, of which there is at least one.
    ///
    /// After an upgrade the older cluster may still be there, with a database of the same name. So the cluster is the one
    /// whose service `datastore` names, and only where that is not known the newest one that has pods: while none of them
    /// is Ready, no other stands in.
    pub async fn find_all(
        cluster: &Cluster,
        instance: &Instance,
        datastore: Option<&Datastore>,
    ) -> Result<Vec<Self>, AssistantError> {
        let own = datastore.and_then(|datastore| datastore.postgres_cluster(instance));
        let names = own.map_or_else(|| instance.postgres_clusters().to_vec(), |name| vec![name]);
        for name in &names {
            let pods = pods_of(cluster, name).await?;
            if pods.is_empty() {
                continue;
            }
            let ready: Vec<&Pod> = pods.iter().filter(|pod| pod_is_ready(pod)).collect();
            if ready.is_empty() {
                let mut seen: Vec<String> = pods.iter().map(describe).collect();
                seen.sort();
                return Err(none_ready(instance, seen.join(", ")));
            }
            let primary = match current_primary(cluster, name).await? {
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
        let found = format!("there are no pods of a cluster {}", names.join(" or "));
        Err(none_ready(instance, found))
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

fn none_ready(instance: &Instance, found: String) -> AssistantError {
    AssistantError::NoPostgresPod {
        instance: instance.name.clone(),
        namespace: instance.namespace.clone(),
        found,
    }
}

/// The pods of a PostgreSQL cluster, Ready or not, by whichever label they have.
async fn pods_of(cluster: &Cluster, name: &str) -> Result<Vec<Pod>, ClusterError> {
    for selector in names::postgres_selectors(name) {
        let mut pods: Vec<Pod> = cluster.list(&selector).await?;
        // A connection pooler's pods carry the cluster's label too.
        pods.retain(has_postgres_container);
        if !pods.is_empty() {
            return Ok(pods);
        }
    }
    Ok(Vec::new())
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
    use crate::cluster::fake_api::{self, FakeApi};
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

    /// A pod of that cluster.
    fn member(cluster: &str, ready: &str) -> serde_json::Value {
        json!({
            "metadata": {
                "name": format!("{cluster}-1"),
                "labels": {"k8s.enterprisedb.io/cluster": cluster, "role": "primary"},
            },
            "spec": {"containers": [{"name": POSTGRES_CONTAINER}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    #[tokio::test]
    async fn the_pods_of_an_older_cluster_do_not_stand_in_for_those_of_the_stores_own() {
        let instance = Instance {
            name: "wa".to_owned(),
            namespace: fake_api::NAMESPACE.to_owned(),
            release: None,
        };
        let datastore = |host: &str| Datastore {
            secret: String::new(),
            host: host.to_owned(),
            port: 5432,
            database: String::new(),
            user: String::new(),
            password: kube_transfer::Secret::new("p").unwrap(),
        };
        let api = FakeApi::default();
        let cluster = api.cluster();
        let find = async |host: Option<&str>| {
            let datastore = host.map(datastore);
            let found = PostgresPod::find_all(&cluster, &instance, datastore.as_ref()).await;
            found
                .map(|pods| pods.into_iter().map(|pod| pod.name).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        api.put("pods", member("wa-postgres", "True"));
        assert_eq!(find(None).await.unwrap(), ["wa-postgres-1"]);
        // The newer one is failing over.
        api.put("pods", member("wa-postgres-16", "False"));
        for host in [None, Some("wa-postgres-16-rw.cpd.svc"), Some("proxy")] {
            let error = find(host).await.unwrap_err();
            let told = error.contains("wa-postgres-16-1 is Running, not Ready");
            assert!(
                told && !error.contains("wa-postgres-1 "),
                "{host:?}: {error}"
            );
        }
        // In the middle of an upgrade the store is still on the older one, whatever there is of the newer.
        for ready in ["False", "True"] {
            api.put("pods", member("wa-postgres-16", ready));
            let found = find(Some("wa-postgres-rw")).await.unwrap();
            assert_eq!(found, ["wa-postgres-1"]);
        }
        assert_eq!(find(None).await.unwrap(), ["wa-postgres-16-1"]);
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
