//! What can be wrong with an installation, as far as a backup needs it.

use thiserror::Error;

use crate::cluster::ClusterError;

/// Why the installation cannot be used.
#[derive(Debug, Error)]
pub enum AssistantError {
    /// The API server did not say.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The namespace does not exist.
    #[error(
        "namespace {namespace:?} not found; name the namespace of the Watson Assistant operands with -n"
    )]
    NoNamespace {
        /// The namespace asked for.
        namespace: String,
    },
    /// There is no Watson Assistant here.
    #[error("no WatsonAssistant in namespace {namespace:?}; {}", elsewhere(found.as_deref()))]
    NoInstance {
        /// The namespace searched.
        namespace: String,
        /// Where there are some, as `namespace/name`; `None` where the user may not know.
        found: Option<Vec<String>>,
    },
    /// The named instance does not exist.
    #[error(
        "WatsonAssistant {instance:?} not found in namespace {namespace:?}; there {}",
        there(available)
    )]
    NoSuchInstance {
        /// The instance asked for.
        instance: String,
        /// The namespace searched.
        namespace: String,
        /// The instances there are.
        available: Vec<String>,
    },
    /// The name cannot be that of an instance, nor a part of the names of its objects.
    #[error(
        "{instance:?} cannot be the name of a WatsonAssistant: use lower-case letters, digits and hyphens"
    )]
    InvalidInstance {
        /// The name, as given or as the cluster has it.
        instance: String,
    },
    /// There are several, and none was named.
    #[error("namespace {namespace:?} has several WatsonAssistants: {}; choose one with -i", available.join(", "))]
    SeveralInstances {
        /// The namespace searched.
        namespace: String,
        /// The instances there are.
        available: Vec<String>,
    },
    /// None of the claims of the backup volume exists.
    #[error("no backup volume for instance {instance:?} in namespace {namespace:?}: looked for the claims {}", tried.join(" and "))]
    NoBackupClaim {
        /// The instance.
        instance: String,
        /// The namespace searched.
        namespace: String,
        /// The claims looked for.
        tried: Vec<String>,
    },
    /// None of the store secrets exists.
    #[error("no store secret for instance {instance:?} in namespace {namespace:?}: looked for {}; is the installation complete?", tried.join(" and "))]
    NoStoreSecret {
        /// The instance.
        instance: String,
        /// The namespace searched.
        namespace: String,
        /// The names looked for.
        tried: Vec<String>,
    },
    /// A secret exists and is not what it should be. Never quotes its content.
    #[error(
        "secret {secret:?} in namespace {namespace:?} is malformed: {what}; compare it with `kubectl get secret {secret} -n {namespace} -o yaml` of a working installation"
    )]
    MalformedSecret {
        /// The secret.
        secret: String,
        /// Its namespace.
        namespace: String,
        /// What is missing or wrong, without any value.
        what: String,
    },
    /// No PostgreSQL pod exists, or none is Ready.
    #[error(
        "no PostgreSQL pod of instance {instance:?} is Ready in namespace {namespace:?}: {found}; see `kubectl get pods -n {namespace}` and wait for, or repair, the database"
    )]
    NoPostgresPod {
        /// The instance.
        instance: String,
        /// The namespace searched.
        namespace: String,
        /// What was found instead.
        found: String,
    },
}

fn elsewhere(found: Option<&[String]>) -> String {
    match found {
        None => "name the namespace of the operands with -n".to_owned(),
        Some([]) => "nor in any other namespace; is this the right cluster?".to_owned(),
        Some(names) => format!("there is {}; choose with -n", names.join(", ")),
    }
}

fn there(available: &[String]) -> String {
    match available {
        [] => "is none".to_owned(),
        [one] => format!("is {one}"),
        names => format!("are {}", names.join(", ")),
    }
}
