//! Who may do what: bearer tokens, impersonation, and the rules of each user: those given with the user, and those of the
//! roles that are bound to it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

pub(super) use super::rbac::Action;
pub use super::rbac::{Caller, Rule};

use super::rbac;
use crate::faults::Faults;
use crate::meta::Status;
use crate::store::Store;

const ADMINISTRATORS: &str = "system:masters";

/// A user with a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name in messages.
    pub name: String,
    /// Groups; members of `system:masters` may do everything.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Bearer token; a user without one can only be impersonated.
    #[serde(default)]
    pub token: Option<String>,
    /// What the user may do.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl User {
    /// A user who may do everything.
    pub fn administrator(name: &str, token: String) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec![ADMINISTRATORS.to_owned()],
            token: Some(token),
            rules: Vec::new(),
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// Everyone who is known, and what they may do; clones share it.
#[derive(Debug, Clone)]
pub struct Users {
    known: Arc<RwLock<Vec<User>>>,
    faults: Faults,
    store: Store,
}

impl Users {
    /// The users of a cluster.
    pub fn new(known: Vec<User>, faults: Faults, store: Store) -> Self {
        Self {
            known: Arc::new(RwLock::new(known)),
            faults,
            store,
        }
    }

    /// Lets one more user in.
    pub(crate) fn add(&self, user: User) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(user);
    }

    /// Lets nobody in by that token from now on.
    pub(crate) fn revoke(&self, token: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for user in known.iter_mut() {
            user.token.take_if(|known| known == token);
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Vec<User>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out who sends a request.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Status> {
        let caller = match header(headers, "authorization") {
            None => Caller {
                name: "system:anonymous".into(),
                groups: vec!["system:unauthenticated".into()],
            },
            Some(value) => self.by_token(value)?,
        };
        let Some(name) = header(headers, "impersonate-user") else {
            if headers.contains_key("impersonate-group") {
                return Err(Status::internal(
                    "requested impersonation of a group without impersonating a user",
                ));
            }
            return Ok(caller);
        };
        let groups: Vec<&str> = headers
            .get_all("impersonate-group")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let wanted = groups
            .iter()
            .map(|group| ("groups", *group))
            .chain([("users", name)]);
        for (resource, name) in wanted {
            self.authorize(
                &caller,
                &Action {
                    verb: "impersonate",
                    resource,
                    name,
                    ..Action::default()
                },
            )?;
        }
        let mut groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        if groups.is_empty() {
            let known = self.known();
            let user = known.iter().find(|user| user.name == name);
            groups.extend(user.into_iter().flat_map(|user| user.groups.clone()));
        }
        groups.push("system:authenticated".into());
        Ok(Caller {
            name: name.to_owned(),
            groups,
        })
    }

    fn by_token(&self, authorization: &str) -> Result<Caller, Status> {
        let token = authorization.strip_prefix("Bearer ").map(str::trim);
        let known = self.known();
        let user = known
            .iter()
            .find(|user| user.token.is_some() && user.token.as_deref() == token)
            .ok_or_else(Status::unauthorized)?;
        let groups = user
            .groups
            .iter()
            .cloned()
            .chain(["system:authenticated".to_owned()])
            .collect();
        Ok(Caller {
            name: user.name.clone(),
            groups,
        })
    }

    /// Refuses what a caller may not do.
    pub(super) fn authorize(&self, caller: &Caller, action: &Action<'_>) -> Result<(), Status> {
        if self.allows(caller, action) {
            return Ok(());
        }
        let scope = if action.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", action.namespace)
        };
        let why = format!(
            "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
            caller.name,
            action.verb,
            action.resource_path(),
            action.group
        );
        Err(Status::forbidden(
            action.group,
            action.resource,
            action.name,
            &why,
        ))
    }

    /// Refuses a path that is no resource's to callers who are not signed in, but for those open to all.
    pub(super) fn authorize_path(caller: &Caller, verb: &str, path: &str) -> Result<(), Status> {
        let open = ["/healthz", "/livez", "/readyz", "/version"]
            .iter()
            .any(|open| path.starts_with(open));
        if open
            || caller
                .groups
                .iter()
                .any(|group| group == "system:authenticated")
        {
            return Ok(());
        }
        let message = format!(
            "forbidden: User {:?} cannot {verb} path {path:?}",
            caller.name
        );
        Err(Status {
            details: Some(serde_json::json!({})),
            ..Status::plain(403, "Forbidden", message)
        })
    }

    /// Whether a caller may do something.
    pub(super) fn allows(&self, caller: &Caller, action: &Action<'_>) -> bool {
        if self.faults.forbids(
            action.verb,
            action.group,
            action.resource,
            action.subresource,
        ) {
            return false;
        }
        let about_oneself = action.verb == "create"
            && action.group == "authorization.k8s.io"
            && action.resource.starts_with("selfsubject")
            && caller
                .groups
                .iter()
                .any(|group| group == "system:authenticated");
        about_oneself
            || caller.groups.iter().any(|group| group == ADMINISTRATORS)
            || self.rules(caller).iter().any(|rule| rule.covers(action))
    }

    /// The rules that hold for a caller.
    pub(super) fn rules(&self, caller: &Caller) -> Vec<Rule> {
        let mut rules = rbac::rules(&self.store, caller);
        let known = self.known();
        let given = known.iter().filter(|user| user.name == caller.name);
        rules.extend(given.flat_map(|user| user.rules.iter().cloned()));
        rules
    }

    /// Whether a caller may do everything.
    pub(super) fn is_administrator(caller: &Caller) -> bool {
        caller.groups.iter().any(|group| group == ADMINISTRATORS)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
