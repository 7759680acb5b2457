//! The authorities of the cluster's certificates, where OpenShift publishes them: in every namespace.

use std::time::Duration;

use kube_sandbox::controllers::{Concerns, Controller};
use kube_sandbox::meta::{Object, Resource, Status, object, resources};
use kube_sandbox::store::Store;
use serde_json::json;

const SERVICE_CA: &str = "openshift-service-ca.crt";
const ROOT_CA: &str = "kube-root-ca.crt";

/// Publishes the service CA in a ConfigMap of its own, and that of Routes beside the API server's.
pub(crate) struct Certificates {
    pub(super) service_ca: String,
    pub(super) ingress_ca: String,
}

impl Controller for Certificates {
    fn kind(&self) -> &'static Resource {
        &resources::NAMESPACES
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::CONFIG_MAPS, |_, map| {
            vec![(String::new(), object::namespace(map).to_owned())]
        })];
        WATCHED
    }

    fn reconcile(&self, store: &Store, namespace: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(namespace) {
            return Ok(None);
        }
        let namespace = object::name(namespace);
        let map = |name: &str| store.get(&resources::CONFIG_MAPS, namespace, name);
        if map(SERVICE_CA).is_err() {
            let published = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {
                    "name": SERVICE_CA, "namespace": namespace,
                    "annotations": { "service.beta.openshift.io/inject-cabundle": "true" },
                },
                "data": { "service-ca.crt": self.service_ca },
            });
            store.create(&resources::CONFIG_MAPS, published)?;
        }
        let Ok(root) = map(ROOT_CA) else {
            return Ok(None);
        };
        let certificates = root["data"]["ca.crt"].as_str().unwrap_or_default();
        if !certificates.contains(&self.ingress_ca) {
            let both = format!("{}\n{}", certificates.trim_end(), self.ingress_ca);
            store.modify(&resources::CONFIG_MAPS, namespace, ROOT_CA, |map| {
                map["data"]["ca.crt"] = both.into();
            })?;
        }
        Ok(None)
    }
}
