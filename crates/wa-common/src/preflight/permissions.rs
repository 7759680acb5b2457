//! What the user must be allowed to do, as data, and whether that is so.

use std::fmt;

use anyhow::bail;
use futures::future::try_join_all;

use crate::cluster::{Cluster, ClusterError, Permission};
use crate::report::count;

/// One permission, or several of which one suffices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed(Vec<Permission>);

impl Needed {
    /// One of these suffices.
    pub fn any_of(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self(permissions.into_iter().collect())
    }

    async fn is_held(&self, cluster: &Cluster) -> Result<bool, ClusterError> {
        for permission in &self.0 {
            if cluster.may(permission).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl From<Permission> for Needed {
    fn from(permission: Permission) -> Self {
        Self(vec![permission])
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permissions: Vec<String> = self.0.iter().map(Permission::to_string).collect();
        f.write_str(&permissions.join(" or "))
    }
}

/// To run commands in pods. An exec over WebSocket is a GET request: API servers ask for `get` on `pods/exec`, and since
/// Kubernetes 1.35 for `create` as well.
pub fn to_exec() -> [Needed; 2] {
    ["get", "create"].map(|verb| {
        Permission::new(verb, "", "pods")
            .on_subresource("exec")
            .into()
    })
}

/// To find an instance that was not named.
pub fn to_search_instances() -> Needed {
    Permission::new("list", "assistant.watson.ibm.com", "watsonassistants").into()
}

/// What of `needed` the user may not do, in one sentence; `None` where everything is allowed.
pub async fn missing_permissions(
    cluster: &Cluster,
    needed: &[Needed],
) -> Result<Option<String>, ClusterError> {
    let held = try_join_all(needed.iter().map(|needed| needed.is_held(cluster))).await?;
    let missing: Vec<String> = needed
        .iter()
        .zip(held)
        .filter(|(_, held)| !held)
        .map(|(needed, _)| needed.to_string())
        .collect();
    Ok((!missing.is_empty()).then(|| {
        format!(
            "you may not {} in namespace {:?}",
            missing.join(", "),
            cluster.namespace()
        )
    }))
}

/// An error with all that the user may not do, and whom to ask.
pub async fn require_permissions(cluster: &Cluster, needed: &[Needed]) -> anyhow::Result<()> {
    if let Some(missing) = missing_permissions(cluster, needed).await? {
        bail!("{missing}; ask a cluster administrator for a role that allows it");
    }
    Ok(())
}

/// All of them, for a person.
pub fn in_words(needed: &[Needed]) -> String {
    let words: Vec<String> = needed.iter().map(Needed::to_string).collect();
    words.join(", ")
}

/// How many they are, for a person who wants to know no more.
pub fn in_short(needed: &[Needed]) -> String {
    count(needed.len() as u64, "permission")
}
