//! Volumes that are not the node's own affair alone.

use std::sync::{Mutex, PoisonError};

use super::*;

/// Refuses a volume once, and writes down what it is asked for.
#[derive(Debug, Default)]
struct Reluctant(Mutex<Vec<String>>);

impl Reluctant {
    fn calls(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl StorageDriver for Reluctant {
    fn attaches(&self, _: &Value) -> bool {
        false
    }

    fn publish(&self, node: &str, pod: &str, volume: &Value) -> Result<(), String> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(format!(
            "publish {} to {pod} on {node}",
            object::name(volume)
        ));
        if calls.len() == 1 {
            return Err("rpc error: code = AlreadyExists desc = not yet".to_owned());
        }
        Ok(())
    }

    fn unpublish(&self, pod: &str) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(format!("unpublish {pod}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_its_storage_driver_and_tells_it_when_it_has_ended() {
    let driver = Arc::new(Reluctant::default());
    let cluster = Cluster::with_driver(Some(Arc::clone(&driver) as _));
    let volume =
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pvc-1"}});
    cluster.store.create(&resources::VOLUMES, volume).unwrap();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "dumps", "namespace": "cpd"},
        "spec": {
            "volumeName": "pvc-1", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Bound"},
    });
    cluster.store.create(&resources::CLAIMS, claim).unwrap();
    let mut spec = once(&shell("echo done >/v/file"));
    spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "dumps"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    cluster.create("p", &spec);
    let pod = cluster.wait_for_phase("p", "Succeeded").await;
    let uid = object::uid(&pod);
    tokio::time::timeout(DEADLINE, async {
        while driver.calls().len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let publish = format!("publish pvc-1 to {uid} on node1");
    assert_eq!(
        driver.calls(),
        [publish.clone(), publish, format!("unpublish {uid}")]
    );
    let events = cluster
        .store
        .list(&resources::EVENTS, Some("cpd"))
        .items
        .into_iter();
    let reported: Vec<_> = events
        .filter(|event| event["reason"] == "FailedMount")
        .collect();
    assert_eq!(
        reported[0]["message"],
        r#"MountVolume.SetUp failed for volume "pvc-1" : rpc error: code = AlreadyExists desc = not yet"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_path_leads_into_files_that_pods_of_one_node_share() {
    let cluster = Cluster::new();
    let with_host_path = |script: &str| {
        let mut spec = once(&shell(script));
        spec["volumes"] = json!([{"name": "h", "hostPath": {"path": "/var/lib/osd", "type": ""}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "h", "mountPath": "/osd"}]);
        spec
    };
    cluster.create("writer", &with_host_path("echo here >/osd/file"));
    cluster.wait_for_phase("writer", "Succeeded").await;
    cluster.create("reader", &with_host_path("cat /osd/file"));
    cluster.wait_for_phase("reader", "Succeeded").await;
    assert_eq!(cluster.whole_log("reader").await, "here\n");
}
