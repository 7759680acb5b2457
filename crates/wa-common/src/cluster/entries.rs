//! What the kubeconfig and the flags together say of a cluster and a user.

use super::ClusterError;
use super::kubeconfig::{Cluster, Context, User};

/// Cluster and user with the flags laid over them.
pub(super) struct Entries {
    pub(super) cluster: Cluster,
    pub(super) user: User,
    /// Whether the kubeconfig has the user that the context names.
    pub(super) has_user: bool,
    pub(super) context: Context,
    pub(super) context_name: Option<String>,
}

impl Entries {
    /// How messages name the cluster.
    fn of_cluster(&self) -> String {
        match self.context.cluster.as_str() {
            "" => "the flags".to_owned(),
            name => format!("cluster {name:?}"),
        }
    }

    /// How messages name the user.
    pub(super) fn of_user(&self) -> String {
        match self.context.user.as_str() {
            "" => "the flags".to_owned(),
            name => format!("user {name:?}"),
        }
    }

    pub(super) fn user_problem(&self, what: impl std::fmt::Display) -> ClusterError {
        ClusterError::Entry(format!("{}: {what}", self.of_user()))
    }

    pub(super) fn cluster_problem(&self, what: impl std::fmt::Display) -> ClusterError {
        ClusterError::Entry(format!("{}: {what}", self.of_cluster()))
    }
}
