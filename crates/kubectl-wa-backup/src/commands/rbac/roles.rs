//! Roles made of what commands need.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wa_common::preflight::{Access, Place};

/// Verbs in the order in which people read them.
const VERBS: [&str; 6] = ["get", "list", "create", "update", "patch", "delete"];

/// A Role, or a ClusterRole where it is in no namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    /// Its name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: Option<String>,
    /// What it allows.
    pub(super) rules: Vec<Rule>,
}

/// What is allowed on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The API group.
    pub(super) group: &'static str,
    /// The resource, such as `pods/exec`.
    pub(super) resource: String,
    /// The only objects that it is about; all where empty.
    pub(super) names: Vec<String>,
    /// What may be done.
    pub(super) verbs: Vec<&'static str>,
    /// What for.
    pub(super) reasons: Vec<Reason>,
}

/// What some verbs are for, and who needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// The verbs.
    pub(super) verbs: Vec<&'static str>,
    /// What a command does with them.
    pub(super) why: &'static str,
    /// Commands, and when each needs it.
    pub(super) commands: Vec<(&'static str, &'static str)>,
    /// What becomes of a command that goes on without it.
    pub(super) without: Option<&'static str>,
}

/// Where each place is; the operator's and Portworx's where something is needed there.
pub(super) struct Namespaces {
    /// Of the instance.
    pub(super) instance: String,
    /// Of the operator.
    pub(super) operator: Option<String>,
    /// Of the pods of Portworx.
    pub(super) portworx: Option<String>,
    /// Of the cluster's object storage.
    pub(super) object_storage: Option<String>,
}

impl Namespaces {
    /// The namespace of a place; `None` for all of them.
    fn of(&self, place: Place) -> Option<&str> {
        match place {
            Place::Instance => Some(&self.instance),
            Place::Operator => self.operator.as_deref(),
            Place::Portworx => self.portworx.as_deref(),
            Place::ObjectStorage => self.object_storage.as_deref(),
            Place::Everywhere => None,
        }
    }
}

/// Who roles are bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subject {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_group: Option<&'static str>,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
}

const RBAC: &str = "rbac.authorization.k8s.io";

impl Subject {
    pub(super) fn user(name: &str) -> Self {
        Self {
            kind: "User",
            api_group: Some(RBAC),
            name: name.to_owned(),
            namespace: None,
        }
    }

    pub(super) fn group(name: &str) -> Self {
        Self {
            kind: "Group",
            ..Self::user(name)
        }
    }

    pub(super) fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            kind: "ServiceAccount",
            api_group: None,
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
        }
    }
}

/// A verb on a resource, on objects of these names.
type Key = (&'static str, String, Vec<String>);

/// The roles for commands, one for each place where they need something. `name` is what they are called.
pub(super) fn roles_of(
    name: &str,
    instance: &str,
    namespaces: &Namespaces,
    commands: &[(&'static str, Vec<Access>)],
) -> Vec<Role> {
    let mut places: BTreeMap<Place, BTreeMap<Key, Vec<Use>>> = BTreeMap::new();
    for (command, access) in commands {
        for access in access {
            let rules = places.entry(access.place).or_default();
            for (key, used) in uses(command, access) {
                rules.entry(key).or_default().push(used);
            }
        }
    }
    let role = |(place, rules)| {
        // Several instances may share these places.
        let name = match place {
            Place::Instance => format!("{name}-{instance}"),
            _ => format!("{name}-{}-{instance}", namespaces.instance),
        };
        Role {
            name,
            namespace: namespaces.of(place).map(str::to_owned),
            rules: merged(rules),
        }
    };
    places.into_iter().map(role).collect()
}

/// One verb, and what for.
#[derive(Clone)]
struct Use {
    verb: &'static str,
    why: &'static str,
    command: &'static str,
    when: &'static str,
    without: Option<&'static str>,
}

fn uses(command: &'static str, access: &Access) -> Vec<(Key, Use)> {
    let mut all = Vec::new();
    for needed in &access.needed {
        // Which of several names a release uses is not known here: a rule allows them all.
        let mut keys: BTreeMap<(&str, String, &str), Vec<String>> = BTreeMap::new();
        for one in needed.permissions() {
            let resource = match one.subresource {
                Some(subresource) => format!("{}/{subresource}", one.resource),
                None => one.resource.to_owned(),
            };
            let names = keys.entry((one.group, resource, one.verb)).or_default();
            names.extend(one.name.clone());
        }
        for ((group, resource, verb), names) in keys {
            let used = Use {
                verb,
                why: needed.why(),
                command,
                when: access.when,
                without: access.without,
            };
            all.push(((group, resource, names), used));
        }
    }
    all
}

/// Rules without what another one allows anyway.
fn merged(mut rules: BTreeMap<Key, Vec<Use>>) -> Vec<Rule> {
    let whole = |(group, resource, _): &Key| (*group, resource.clone(), Vec::new());
    let named: Vec<Key> = rules
        .keys()
        .filter(|key| !key.2.is_empty())
        .cloned()
        .collect();
    for key in named {
        let Some(general) = rules.get(&whole(&key)) else {
            continue;
        };
        let allowed: BTreeSet<&str> = general.iter().map(|used| used.verb).collect();
        let own = rules.remove(&key).unwrap_or_default();
        let (moved, kept): (Vec<Use>, Vec<Use>) = own
            .into_iter()
            .partition(|used| allowed.contains(used.verb));
        rules.entry(whole(&key)).or_default().extend(moved);
        if !kept.is_empty() {
            rules.insert(key, kept);
        }
    }
    rules.into_iter().map(rule).collect()
}

fn rule(((group, resource, names), uses): (Key, Vec<Use>)) -> Rule {
    let mut reasons: Vec<Reason> = Vec::new();
    for used in &uses {
        let same = |one: &&mut Reason| one.why == used.why && one.without == used.without;
        let by = (used.command, used.when);
        match reasons.iter_mut().find(same) {
            Some(reason) => {
                reason.verbs = in_order(reason.verbs.iter().copied().chain([used.verb]));
                if !reason.commands.contains(&by) {
                    reason.commands.push(by);
                }
            }
            None => reasons.push(Reason {
                verbs: vec![used.verb],
                why: used.why,
                commands: vec![by],
                without: used.without,
            }),
        }
    }
    Rule {
        group,
        resource,
        names,
        verbs: in_order(uses.iter().map(|used| used.verb)),
        reasons,
    }
}

fn in_order(verbs: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let place = |verb: &str| {
        VERBS
            .iter()
            .position(|one| *one == verb)
            .unwrap_or(VERBS.len())
    };
    let verbs: BTreeSet<(usize, &'static str)> = verbs.map(|verb| (place(verb), verb)).collect();
    verbs.into_iter().map(|(_, verb)| verb).collect()
}
