//! The controllers over a store of their own, with these tests in the part of the kubelet.

mod autoscalers;
mod cron_jobs;
mod daemon_sets;
mod deployments;
mod jobs;
mod ownership;
mod snapshots;
mod stateful_sets;
mod storage;

use std::time::Duration;

use futures::{StreamExt, future};
use serde_json::{Value, json};

use super::Controllers;
use crate::disks::Disks;
use crate::meta::{Object, Resource, object, resources};
use crate::store::Store;

const DEADLINE: Duration = Duration::from_secs(10);

struct Cluster {
    store: Store,
    disks: Disks,
    _directory: tempfile::TempDir,
    _controllers: Controllers,
}

fn cluster() -> Cluster {
    let store = Store::new();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "cpd" } });
    store
        .create(&resources::NAMESPACES, namespace)
        .expect("the namespace");
    let directory = tempfile::tempdir().expect("a directory");
    let disks = Disks::new(
        directory.path().join("volumes"),
        directory.path().join("snapshots"),
    );
    let disks = disks.expect("disks");
    let controllers = Controllers::start(&store, &disks);
    Cluster {
        store,
        disks,
        _directory: directory,
        _controllers: controllers,
    }
}

impl Cluster {
    fn create(&self, resource: &Resource, object: Value) -> Object {
        self.store
            .create(resource, object)
            .expect("an object is created")
    }

    fn get(&self, resource: &Resource, name: &str) -> Object {
        self.store
            .get(resource, "cpd", name)
            .expect("the object is there")
    }

    /// Waits until the object is as wanted.
    async fn until(&self, resource: &Resource, name: &str, wanted: fn(&Value) -> bool) -> Object {
        let seen = self
            .store
            .watch(resource, None, None)
            .map(|event| event.expect("the watch goes on").object);
        let found = seen
            .filter(|object| future::ready(object::name(object) == name && wanted(object)))
            .boxed()
            .next()
            .await;
        found.expect("watches do not end")
    }

    /// Waits until the autoscaler wants so many replicas and the Deployment has been seen with them.
    async fn until_desired(&self, replicas: u64) -> Object {
        let mut changes = self
            .store
            .watch(&resources::AUTOSCALERS, None, None)
            .boxed();
        loop {
            let change = changes.next().await.expect("watches do not end");
            let autoscaler = change.expect("the watch goes on").object;
            let target = self.get(&resources::DEPLOYMENTS, "governed");
            if autoscaler["status"]["desiredReplicas"] == replicas
                && target["spec"]["replicas"] == replicas
            {
                return autoscaler;
            }
        }
    }

    /// Waits for an event of that reason about an object, and returns its message.
    async fn reported(&self, about: &str, reason: &str) -> String {
        let events = self.store.watch(&resources::EVENTS, None, None);
        let messages = events.filter_map(|event| {
            let event = event.expect("the watch goes on").object;
            let meant = event["involvedObject"]["name"] == about && event["reason"] == reason;
            future::ready(meant.then(|| event["message"].as_str().unwrap_or_default().to_owned()))
        });
        messages.boxed().next().await.expect("watches do not end")
    }

    /// Waits until the object is gone.
    async fn gone(&self, resource: &Resource, namespace: &str, name: &str) {
        let mut changes = self.store.watch(resource, None, None).boxed();
        while self.store.get(resource, namespace, name).is_ok() {
            changes
                .next()
                .await
                .expect("watches do not end")
                .expect("the watch goes on");
        }
    }

    /// Waits until exactly so many pods of the component are as wanted.
    async fn pods(
        &self,
        component: &str,
        number: usize,
        wanted: fn(&Value) -> bool,
    ) -> Vec<Object> {
        let mut changes = self.store.watch(&resources::PODS, None, None).boxed();
        loop {
            let mut pods = self.store.list(&resources::PODS, Some("cpd")).items;
            pods.retain(|pod| pod["metadata"]["labels"]["component"] == component && wanted(pod));
            if pods.len() == number {
                return pods;
            }
            changes
                .next()
                .await
                .expect("watches do not end")
                .expect("the watch goes on");
        }
    }

    /// The kubelet's part: sets a pod's phase, and readiness with it.
    fn set_phase(&self, pod: &Value, phase: &str) {
        let ready = if phase == "Running" { "True" } else { "False" };
        self.store
            .modify(&resources::PODS, "cpd", object::name(pod), |pod| {
                pod["spec"]["nodeName"] = json!("node1");
                pod["status"]["phase"] = phase.into();
                pod["status"]["conditions"] = json!([{ "type": "Ready", "status": ready }]);
            })
            .expect("the pod is there");
    }

    /// The scheduler's part with a claim that waits for its pod.
    fn place(&self, claim: &str, node: &str) {
        let placed = self
            .store
            .modify(&resources::CLAIMS, "cpd", claim, |claim| {
                claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] =
                    node.into();
            });
        placed.expect("the claim is there");
    }

    /// The kubelet's last step with a pod that is being deleted.
    fn finish(&self, pod: &Value) {
        self.store
            .remove(&resources::PODS, "cpd", object::name(pod))
            .expect("the pod is there");
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("what is waited for comes about")
}

fn deployment(replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "wa-store", "namespace": "cpd" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "component": "store" } },
            "template": { "metadata": { "labels": { "component": "store" } }, "spec": { "containers": [{ "name": "store", "image": "store:1" }] } },
        },
    })
}

fn job(name: &str, specification: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "cpd" },
        "spec": { "template": { "metadata": { "labels": { "component": "job" } }, "spec": { "restartPolicy": "Never", "containers": [{ "name": "job", "image": "job:1" }] } } },
    });
    object::map_mut(&mut job["spec"])
        .extend(specification.as_object().cloned().unwrap_or_default());
    job
}
