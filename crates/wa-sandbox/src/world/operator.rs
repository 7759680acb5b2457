//! The operators of PostgreSQL and etcd, as far as their pods go: one that is evicted is deleted, and one that is deleted
//! comes back, with its data.
//!
//! Left out: failover. A primary that is deleted is the primary again.

use std::collections::HashMap;

use futures::StreamExt;
use kube_sandbox::meta::{object, resources};
use kube_sandbox::store::{DeleteOptions, EventType, Store};
use serde_json::Value;
use tokio::task::JoinSet;

/// The running operator; dropping this stops it.
pub(super) struct Operator {
    _task: JoinSet<()>,
}

impl Operator {
    /// Keeps these pods alive.
    pub(super) fn start(store: &Store, pods: Vec<Value>) -> Self {
        let pods = pods.into_iter().map(|pod| {
            (
                (
                    object::namespace(&pod).to_owned(),
                    object::name(&pod).to_owned(),
                ),
                pod,
            )
        });
        let mut task = JoinSet::new();
        task.spawn(keep(store.clone(), pods.collect()));
        Self { _task: task }
    }
}

async fn keep(store: Store, pods: HashMap<(String, String), Value>) {
    let mut changes = store
        .watch(&resources::PODS, None, Some(store.revision()))
        .boxed();
    while let Some(Ok(change)) = changes.next().await {
        let key = (
            object::namespace(&change.object).to_owned(),
            object::name(&change.object).to_owned(),
        );
        if change.event != EventType::Deleted {
            if change.object["status"]["reason"] == "Evicted" && pods.contains_key(&key) {
                let evicted =
                    store.delete(&resources::PODS, &key.0, &key.1, &DeleteOptions::default());
                if let Err(error) = evicted {
                    tracing::debug!(pod = key.1, %error, "an evicted pod could not be deleted");
                }
            }
            continue;
        }
        if let Some(pod) = pods.get(&key)
            && let Err(error) = store.create(&resources::PODS, pod.clone())
        {
            tracing::warn!(pod = key.1, %error, "a deleted pod could not be made again");
        }
    }
}
