//! What a kubeconfig has names for.

use std::path::Path;

use super::{Files, KubeconfigError, read};

/// The names of what the kubeconfig files hold, in their order in the alphabet; none where there are no files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeconfigNames {
    /// What `--context` takes.
    pub contexts: Vec<ContextName>,
    /// What `--cluster` takes.
    pub clusters: Vec<String>,
    /// What `--user` takes.
    pub users: Vec<String>,
}

/// A context, with what it stands for. An empty text is one that is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextName {
    /// Its name.
    pub name: String,
    /// The name of its cluster.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
}

impl KubeconfigNames {
    /// Of the file that `--kubeconfig` names, else of the usual ones.
    pub fn read(kubeconfig: Option<&Path>) -> Result<Self, KubeconfigError> {
        let kubeconfig = read(&Files::from_flag(kubeconfig))?.unwrap_or_default();
        let contexts = kubeconfig.contexts.into_iter();
        Ok(Self {
            contexts: contexts
                .map(|(name, context)| ContextName {
                    name,
                    cluster: context.cluster,
                    namespace: context.namespace,
                })
                .collect(),
            clusters: kubeconfig.clusters.into_keys().collect(),
            users: kubeconfig.users.into_keys().collect(),
        })
    }
}
