//! RBAC: what the Roles and ClusterRoles that are bound to a caller allow.
//!
//! Left out: the built-in roles such as `view`, aggregation, rules for paths that are no resource's, `*/subresource`, and
//! the rule that nobody may grant more than they have.

use serde_json::Value;

use super::users::{Caller, Rule};
use crate::meta::{Resource, object, resources};
use crate::store::Store;

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
