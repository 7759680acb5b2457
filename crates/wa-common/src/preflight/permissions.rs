//! What the user must be allowed to do, as data, and whether that is so.

use std::fmt;

use anyhow::bail;
use futures::future::try_join_all;

use crate::cluster::{Cluster, ClusterError, Permission};
use crate::report::count;

/// One permission, or several of which one suffices, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    any_of: Vec<Permission>,
    why: &'static str,
}

impl Needed {
    /// One of these suffices; `why` says what a command does with it, such as `reads where the database is`.
    pub fn any_of(permissions: impl IntoIterator<Item = Permission>, why: &'static str) -> Self {
        Self {
            any_of: permissions.into_iter().collect(),
            why,
        }
    }

    fn named(self, name: &str) -> Self {
        let named = self.any_of.into_iter().map(|one| one.named(name));
        Self::any_of(named, self.why)
    }

    /// The permissions of which one suffices.
    pub fn permissions(&self) -> &[Permission] {
        &self.any_of
    }

    /// What a command does with it.
    pub fn why(&self) -> &'static str {
        self.why
    }

    async fn is_held(&self, cluster: &Cluster) -> Result<bool, ClusterError> {
        for permission in &self.any_of {
            if cluster.may(permission).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permissions: Vec<String> = self.any_of.iter().map(Permission::to_string).collect();
        f.write_str(&permissions.join(" or "))
    }
}

/// All of these verbs on a resource, which is written as in a role: `pods/exec`.
pub fn verbs(
    verbs: &[&'static str],
    group: &'static str,
    resource: &'static str,
    why: &'static str,
) -> Vec<Needed> {
    let permission = |verb| match resource.split_once('/') {
        Some((resource, subresource)) => {
            Permission::new(verb, group, resource).on_subresource(subresource)
        }
        None => Permission::new(verb, group, resource),
    };
    let needed = |verb: &&'static str| Needed::any_of([permission(*verb)], why);
    verbs.iter().map(needed).collect()
}

/// The same on one object alone, whose name is known.
pub fn on_object(name: &str, needed: Vec<Needed>) -> Vec<Needed> {
    needed.into_iter().map(|one| one.named(name)).collect()
}

/// To run commands in pods. An exec over WebSocket is a GET request: API servers ask for `get` on `pods/exec`, and since
/// Kubernetes 1.35 for `create` as well.
pub fn to_exec(why: &'static str) -> Vec<Needed> {
    verbs(&["get", "create"], "", "pods/exec", why)
}

/// To find an instance that was not named.
pub fn to_search_instances() -> Vec<Needed> {
    verbs(
        &["list"],
        "assistant.watson.ibm.com",
        "watsonassistants",
        "finds the instance",
    )
}

/// To find an instance, which is searched for unless it was named.
pub fn to_find_instance(is_named: bool) -> Vec<Needed> {
    if is_named {
        Vec::new()
    } else {
        to_search_instances()
    }
}

/// To find the operator without its namespace.
pub fn to_search_operator() -> Vec<Needed> {
    verbs(&["list"], "apps", "deployments", "finds the operator")
}

/// To be told by PostgreSQL's operator which pod is the primary.
pub fn to_find_primary() -> Vec<Needed> {
    let group = "postgresql.k8s.enterprisedb.io";
    verbs(
        &["get"],
        group,
        "clusters",
        "tells which pod is the primary",
    )
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
