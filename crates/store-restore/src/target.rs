//! What the target's installation is made of, as far as a restore touches it.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;
use serde::Serialize;
use wa_common::assistant::{Datastore, Instance, OperatorError, find_operator};
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::report::{count, printable};

/// The variable of the UI's pods that holds the resource controller's address.
const URL_VARIABLE: &str = "RESOURCE_CONTROLLER_URL";
const STORE_KIND: &str = "WatsonAssistantStore";
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// A Deployment and how many replicas it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scaled {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many replicas are asked for.
    pub replicas: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// The labels of its pods, as a query takes them; `None` where it selects by more than labels.
    pub selector: Option<String>,
}

impl Scaled {
    fn from_deployment(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let status = deployment.status.as_ref();
        Self {
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment.name_any(),
            // What Kubernetes makes of no number.
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status
                .and_then(|status| status.ready_replicas)
                .unwrap_or_default(),
            selector: spec.and_then(|spec| labels_of(&spec.selector)),
        }
    }

    /// `wa-store (2 replicas)`
    pub fn in_words(&self) -> String {
        let replicas = u64::try_from(self.replicas).unwrap_or_default();
        format!("{} ({})", self.name, count(replicas, "replica"))
    }
}

/// Whether Kubernetes makes all of its pods anew when its template changes.
pub(crate) fn restarts_by_itself(stateful_set: &StatefulSet) -> bool {
    let spec = stateful_set.spec.as_ref();
    let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
    strategy.is_none_or(|strategy| {
        let rolling = strategy.rolling_update.as_ref();
        let partition = rolling.and_then(|rolling| rolling.partition);
        strategy.type_.as_deref() != Some("OnDelete") && partition.is_none_or(|kept| kept == 0)
    })
}

/// An error where the pods of a Deployment could not be waited for after it was scaled to 0.
pub fn require_selectors(scaled: &[Scaled]) -> anyhow::Result<()> {
    for one in scaled {
        ensure!(
            one.selector.is_some(),
            "{} in namespace {} does not select its pods by labels alone (matchExpressions), so that they cannot be waited for",
            one.name,
            one.namespace
        );
    }
    Ok(())
}

/// A selector as a query takes it; `None` where it is more than labels.
pub(crate) fn labels_of(selector: &LabelSelector) -> Option<String> {
    let labels = selector.match_labels.as_ref()?;
    let simple = selector
        .match_expressions
        .as_ref()
        .is_none_or(Vec::is_empty);
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    (simple && !labels.is_empty()).then(|| labels.join(","))
}

/// The store Deployments of this instance, all of which write to the database. One whose instance cannot be known is an
/// error: another instance may stand beside this one, and a store that is left running spoils the restore.
pub async fn stores(cluster: &Cluster, instance: &Instance) -> anyhow::Result<Vec<Scaled>> {
    let found: Vec<Deployment> = cluster.list("component=store").await?;
    let mut own = Vec::new();
    let mut unclear = Vec::new();
    for deployment in &found {
        match is_of(deployment, &instance.name) {
            Some(true) => own.push(Scaled::from_deployment(deployment)),
            Some(false) => {}
            None => unclear.push(deployment.name_any()),
        }
    }
    ensure!(
        unclear.is_empty(),
        "cannot tell whose store {} is: neither a {STORE_KIND} owns it nor has it the label {INSTANCE_LABEL}; label it with the instance's name",
        unclear.join(", ")
    );
    ensure!(
        !own.is_empty(),
        "no Deployment in namespace {:?} has the label component=store and belongs to instance {:?}",
        instance.namespace,
        instance.name
    );
    Ok(own)
}

/// An error where a count is 0, which is nobody's original count.
pub fn require_running(deployments: &[Scaled]) -> anyhow::Result<()> {
    let stopped: Vec<&str> = deployments
        .iter()
        .filter(|one| one.replicas == 0)
        .map(|one| one.name.as_str())
        .collect();
    ensure!(
        stopped.is_empty(),
        "{} is scaled to 0, so that its own number of replicas is not known: was an earlier restore left half-done? Scale it to what it should have, and wait until it is ready",
        stopped.join(" and ")
    );
    Ok(())
}

/// Whether a store is this instance's; `None` where nothing tells.
fn is_of(deployment: &Deployment, instance: &str) -> Option<bool> {
    let mut owners = deployment.owner_references().iter();
    if let Some(owner) = owners.find(|owner| owner.kind == STORE_KIND) {
        return Some(owner.name == instance);
    }
    let label = deployment.labels().get(INSTANCE_LABEL)?;
    Some(label == instance)
}

/// The operator, in the namespace given or wherever its Deployment is.
pub async fn operator(cluster: &Cluster, namespace: Option<&str>) -> Result<Scaled, OperatorError> {
    Ok(Scaled::from_deployment(
        &find_operator(cluster, namespace).await?,
    ))
}

/// The instances beside this one, which may be served by the same operator; `None` where the user may not know.
pub async fn other_instances(
    cluster: &Cluster,
    instance: &Instance,
) -> Result<Option<Vec<String>>, ClusterError> {
    let Some(found) = Instance::everywhere(cluster).await? else {
        return Ok(None);
    };
    let others = found
        .iter()
        .filter(|one| (&one.name, &one.namespace) != (&instance.name, &instance.namespace));
    Ok(Some(
        others
            .map(|one| format!("{} in {}", one.name, one.namespace))
            .collect(),
    ))
}

/// The PostgreSQL cluster behind the store: its name, its CA certificate, and what depends on the name.
#[derive(Debug, Clone)]
pub struct PostgresCluster {
    /// Its name, such as `wa-postgres-16`.
    pub name: String,
    /// The secret with the CA certificate.
    pub ca_secret: String,
    /// The certificate, in PEM.
    pub ca: Vec<u8>,
}

impl PostgresCluster {
    /// Finds the cluster that the store connects to.
    ///
    /// After an upgrade the objects of the older cluster may still be there. So what decides is the host that the store
    /// connects to, and only where that is no service of either, which CA there is.
    pub async fn find(
        cluster: &Cluster,
        instance: &Instance,
        datastore: &Datastore,
    ) -> anyhow::Result<Self> {
        let candidates = instance.postgres_clusters();
        let by_host = datastore.postgres_cluster(instance);
        let names = by_host
            .as_ref()
            .map_or(&candidates[..], std::slice::from_ref);
        for name in names {
            let ca_secret = format!("{name}-ca");
            if let Some(secret) = cluster.find::<Secret>(&ca_secret).await? {
                let ca = secret.data.unwrap_or_default().remove("ca.crt");
                let ca = ca.with_context(|| format!("the secret {ca_secret} has no key ca.crt"))?;
                ensure!(
                    String::from_utf8_lossy(&ca.0).contains("-----BEGIN CERTIFICATE-----"),
                    "ca.crt of the secret {ca_secret} is no certificate in PEM"
                );
                return Ok(Self {
                    name: name.clone(),
                    ca_secret,
                    ca: ca.0,
                });
            }
        }
        let tried: Vec<String> = names.iter().map(|name| format!("{name}-ca")).collect();
        bail!(
            "no secret with PostgreSQL's CA certificate in namespace {:?}: looked for {}",
            instance.namespace,
            tried.join(" and ")
        )
    }

    /// Whether pgmig needs `ENABLE_ICP=true`: exactly where the cluster has this name.
    pub fn needs_enable_icp(&self) -> bool {
        self.name.ends_with("-postgres-16")
    }
}

/// Where the resource controller of the target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The address in the environment of the UI's pods.
pub async fn resource_controller(
    cluster: &Cluster,
    instance: &Instance,
) -> anyhow::Result<Address> {
    let pods: Vec<Pod> = cluster.list("component=ui").await?;
    let mut specs: Vec<PodSpec> = own(pods, instance).filter_map(|pod| pod.spec).collect();
    if specs.is_empty() {
        let deployments: Vec<Deployment> = cluster.list("component=ui").await?;
        let templates = own(deployments, instance).filter_map(|one| one.spec?.template.spec);
        specs.extend(templates);
    }
    ensure!(
        !specs.is_empty(),
        "no pod in namespace {:?} has the label component=ui and belongs to instance {:?}: its variable {URL_VARIABLE} tells where the resource controller is",
        instance.namespace,
        instance.name
    );
    for spec in &specs {
        if let Some(url) = url_in(cluster, spec).await? {
            return address(&url).with_context(|| {
                format!(
                    "{URL_VARIABLE} of the UI is {:?}, which is no address of a resource controller",
                    printable(&url)
                )
            });
        }
    }
    bail!(
        "the UI's pods have no variable {URL_VARIABLE}, which tells where the resource controller is"
    )
}

/// Those of this instance: by their label, and where none has one, all.
fn own<K: kube::ResourceExt>(objects: Vec<K>, instance: &Instance) -> impl Iterator<Item = K> {
    let labelled = |object: &K| object.labels().get(INSTANCE_LABEL).cloned();
    let any = objects.iter().any(|object| labelled(object).is_some());
    let name = instance.name.clone();
    objects
        .into_iter()
        .filter(move |object| !any || labelled(object).as_ref() == Some(&name))
}

async fn url_in(cluster: &Cluster, spec: &PodSpec) -> anyhow::Result<Option<String>> {
    for container in &spec.containers {
        let mut variables = container.env.iter().flatten();
        if let Some(variable) = variables.find(|variable| variable.name == URL_VARIABLE) {
            if let Some(value) = variable.value.as_ref().filter(|value| !value.is_empty()) {
                return Ok(Some(value.clone()));
            }
            let source = variable.value_from.as_ref();
            if let Some(key) = source.and_then(|source| source.config_map_key_ref.as_ref()) {
                return value_of(cluster, &key.name, &key.key).await;
            }
        }
        for source in container.env_from.iter().flatten() {
            let (Some(map), prefix) = (&source.config_map_ref, source.prefix.as_deref()) else {
                continue;
            };
            let key = URL_VARIABLE.strip_prefix(prefix.unwrap_or_default());
            if let Some(key) = key
                && let Some(url) = value_of(cluster, &map.name, key).await?
            {
                return Ok(Some(url));
            }
        }
    }
    Ok(None)
}

async fn value_of(cluster: &Cluster, map: &str, key: &str) -> anyhow::Result<Option<String>> {
    let map: Option<ConfigMap> = cluster.find(map).await?;
    Ok(map.and_then(|map| map.data?.remove(key)))
}

/// Host and port of a URL; without a port it is that of the scheme.
fn address(url: &str) -> Option<Address> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, if scheme == "http" { 80 } else { 443 }),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then(|| Address {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_address_is_what_stands_before_the_path() {
        let read = |url| address(url).map(|address| (address.host, address.port));
        let found = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(
            read("https://wa-gateway-svc.zen:5000/api/ibmcloud/resource-controller"),
            found("wa-gateway-svc.zen", 5000)
        );
        assert_eq!(read("https://gateway.zen/api"), found("gateway.zen", 443));
        for url in [
            "gateway:5000",
            "https://",
            "https://a b:1",
            "https://a:99999",
            "https://u:p@h:1",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    #[test]
    fn a_store_belongs_to_whom_its_owner_or_else_its_label_names() {
        let of = |metadata: Value| {
            let deployment: Deployment =
                serde_json::from_value(json!({"metadata": metadata})).unwrap();
            is_of(&deployment, "wa")
        };
        let owner = |name: &str| json!([{"apiVersion": "assistant.watson.ibm.com/v1", "kind": STORE_KIND, "name": name, "uid": "u"}]);
        let label = |name: &str| json!({ (INSTANCE_LABEL): name });
        assert_eq!(of(json!({"ownerReferences": owner("wa")})), Some(true));
        assert_eq!(
            of(json!({"ownerReferences": owner("wo-wa"), "labels": label("wa")})),
            Some(false)
        );
        assert_eq!(of(json!({"labels": label("wa")})), Some(true));
        assert_eq!(of(json!({"labels": label("wo-wa")})), Some(false));
        assert_eq!(of(json!({})), None);
    }

    #[test]
    fn no_replicas_are_nobodys_original_count() {
        let scaled = |name: &str, replicas| Scaled {
            namespace: "cpd".to_owned(),
            name: name.to_owned(),
            replicas,
            ready: replicas,
            selector: None,
        };
        assert!(require_running(&[scaled("wa-store", 2)]).is_ok());
        let error = require_running(&[scaled("wa-store", 2), scaled("wa-store-b", 0)]);
        assert!(error.unwrap_err().to_string().starts_with("wa-store-b is"));
    }
}
