//! RBAC: what is asked for, the rules that allow it, and what the Roles and ClusterRoles that are bound to a caller allow.
//!
//! Left out: the built-in roles such as `view`, aggregation, rules for paths that are no resource's, `*/subresource`, and
//! the rule that nobody may grant more than they have.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meta::request::RequestInfo;
use crate::meta::{Resource, object, resources};
use crate::store::Store;

/// Something a user may do (an RBAC PolicyRule bound in some namespaces). `*` stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Such as `get`.
    pub verbs: Vec<String>,
    /// API groups; core is the empty string.
    #[serde(default)]
    pub api_groups: Vec<String>,
    /// Such as `pods` or `pods/exec`.
    pub resources: Vec<String>,
    /// Only objects of these names; all when empty.
    #[serde(default)]
    pub resource_names: Vec<String>,
    /// Only in these namespaces; all, and the cluster, when empty.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// The one who sends a request, after impersonation; a request extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub name: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// Something to be allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Action<'a> {
    pub(super) verb: &'a str,
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Action<'a> {
    pub(super) fn from_request(info: &'a RequestInfo) -> Self {
        Self {
            verb: &info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            name: &info.name,
            namespace: &info.namespace,
        }
    }

    pub(super) fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl Rule {
    pub(super) fn covers(&self, action: &Action<'_>) -> bool {
        let any = |list: &[String], value: &str| list.iter().any(|one| one == "*" || one == value);
        any(&self.verbs, action.verb)
            && any(&self.api_groups, action.group)
            && any(&self.resources, &action.resource_path())
            && (self.resource_names.is_empty() || any(&self.resource_names, action.name))
            && self.holds_in(action.namespace)
    }

    pub(super) fn holds_in(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == namespace)
    }
}

/// Every rule that holds for the caller.
pub(super) fn rules(store: &Store, caller: &Caller) -> Vec<Rule> {
    [&resources::ROLE_BINDINGS, &resources::CLUSTER_ROLE_BINDINGS]
        .into_iter()
        .flat_map(|resource| store.list(resource, None).items)
        .filter(|binding| {
            let subjects = binding["subjects"].as_array();
            subjects
                .into_iter()
                .flatten()
                .any(|subject| is_caller(subject, caller))
        })
        .flat_map(|binding| granted(store, &binding))
        .collect()
}

fn is_caller(subject: &Value, caller: &Caller) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => caller.name == name,
        Some("Group") => caller.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            caller.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

/// The rules of the role that a binding names, where the binding lets them hold.
fn granted(store: &Store, binding: &Value) -> Vec<Rule> {
    let namespace = object::namespace(binding);
    let (role, at): (&Resource, _) = match binding["roleRef"]["kind"].as_str() {
        Some("Role") => (&resources::ROLES, namespace),
        _ => (&resources::CLUSTER_ROLES, ""),
    };
    let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
    let Ok(role) = store.get(role, at, name) else {
        return Vec::new();
    };
    let namespaces: Vec<_> = (!namespace.is_empty())
        .then(|| namespace.to_owned())
        .into_iter()
        .collect();
    let rules = role["rules"].as_array().into_iter().flatten();
    rules
        .map(|rule| Rule {
            verbs: texts(&rule["verbs"]),
            api_groups: texts(&rule["apiGroups"]),
            resources: texts(&rule["resources"]),
            resource_names: texts(&rule["resourceNames"]),
            namespaces: namespaces.clone(),
        })
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
