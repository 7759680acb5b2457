//! The service account that every namespace has.

use std::time::Duration;

use serde_json::json;

use super::{Concerns, Controller, Key};
use crate::api::{Resource, Status, resources};
use crate::store::{Object, Store, object};

/// Gives every namespace its `default` service account, also when somebody deletes it.
#[derive(Debug)]
pub(super) struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn kind(&self) -> &'static Resource {
        &resources::NAMESPACES
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        fn namespace_of(_: &Store, account: &serde_json::Value) -> Vec<Key> {
            vec![(String::new(), object::namespace(account).to_owned())]
        }
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
