//! The controllers of the cluster: each brings the objects of one kind to what their specification asks.
//!
//! A controller looks at one object at a time, changes what is missing, and is called again when that object or one it
//! depends on changes, or after the time it asked for. Nothing is polled.
//!
//! Left out: disruption budgets.

mod autoscalers;
mod conditions;
mod cron_jobs;
mod daemon_sets;
mod deployments;
mod events;
mod finalizers;
mod garbage;
mod jobs;
mod namespaces;
mod pods;
mod replica_sets;
mod rollout;
mod stateful_sets;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::disks::Disks;
use crate::meta::{Object, Resource, Status, object};
use crate::store::Store;

/// How long a controller waits before it tries again what the API refused.
const RETRY: Duration = Duration::from_secs(1);

/// The running controllers; dropping this stops them.
#[derive(Debug)]
pub struct Controllers {
    tasks: JoinSet<()>,
}

impl Controllers {
    /// Starts them all over a cluster whose volumes are on those disks.
    pub fn start(store: &Store, disks: &Disks) -> Self {
        let disks = || disks.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(drive(store.clone(), namespaces::ServiceAccounts));
        tasks.spawn(drive(store.clone(), storage::Claims { disks: disks() }));
        tasks.spawn(drive(store.clone(), storage::Volumes { disks: disks() }));
        tasks.spawn(drive(store.clone(), storage::Snapshots));
        tasks.spawn(drive(store.clone(), storage::Contents { disks: disks() }));
        tasks.spawn(drive(store.clone(), autoscalers::Autoscalers));
        tasks.spawn(drive(store.clone(), deployments::Deployments));
        tasks.spawn(drive(store.clone(), replica_sets::ReplicaSets));
        tasks.spawn(drive(store.clone(), stateful_sets::StatefulSets));
        tasks.spawn(drive(store.clone(), jobs::Jobs));
        tasks.spawn(drive(store.clone(), cron_jobs::CronJobs));
        tasks.spawn(drive(store.clone(), daemon_sets::DaemonSets));
        tasks.spawn(garbage::collect(store.clone()));
        Self { tasks }
    }

    /// Runs one more.
    pub fn run(&mut self, store: &Store, controller: impl Controller) {
        self.tasks.spawn(drive(store.clone(), controller));
    }

    /// Gives every namespace the certificate by which pods trust the API server.
    pub(crate) fn publish_certificate(&mut self, store: &Store, certificate_pem: &str) {
        let controller = namespaces::RootCertificates {
            certificate_pem: certificate_pem.to_owned(),
        };
        self.run(store, controller);
    }
}

/// Namespace and name of an object to look at.
pub type Key = (String, String);

/// Finds the objects that a change of another object concerns.
pub type Concerns = fn(&Store, &Value) -> Vec<Key>;

/// A controller of one kind.
pub trait Controller: Send + Sync + 'static {
    /// The kind it brings to its specification.
    fn kind(&self) -> &'static Resource;

    /// Other kinds whose changes concern it.
    fn watches(&self) -> &'static [(&'static Resource, Concerns)];

    /// Takes the next steps for one object. Returns when to look again if nothing changes until then.
    fn reconcile(&self, store: &Store, object: &Object) -> Result<Option<Duration>, Status>;
}

async fn drive(store: Store, controller: impl Controller) {
    let mut changes = changes(&store, &controller);
    let mut due: BTreeMap<Key, Instant> = BTreeMap::new();
    loop {
        let next = due.values().min().copied();
        tokio::select! {
            biased;
            keys = changes.next() => match keys {
                Some(keys) => due.extend(keys.into_iter().map(|key| (key, Instant::now()))),
                None => return,
            },
            () = sleep_until(next) => {
                let now = Instant::now();
                let ready: Vec<Key> =
                    due.iter().filter(|(_, time)| **time <= now).map(|(key, _)| key.clone()).collect();
                for key in ready {
                    due.remove(&key);
                    if let Some(wait) = reconcile(&store, &controller, &key) {
                        due.insert(key, now + wait);
                    }
                }
            }
        }
    }
}

fn changes(store: &Store, controller: &impl Controller) -> BoxStream<'static, Vec<Key>> {
    let own: (&'static Resource, Concerns) = (controller.kind(), |_, object| vec![key(object)]);
    let streams = std::iter::once(&own)
        .chain(controller.watches())
        .map(|(resource, concerns)| {
            let (store, concerns, resource) = (store.clone(), *concerns, *resource);
            let again = store.clone();
            // A watch that fell behind ends; the next one begins with everything there is.
            stream::repeat_with(move || again.watch(resource, None, None))
                .flatten()
                .map(move |event| {
                    event.map_or_else(|_| Vec::new(), |event| concerns(&store, &event.object))
                })
                .boxed()
        });
    stream::select_all(streams.collect::<Vec<_>>()).boxed()
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn reconcile(
    store: &Store,
    controller: &impl Controller,
    (namespace, name): &Key,
) -> Option<Duration> {
    let object = store.get(controller.kind(), namespace, name).ok()?;
    controller.reconcile(store, &object).unwrap_or_else(|error| {
        tracing::warn!(kind = controller.kind().kind, namespace, name, %error, "a controller will try again");
        Some(RETRY)
    })
}

fn key(object: &Value) -> Key {
    (
        object::namespace(object).to_owned(),
        object::name(object).to_owned(),
    )
}

/// The object that controls another one, if it is of that kind.
fn controlled_by(object: &Value, kind: &str) -> Vec<Key> {
    controller_reference(object)
        .filter(|owner| owner["kind"] == kind)
        .map(|owner| {
            let name = owner["name"].as_str().unwrap_or_default();
            (object::namespace(object).to_owned(), name.to_owned())
        })
        .into_iter()
        .collect()
}

fn controller_reference(object: &Value) -> Option<&Value> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

/// The objects of a kind that an object controls.
fn controlled(store: &Store, resource: &Resource, owner: &Value) -> Vec<Object> {
    let mut items = store.list(resource, Some(object::namespace(owner))).items;
    items.retain(|item| {
        controller_reference(item).is_some_and(|reference| reference["uid"] == object::uid(owner))
    });
    items
}

/// The reference that makes an object controlled by `owner`.
fn owner_reference(resource: &Resource, owner: &Value) -> Value {
    json!({
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "name": object::name(owner), "uid": object::uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn count(object: &Value, field: &str) -> usize {
    object["status"][field]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or_default()
}
