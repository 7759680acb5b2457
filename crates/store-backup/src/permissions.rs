//! What the user must be allowed to do for a backup to be taken.

use wa_common::assistant::{Datastore, Instance};
use wa_common::cluster::Permission;
use wa_common::preflight::{
    Access, CommandAccess, Needed, Place, to_exec, to_find_instance, to_find_primary,
    to_search_instances, verbs,
};

/// Each command of `kubectl wa-backup` that reads the database, with what it may need.
pub const COMMANDS: [CommandAccess; 3] = [
    CommandAccess::new("create", to_back_up),
    CommandAccess::new("check", to_back_up),
    CommandAccess::new("diff", |instance| {
        let all = to_back_up(instance).into_iter();
        all.map(|access| access.when("with the live database"))
            .collect()
    }),
];

/// All that taking a backup of an instance of that name may need.
pub fn to_back_up(instance: &str) -> Vec<Access> {
    let always = [to_search_instances(), to_find_postgres(), to_run_pg_dump()];
    let secrets = to_read_secrets(&named(instance));
    vec![
        Access::always(Place::Instance, [always.concat(), secrets].concat()),
        to_know_the_primary(),
    ]
}

/// To be told by PostgreSQL's operator which pod is the primary.
pub fn to_know_the_primary() -> Access {
    Access::always(Place::Instance, to_find_primary()).or("the labels of the pods tell")
}

/// To find a pod of PostgreSQL.
pub fn to_find_postgres() -> Vec<Needed> {
    verbs(
        &["list"],
        "",
        "pods",
        "finds a pod of PostgreSQL that is ready",
    )
}

fn to_run_pg_dump() -> Vec<Needed> {
    to_exec("runs pg_dump in it")
}

/// To read what a backup is made with: secrets of which the names are known.
pub fn to_read_secrets(instance: &Instance) -> Vec<Needed> {
    let get = |name| Permission::new("get", "", "secrets").named(name);
    vec![
        Needed::any_of(
            [get(instance.auth_encryption_name())],
            "reads the key that restored data is read with",
        ),
        Needed::any_of(
            Datastore::secret_names(instance).map(get),
            "reads where the database is, and its password",
        ),
    ]
}

/// An instance of which only the name is known.
pub fn named(instance: &str) -> Instance {
    Instance {
        name: instance.to_owned(),
        namespace: String::new(),
        release: None,
    }
}

/// What taking a backup does, as narrow as a role can allow it: secrets by name, as far as the names are known, and no
/// search for an instance that was `named`.
pub fn needed_permissions(named: Option<&str>, instance: Option<&Instance>) -> Vec<Needed> {
    let mut needed = to_find_instance(named.is_some());
    needed.extend(to_find_postgres());
    needed.extend(to_run_pg_dump());
    needed.extend(instance.map(to_read_secrets).unwrap_or_default());
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
