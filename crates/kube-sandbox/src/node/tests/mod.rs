//! The node with real processes, and what its tests share: a cluster that has nothing but a node.

mod containers;
mod machines;
mod pods;
mod statuses;
mod volumes;

use std::{pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Image, LogOptions, Node, NodeConfig, StorageDriver};
use crate::meta::{Object, Status, object, resources};
use crate::store::Store;

/// Far more than anything here takes; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

struct Cluster {
    store: Store,
    node: Node,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        Self::with_driver(None)
    }

    fn with_driver(driver: Option<Arc<dyn StorageDriver>>) -> Self {
        let store = Store::new();
        let directory = tempfile::tempdir().unwrap();
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cpd"}});
        store.create(&resources::NAMESPACES, namespace).unwrap();
        let config = NodeConfig {
            directory: directory.path().join("node"),
            images: vec![Image::of_this_machine("local/host:1")],
            driver,
        };
        let node = Node::start(store.clone(), config).unwrap();
        Self {
            store,
            node,
            _directory: directory,
        }
    }

    fn create(&self, name: &str, spec: &Value) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "cpd"}, "spec": spec,
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        });
        self.store.create(&resources::PODS, pod).unwrap();
    }

    /// Waits until the pod is in a state that the test names.
    async fn wait(&self, name: &str, what: &str, state: impl Fn(&Value) -> bool) -> Object {
        let mut events = pin!(self.store.watch(&resources::PODS, Some("cpd"), None));
        let mut last = Value::Null;
        let found = async {
            while let Some(Ok(event)) = events.next().await {
                if object::name(&event.object) == name {
                    if state(&event.object) {
                        return event.object;
                    }
                    last = (*event.object).clone();
                }
            }
            unreachable!("a watch does not end")
        };
        let found = tokio::time::timeout(DEADLINE, found).await;
        found.unwrap_or_else(|_| panic!("{name} never was {what}: {:#}", last["status"]))
    }

    async fn wait_for_phase(&self, name: &str, phase: &str) -> Object {
        self.wait(name, phase, |pod| pod["status"]["phase"] == phase)
            .await
    }

    async fn log(&self, name: &str, previous: bool, options: LogOptions) -> Result<String, Status> {
        let target = self.node.check_target("cpd", name, None)?;
        let mut reader = self.node.log(&target, previous, options).await?;
        let mut text = Vec::new();
        while let Some(chunk) = reader.next().await.unwrap() {
            text.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(text).unwrap())
    }

    async fn whole_log(&self, name: &str) -> String {
        self.log(name, false, LogOptions::default()).await.unwrap()
    }

    fn reasons(&self, name: &str) -> Vec<String> {
        let events = self.store.list(&resources::EVENTS, Some("cpd")).items;
        let mut events: Vec<_> = events
            .iter()
            .filter(|event| event["involvedObject"]["name"] == name)
            .collect();
        events.sort_by_key(|event| object::revision(event));
        events
            .iter()
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn shell(script: &str) -> Value {
    json!({"name": "c", "image": "local/host:1", "command": ["sh", "-c", script]})
}

fn once(container: &Value) -> Value {
    json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]})
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap()
}
