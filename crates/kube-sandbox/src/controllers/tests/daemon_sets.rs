//! DaemonSets.

use serde_json::json;

use super::{cluster, in_time};
use crate::meta::{object, resources};
use crate::store::DeleteOptions;

#[tokio::test]
async fn a_daemon_set_has_a_pod_on_every_node_and_replaces_one_that_is_deleted() {
    let cluster = cluster();
    for name in ["node1", "node2"] {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        cluster.create(&resources::NODES, node);
    }
    cluster.create(
        &resources::DAEMON_SETS,
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "agent", "namespace": "cpd" },
            "spec": {
                "selector": { "matchLabels": { "component": "agent" } },
                "template": {
                    "metadata": { "labels": { "component": "agent" } },
                    "spec": { "containers": [{ "name": "agent", "image": "agent:1" }] },
                },
            },
        }),
    );
    let pods = in_time(cluster.pods("agent", 2, |_| true)).await;
    let mut nodes: Vec<_> = pods.iter().map(|pod| &pod["spec"]["nodeName"]).collect();
    nodes.sort_by_key(|name| name.as_str());
    assert_eq!(nodes, ["node1", "node2"]);
    assert_eq!(
        pods[0]["metadata"]["ownerReferences"][0]["kind"],
        "DaemonSet"
    );
    for pod in &pods {
        cluster.set_phase(pod, "Running");
    }
    in_time(cluster.until(&resources::DAEMON_SETS, "agent", |set| {
        set["status"]["numberReady"] == 2 && set["status"]["desiredNumberScheduled"] == 2
    }))
    .await;

    let first = object::name(&pods[0]);
    cluster
        .store
        .delete(&resources::PODS, "cpd", first, &DeleteOptions::default())
        .expect("the pod is there");
    in_time(cluster.pods("agent", 3, |_| true)).await;
}
