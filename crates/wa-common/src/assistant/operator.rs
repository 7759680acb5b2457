//! The Deployment of the Watson Assistant operator, which serves the instances of several namespaces and may be in any.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use thiserror::Error;

use crate::cluster::{Cluster, ClusterError};

/// Its name, the same since 4.0.
pub const OPERATOR: &str = "ibm-watson-assistant-operator";

/// Why it was not found.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// The API server did not say.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is nowhere.
    #[error(
        "there is no Deployment {OPERATOR} in {place}: is the Watson Assistant operator installed? Its namespace can be named with --operators-namespace"
    )]
    Absent {
        /// Where was looked.
        place: String,
    },
    /// It may be anywhere, and the user may not look there.
    #[error(
        "you may not look for the operator in all namespaces: name its namespace with --operators-namespace (often {namespace}-operators, or {namespace} itself)"
    )]
    Hidden {
        /// The operands' namespace.
        namespace: String,
    },
    /// There are several, and none is in the operands' namespace.
    #[error(
        "there are several operators, in the namespaces {}: choose the one of this instance with --operators-namespace",
        namespaces.join(", ")
    )]
    Several {
        /// Where.
        namespaces: Vec<String>,
    },
}

/// The operator's Deployment, in the namespace given or wherever it is.
pub async fn find_operator(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<Deployment, OperatorError> {
    if let Some(namespace) = namespace {
        let found: Option<Deployment> = cluster.in_namespace(namespace).find(OPERATOR).await?;
        return found.ok_or_else(|| OperatorError::Absent {
            place: format!("namespace {namespace:?}"),
        });
    }
    match cluster.find_everywhere(OPERATOR).await {
        Err(error) if error.code() == Some(403) => Err(OperatorError::Hidden {
            namespace: cluster.namespace().to_owned(),
        }),
        found => choose(found?, cluster.namespace()),
    }
}

/// The only one, else the one in the operands' namespace: one operator often serves the namespace that it is in.
fn choose(mut found: Vec<Deployment>, operands: &str) -> Result<Deployment, OperatorError> {
    let namespaces: Vec<String> = found
        .iter()
        .filter_map(kube::ResourceExt::namespace)
        .collect();
    let own = found
        .iter()
        .position(|one| one.namespace().as_deref() == Some(operands));
    match (found.len(), own) {
        (0, _) => Err(OperatorError::Absent {
            place: "any namespace".to_owned(),
        }),
        (1, _) => Ok(found.remove(0)),
        (_, Some(own)) => Ok(found.remove(own)),
        (_, None) => Err(OperatorError::Several { namespaces }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(namespaces: &[&str]) -> Result<String, String> {
        let found = namespaces.iter().map(|namespace| {
            let metadata = json!({"name": OPERATOR, "namespace": namespace});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        });
        let chosen = choose(found.collect(), "cpd");
        let namespace = chosen.map(|one| one.namespace().unwrap());
        namespace.map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_operator_is_taken_or_else_the_one_beside_the_instance() {
        assert_eq!(chosen(&["ops"]).unwrap(), "ops");
        assert_eq!(chosen(&["ops", "cpd"]).unwrap(), "cpd");
        let several = chosen(&["ops", "other-ops"]).unwrap_err();
        assert!(
            several.contains("in the namespaces ops, other-ops: choose"),
            "{several}"
        );
        let none = chosen(&[]).unwrap_err();
        assert!(none.contains("in any namespace: is the"), "{none}");
    }
}
