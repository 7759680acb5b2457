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

/// A pod with an `emptyDir` of that kind at `/v`.
fn with_empty_dir(script: &str, empty_dir: &Value) -> Value {
    let mut spec = once(&shell(script));
    spec["volumes"] = json!([{"name": "v", "emptyDir": empty_dir}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_volume_outgrows_its_limit_is_evicted() {
    let cluster = Cluster::new();
    let fill = "head -c 3000000 /dev/zero >/v/file; exec sleep 60";
    cluster.create("full", &with_empty_dir(fill, &json!({"sizeLimit": "2Mi"})));
    cluster.create(
        "not-full",
        &with_empty_dir(fill, &json!({"sizeLimit": "4Mi"})),
    );
    let evicted = cluster.wait_for_phase("full", "Failed").await;
    assert_eq!(evicted["status"]["reason"], "Evicted");
    assert_eq!(
        evicted["status"]["message"],
        r#"Usage of EmptyDir volume "v" exceeds the limit "2Mi". "#
    );
    let other = cluster.wait_for_phase("not-full", "Running").await;
    assert!(other["status"].get("reason").is_none(), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_in_memory_is_full_at_its_limit() {
    let cluster = Cluster::new();
    let fill = "head -c 3000000 /dev/zero >/v/file 2>/dev/null || stat -c %s /v/file";
    let empty_dir = json!({"medium": "Memory", "sizeLimit": "2Mi"});
    cluster.create("p", &with_empty_dir(fill, &empty_dir));
    cluster.wait_for_phase("p", "Succeeded").await;
    assert_eq!(cluster.whole_log("p").await.trim(), "2097152");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_starts_its_pods_again_with_their_volumes() {
    let cluster = Cluster::new();
    let mut spec = with_empty_dir("echo run >>/v/file; cat /v/file; exec sleep 60", &json!({}));
    spec["restartPolicy"] = "Always".into();
    cluster.create("p", &spec);
    let first = cluster.wait_for_phase("p", "Running").await;
    let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    tokio::time::timeout(DEADLINE, async {
        while cluster.whole_log("p").await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    cluster.node.restart();
    let again = cluster
        .wait("p", "started again", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
                && pod["status"]["containerStatuses"][0]["ready"] == true
        })
        .await;
    assert_ne!(id(&again), id(&first));
    tokio::time::timeout(DEADLINE, async {
        while cluster.whole_log("p").await.lines().count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
