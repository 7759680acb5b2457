//! What the user must be allowed to do for a backup to be taken.

use wa_common::assistant::{Datastore, Instance};
use wa_common::cluster::Permission;
use wa_common::preflight::{Needed, to_exec, to_search_instances};

/// What taking a backup does, as narrow as a role can allow it: secrets by name, as far as the names are known, and no
/// search for an instance that was `named`.
pub fn needed_permissions(named: Option<&str>, instance: Option<&Instance>) -> Vec<Needed> {
    let mut needed = Vec::new();
    if named.is_none() {
        needed.push(to_search_instances());
    }
    needed.push(Permission::new("list", "", "pods").into());
    needed.extend(to_exec());
    if let Some(instance) = instance {
        let get = |name| Permission::new("get", "", "secrets").named(name);
        needed.push(get(instance.auth_encryption_name()).into());
        let store = Datastore::secret_names(instance);
        needed.push(Needed::any_of(store.map(get)));
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(named: Option<&str>, instance: Option<&Instance>) -> Vec<String> {
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
            shown(Some("wa"), Some(&instance)),
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
    fn an_instance_that_is_not_named_must_be_searched() {
        assert_eq!(
            shown(None, None)[0],
            "list watsonassistants.assistant.watson.ibm.com"
        );
    }
}
