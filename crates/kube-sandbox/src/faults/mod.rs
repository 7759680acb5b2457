//! Things that go wrong on purpose: which requests, how often, and in which way.
//!
//! The API server applies the effects that concern a whole request; those that concern the bytes of a stream, or an object
//! that is created, travel with the request as [`RequestFaults`] and are applied by `streams` and `objects`.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::meta::request::RequestInfo;

/// A fault to inject: what it hits, how often, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The requests it hits; every field left out hits all.
    #[serde(default)]
    pub on: Matcher,
    /// How many requests it hits before it is spent; no end when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What it does to them.
    pub effect: Effect,
}

/// Which requests a fault hits. All fields given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Part of path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Kubernetes verb, such as `list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// API group; the core group is the empty string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Plural name, such as `pods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Such as `exec`; the empty string hits only the resource itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// Namespace of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Effect {
    /// Answers with an error instead of doing anything.
    Status {
        /// HTTP status code.
        code: u16,
        /// Message of the Status.
        #[serde(default)]
        message: String,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Closes the connection without a word once this many bytes of stdout were sent.
    CutAfter {
        /// Bytes of stdout.
        bytes: u64,
    },
    /// Closes the WebSocket properly but without the exit status.
    CloseWithoutStatus {
        /// Bytes of stdout sent before.
        after_bytes: u64,
    },
    /// Stops sending, pongs included, and keeps the connection open.
    StallAfter {
        /// Bytes of stdout sent before.
        bytes: u64,
    },
    /// Sends no faster than this.
    Throttle {
        /// Bytes of stdout per second.
        bytes_per_second: u64,
    },
    /// Does as a server that knows no `v5.channel.k8s.io`.
    RefuseV5,
    /// Does as a proxy or load balancer in front that passes no WebSockets on: drops `Upgrade` and `Connection`.
    DropUpgrade,
    /// Closes the connection instead of answering: before the request is carried out, or after it.
    HangUp {
        /// Whether it is carried out.
        done: bool,
    },
    /// Is not there: connections are refused, open ones are cut. The matcher does not apply.
    RefuseConnections,
    /// Answers 401, as to a token that has expired.
    ExpireToken,
    /// Deletes the pod of the stream at once, as a node that goes away would.
    DeletePodAfter {
        /// Bytes of stdout sent before.
        bytes: u64,
    },
    /// Takes a permission away; access reviews know it too. The fault's matcher and count do not apply.
    Forbid {
        /// Kubernetes verb; `*` is every verb.
        verb: String,
        /// API group; `*` is every group.
        #[serde(default)]
        group: String,
        /// Plural name; `*` is every resource.
        resource: String,
        /// Such as `exec`; empty is the resource itself.
        #[serde(default)]
        subresource: String,
    },
    /// Puts a container into every new pod, before its own, as the webhook of a service mesh does. A pod with the annotation `sidecar.istio.io/inject: "false"` is spared.
    InjectSidecar {
        /// The container.
        container: serde_json::Value,
    },
    /// Refuses new pods that lack a label, as an admission policy does.
    RequireLabel {
        /// Its key.
        label: String,
    },
    /// Drops the end of stdout and yet reports success.
    ShortenStdout {
        /// Bytes dropped.
        bytes: u64,
    },
}

/// The effects that `streams` and `objects` have to apply to the request they travel with (a request extension).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFaults(pub Vec<Effect>);

/// The faults in force; clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    active: Arc<Mutex<Vec<Fault>>>,
    refuses_connections: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            active: Arc::default(),
            refuses_connections: watch::Sender::new(false),
        }
    }
}

impl Faults {
    /// Puts a fault in force, after those already there.
    pub fn inject(&self, fault: Fault) {
        let refuses = fault.effect == Effect::RefuseConnections;
        self.active().push(fault);
        if refuses {
            self.refuses_connections.send_replace(true);
        }
    }

    /// Everything works again.
    pub fn clear(&self) {
        self.active().clear();
        self.refuses_connections.send_replace(false);
    }

    /// The faults in force, with what is left of their counts.
    pub fn list(&self) -> Vec<Fault> {
        self.active().clone()
    }

    /// Whether the API server is to be unreachable, and news of it.
    pub fn refuses_connections(&self) -> watch::Receiver<bool> {
        self.refuses_connections.subscribe()
    }

    /// The effects that hit this request; counts it against each of them.
    pub(crate) fn hit(
        &self,
        method: &str,
        path_and_query: &str,
        info: &RequestInfo,
    ) -> Vec<Effect> {
        let mut active = self.active();
        let mut effects = Vec::new();
        for fault in active.iter_mut() {
            let standing = matches!(
                fault.effect,
                Effect::Forbid { .. } | Effect::RefuseConnections
            );
            let spent = fault.times == Some(0);
            if !standing && !spent && fault.on.matches(method, path_and_query, info) {
                effects.push(fault.effect.clone());
                fault.times = fault.times.map(|left| left.saturating_sub(1));
            }
        }
        active.retain(|fault| fault.times != Some(0));
        effects
    }

    /// Whether a permission was taken away.
    pub(crate) fn forbids(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        subresource: &str,
    ) -> bool {
        let covers = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        self.active().iter().any(|fault| match &fault.effect {
            Effect::Forbid {
                verb: v,
                group: g,
                resource: r,
                subresource: s,
            } => {
                covers(v, verb) && covers(g, group) && covers(r, resource) && covers(s, subresource)
            }
            _ => false,
        })
    }

    fn active(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Matcher {
    fn matches(&self, method: &str, path_and_query: &str, info: &RequestInfo) -> bool {
        let same = |wanted: &Option<String>, actual: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == actual)
        };
        same(&self.method, method)
            && self
                .path
                .as_deref()
                .is_none_or(|part| path_and_query.contains(part))
            && same(&self.verb, &info.verb)
            && same(&self.group, &info.group)
            && same(&self.resource, &info.resource)
            && same(&self.subresource, &info.subresource)
            && same(&self.namespace, &info.namespace)
            && same(&self.name, &info.name)
    }
}
