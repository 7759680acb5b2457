//! What every namespace has: a service account, and the certificate by which pods trust the API server.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Concerns, Controller, Key};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

/// Gives every namespace its `default` service account, also when somebody deletes it.
#[derive(Debug)]
pub(super) struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn kind(&self) -> &'static Resource {
        &resources::NAMESPACES
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::SERVICE_ACCOUNTS, namespace_of)];
        WATCHED
    }

    fn reconcile(&self, store: &Store, namespace: &Object) -> Result<Option<Duration>, Status> {
        let name = object::name(namespace);
        if store
            .get(&resources::SERVICE_ACCOUNTS, name, "default")
            .is_err()
            && !object::is_terminating(namespace)
        {
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": "default", "namespace": name },
            });
            store.create(&resources::SERVICE_ACCOUNTS, account)?;
        }
        Ok(None)
    }
}

/// Gives every namespace the ConfigMap that the volume with a pod's token takes `ca.crt` from.
#[derive(Debug)]
pub(super) struct RootCertificates {
    pub(super) certificate_pem: String,
}

impl Controller for RootCertificates {
    fn kind(&self) -> &'static Resource {
        &resources::NAMESPACES
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::CONFIG_MAPS, namespace_of)];
        WATCHED
    }

    fn reconcile(&self, store: &Store, namespace: &Object) -> Result<Option<Duration>, Status> {
        const NAME: &str = "kube-root-ca.crt";
        let namespace_name = object::name(namespace);
        let is_there = store
            .get(&resources::CONFIG_MAPS, namespace_name, NAME)
            .is_ok();
        if !is_there && !object::is_terminating(namespace) {
            let certificate = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": NAME, "namespace": namespace_name },
                "data": { "ca.crt": self.certificate_pem },
            });
            store.create(&resources::CONFIG_MAPS, certificate)?;
        }
        Ok(None)
    }
}

fn namespace_of(_: &Store, object: &Value) -> Vec<Key> {
    vec![(String::new(), object::namespace(object).to_owned())]
}
