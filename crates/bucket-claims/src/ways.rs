//! The ways to an endpoint, tried in order.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use object_sets::{Options, Through, answers};
use wa_common::cluster::Cluster;
use wa_common::preflight::missing_permissions;
use wa_common::report::causes_text;

use crate::access::to_forward;
use crate::claim::{Claim, optional};
use crate::endpoint::ServiceName;
use crate::forward::{Backend, Listener};
use crate::runtime::OwnRuntime;

/// How long an endpoint may take to answer at all.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Through the API server and a pod.
const FORWARDED_ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// The ConfigMap with the certificates that pods trust the API server by; on OpenShift also those of Routes.
const ROOT_CA: &str = "kube-root-ca.crt";

/// How a bucket is to be reached, beside what its claim says.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The only way to be tried.
    pub way: Option<Way>,
    /// Certificates to be trusted beside the system's and the cluster's, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether an endpoint may be http:// where everybody on the way can read what is sent.
    pub allow_http: bool,
}

/// A way to object storage of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// By its own name, as inside of the cluster
    Direct,
    /// By the name of its OpenShift Route
    Route,
    /// By the API server, to a pod of it
    PortForward,
}

impl Way {
    const ALL: [Self; 3] = [Self::Direct, Self::Route, Self::PortForward];

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Route => "route",
            Self::PortForward => "port-forward",
        }
    }
}

/// An endpoint that answers.
pub(crate) struct Reached {
    pub(crate) url: String,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) through: Option<Through>,
    /// Where that is, for a person.
    pub(crate) shown: String,
}

/// The first way on which the endpoint answers.
pub(crate) async fn choose(
    cluster: &Cluster,
    claim: &Claim,
    asked: &Asked,
    runtime: Arc<OwnRuntime>,
) -> anyhow::Result<Reached> {
    let ways = Way::ALL.into_iter();
    let ways = ways.filter(|way| asked.way.is_none_or(|asked| asked == *way));
    let mut declined = Vec::new();
    for way in ways {
        let tried = match way {
            Way::Direct => direct(claim, asked).await,
            Way::Route => by_route(cluster, claim, asked).await,
            Way::PortForward => by_forward(cluster, claim, asked, &runtime).await,
        };
        match tried {
            Ok(reached) => return Ok(reached),
            Err(why) => {
                tracing::debug!(way = way.name(), why, "no way to the bucket");
                declined.push(format!("{}: {why}", way.name()));
            }
        }
    }
    bail!(
        "the object storage of the ObjectBucketClaim {}, {}, cannot be reached:\n  {}",
        claim.name,
        claim.endpoint.url(),
        declined.join("\n  ")
    )
}

/// `Ok` where the endpoint answers, or else why it is not taken.
type Tried = Result<Reached, String>;

async fn direct(claim: &Claim, asked: &Asked) -> Tried {
    let url = claim.endpoint.url();
    if !claim.endpoint.is_tls && !asked.allow_http {
        return Err(format!(
            "{url} is not encrypted, so that everybody on the way can read the backup (AWS_ALLOW_HTTP=true takes it)"
        ));
    }
    let ca_pem = certificates([claim.service_ca.as_deref()], asked);
    require_answer(&url, ca_pem.as_ref(), None).await?;
    Ok(Reached {
        shown: format!("directly at {url}"),
        url,
        ca_pem,
        through: None,
    })
}

async fn by_route(cluster: &Cluster, claim: &Claim, asked: &Asked) -> Tried {
    let service = service_of(claim)?;
    let kind = GroupVersionKind::gvk("route.openshift.io", "v1", "Route");
    let kind = ApiResource::from_gvk_with_plural(&kind, "routes");
    let there = cluster.in_namespace(&service.namespace);
    let routes = match there.list_custom(&kind, false).await {
        Ok(routes) => routes,
        Err(error) if error.code() == Some(404) => {
            return Err("this cluster has no Routes".to_owned());
        }
        Err(error) if error.code() == Some(403) => {
            return Err(format!(
                "you may not list routes.route.openshift.io in namespace {:?}",
                service.namespace
            ));
        }
        Err(error) => return Err(causes_text(&error)),
    };
    let mut leading = routes.iter().filter(|route| leads_to(route, &service));
    let Some(host) = leading.find_map(admitted_host) else {
        return Err(format!(
            "no Route with TLS leads to Service {}/{}",
            service.namespace, service.name
        ));
    };
    let root = optional(cluster.find::<ConfigMap>(ROOT_CA).await);
    let root = root.map_err(|error| causes_text(&error))?;
    let root = root.and_then(|map| map.data?.remove("ca.crt"));
    let ca_pem = certificates([claim.service_ca.as_deref(), root.as_deref()], asked);
    let url = format!("https://{host}");
    require_answer(&url, ca_pem.as_ref(), None)
        .await
        .map_err(|why| format!("{url}: {why}"))?;
    Ok(Reached {
        shown: format!("by the Route {url}"),
        url,
        ca_pem,
        through: None,
    })
}

async fn by_forward(
    cluster: &Cluster,
    claim: &Claim,
    asked: &Asked,
    runtime: &Arc<OwnRuntime>,
) -> Tried {
    let service = service_of(claim)?;
    let there = cluster.in_namespace(&service.namespace);
    let missing = missing_permissions(&there, &to_forward()).await;
    if let Some(missing) = missing.map_err(|error| causes_text(&error))? {
        return Err(missing);
    }
    let backend = backend(&there, &service, claim.endpoint.port).await?;
    let pod = backend
        .pod()
        .await
        .map_err(|error| causes_text(error.as_ref()))?;
    let listener = Listener::open(backend).await;
    let listener = listener.map_err(|error| causes_text(&error))?;
    let (address, failure) = (listener.address(), listener.failure());
    let keeper: Arc<dyn Any + Send + Sync> = Arc::new((listener, Arc::clone(runtime)));
    let through = Through {
        host: claim.endpoint.host.clone(),
        address,
        keeper,
    };
    let ca_pem = certificates([claim.service_ca.as_deref()], asked);
    // What is not encrypted there is so on the way to the node, which is the API server's.
    let url = claim.endpoint.url_without_port();
    require_answer(&url, ca_pem.as_ref(), Some(&through))
        .await
        .map_err(|why| failure.take().unwrap_or(why))?;
    Ok(Reached {
        shown: format!(
            "at {} through the API server and pod {}/{} (port-forward)",
            claim.endpoint.url(),
            pod.namespace,
            pod.pod
        ),
        url,
        ca_pem,
        through: Some(through),
    })
}

fn service_of(claim: &Claim) -> Result<ServiceName, String> {
    let service = claim.endpoint.service();
    service.ok_or_else(|| format!("{} is no Service of the cluster", claim.endpoint.host))
}

/// What stands behind a port of a Service.
async fn backend(there: &Cluster, name: &ServiceName, port: u16) -> Result<Backend, String> {
    let shown = format!("Service {}/{}", name.namespace, name.name);
    let service = there.find::<Service>(&name.name).await;
    let service = service.map_err(|error| causes_text(&error))?;
    let spec = service.and_then(|service| service.spec);
    let spec = spec.ok_or_else(|| format!("there is no {shown}"))?;
    let selector = spec.selector.filter(|selector| !selector.is_empty());
    let selector = selector.ok_or_else(|| format!("{shown} leads to no pods"))?;
    let ports = spec.ports.unwrap_or_default();
    let chosen = ports.into_iter().find(|one| one.port == i32::from(port));
    let chosen = chosen.ok_or_else(|| format!("{shown} has no port {port}"))?;
    let labels = selector
        .iter()
        .map(|(label, value)| format!("{label}={value}"));
    Ok(Backend {
        labels: labels.collect::<Vec<_>>().join(","),
        port: chosen.target_port.unwrap_or(IntOrString::Int(chosen.port)),
        service: shown,
        cluster: there.clone(),
    })
}

fn leads_to(route: &DynamicObject, service: &ServiceName) -> bool {
    let spec = &route.data["spec"];
    spec["to"]["name"] == service.name
        && spec["to"]["kind"]
            .as_str()
            .is_none_or(|kind| kind == "Service")
        && spec["path"].as_str().unwrap_or_default().is_empty()
        && spec["tls"].is_object()
}

/// The host by which a router takes it; in what stands in a URL as it is.
fn admitted_host(route: &DynamicObject) -> Option<String> {
    let ingress = route.data["status"]["ingress"].as_array()?;
    let admitted = ingress.iter().find(|one| {
        let conditions = one["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|one| one["type"] == "Admitted" && one["status"] == "True")
    });
    let host = admitted?["host"].as_str()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    (!host.is_empty() && host.bytes().all(allowed)).then(|| host.to_owned())
}

/// All that are given, one after the other.
fn certificates<const N: usize>(of_cluster: [Option<&str>; N], asked: &Asked) -> Option<Vec<u8>> {
    let of_cluster = of_cluster.into_iter().flatten().map(str::as_bytes);
    let all: Vec<&[u8]> = of_cluster.chain(asked.ca_pem.as_deref()).collect();
    (!all.is_empty()).then(|| all.join(&b'\n'))
}

async fn require_answer(
    url: &str,
    ca_pem: Option<&Vec<u8>>,
    through: Option<&Through>,
) -> Result<(), String> {
    let options = Options {
        ca_pem: ca_pem.cloned(),
        allow_http: url.starts_with("http://"),
        environment: false,
        through: through.cloned(),
        ..Options::default()
    };
    let within = if through.is_some() {
        FORWARDED_ANSWERS_WITHIN
    } else {
        ANSWERS_WITHIN
    };
    let answered = answers(url, &options, within).await;
    answered.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn route(spec: &Value, status: &Value) -> DynamicObject {
        let object = json!({"metadata": {"name": "s3"}, "spec": spec, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_route_counts_that_leads_to_all_of_the_service_with_tls() {
        let service = ServiceName {
            name: "s3".to_owned(),
            namespace: "openshift-storage".to_owned(),
        };
        let tls = json!({"termination": "reencrypt"});
        let leads = |spec: Value| leads_to(&route(&spec, &Value::Null), &service);
        assert!(leads(
            json!({"to": {"kind": "Service", "name": "s3"}, "tls": tls})
        ));
        assert!(leads(json!({"to": {"name": "s3"}, "tls": tls, "path": ""})));
        for other in [
            json!({"to": {"name": "s3-other"}, "tls": tls}),
            json!({"to": {"kind": "Other", "name": "s3"}, "tls": tls}),
            json!({"to": {"name": "s3"}, "tls": tls, "path": "/ui"}),
            json!({"to": {"name": "s3"}}),
        ] {
            assert!(!leads(other.clone()), "{other}");
        }
    }

    #[test]
    fn the_host_of_a_route_is_one_that_a_router_has_taken_and_a_plain_name() {
        let ingress = |host: &str, kind: &str, status: &str| json!({"host": host, "conditions": [{"type": kind, "status": status}]});
        let host = |all: &[Value]| admitted_host(&route(&json!({}), &json!({"ingress": all})));
        let taken = ingress("s3.apps.example", "Admitted", "True");
        let refused = ingress("old.apps.example", "Admitted", "False");
        assert_eq!(
            host(&[refused.clone(), taken]).as_deref(),
            Some("s3.apps.example")
        );
        for one in [
            refused,
            ingress("s3.apps.example", "Other", "True"),
            ingress("key:secret@elsewhere.example", "Admitted", "True"),
            ingress("elsewhere.example/path", "Admitted", "True"),
            ingress("", "Admitted", "True"),
        ] {
            assert_eq!(host(std::slice::from_ref(&one)), None, "{one}");
        }
        assert_eq!(host(&[]), None);
    }
}
