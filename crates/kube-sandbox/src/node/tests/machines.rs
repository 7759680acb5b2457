//! Which machine a pod gets, and which machines a volume.

use super::*;
use crate::store::DeleteOptions;

/// A claim that is bound to a volume of its own.
fn claim(cluster: &Cluster, access_mode: &str) {
    let spec = json!({"accessModes": [access_mode], "capacity": {"storage": "1Gi"}});
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pvc-1"}, "spec": spec});
    cluster.store.create(&resources::VOLUMES, volume).unwrap();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "dumps", "namespace": "cpd"},
        "spec": {
            "volumeName": "pvc-1", "accessModes": [access_mode], "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Bound"},
    });
    cluster.store.create(&resources::CLAIMS, claim).unwrap();
}

fn with_claim(script: &str) -> Value {
    let mut spec = once(&shell(script));
    spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "dumps"}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    spec
}

fn on(node: &str, mut spec: Value) -> Value {
    spec["nodeName"] = node.into();
    spec
}

/// Waits for an event of that reason about a pod, and returns its message.
async fn reported(cluster: &Cluster, pod: &str, reason: &str) -> String {
    let mut events = pin!(cluster.store.watch(&resources::EVENTS, Some("cpd"), None));
    let found = async {
        while let Some(Ok(event)) = events.next().await {
            let event = event.object;
            if event["involvedObject"]["name"] == pod && event["reason"] == reason {
                return event["message"].as_str().unwrap().to_owned();
            }
        }
        unreachable!("a watch does not end")
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| panic!("no {reason} of {pod}: {:?}", cluster.reasons(pod)))
}

fn delete(cluster: &Cluster, pod: &str) {
    let at_once = DeleteOptions {
        grace_period_seconds: Some(0),
        ..Default::default()
    };
    cluster
        .store
        .delete(&resources::PODS, "cpd", pod, &at_once)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_one_machine_is_refused_to_another_until_its_pod_has_gone() {
    let cluster = Cluster::new();
    claim(&cluster, "ReadWriteOnce");
    cluster.create(
        "writer",
        &on("node1", with_claim("echo 1 >/v/f; exec sleep 1000")),
    );
    cluster.wait_for_phase("writer", "Running").await;
    let attached = reported(&cluster, "writer", "SuccessfulAttachVolume").await;
    assert_eq!(
        attached,
        r#"AttachVolume.Attach succeeded for volume "pvc-1""#
    );
    cluster.create("near", &on("node1", with_claim("cat /v/f")));
    cluster.wait_for_phase("near", "Succeeded").await;

    cluster.create("far", &on("node2", with_claim("cat /v/f")));
    assert_eq!(
        reported(&cluster, "far", "FailedAttachVolume").await,
        r#"Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) writer"#
    );
    let waits = cluster.wait_for_phase("far", "Pending").await;
    let state = &waits["status"]["containerStatuses"][0]["state"];
    assert_eq!(state["waiting"]["reason"], "ContainerCreating");
    delete(&cluster, "writer");
    let far = cluster.wait_for_phase("far", "Succeeded").await;
    assert_eq!(far["status"]["hostIP"], "127.0.0.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_many_may_use_is_attached_to_every_machine() {
    let cluster = Cluster::new();
    claim(&cluster, "ReadWriteMany");
    cluster.create("one", &on("node1", with_claim("exec sleep 1000")));
    cluster.wait_for_phase("one", "Running").await;
    cluster.create("two", &on("node2", with_claim("true")));
    cluster.wait_for_phase("two", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_for_one_pod_is_refused_by_the_scheduler_and_by_the_kubelet() {
    let cluster = Cluster::new();
    claim(&cluster, "ReadWriteOncePod");
    cluster.create("first", &with_claim("exec sleep 1000"));
    cluster.wait_for_phase("first", "Running").await;
    cluster.create("second", &with_claim("true"));
    assert_eq!(
        reported(&cluster, "second", "FailedScheduling").await,
        "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod \
         access mode. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found \
         for incoming pod."
    );
    cluster.create("pinned", &on("node1", with_claim("true")));
    assert_eq!(
        reported(&cluster, "pinned", "FailedMount").await,
        "MountVolume.SetUp failed for volume \"pvc-1\" : volume uses the ReadWriteOncePod access mode and is already in \
         use by another pod"
    );
    delete(&cluster, "pinned");
    delete(&cluster, "first");
    cluster.wait_for_phase("second", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_goes_where_no_cordon_is_and_waits_when_every_node_has_one() {
    let cluster = Cluster::new();
    let cordon = |node: &str, on: bool| {
        cluster
            .store
            .modify(&resources::NODES, "", node, |node| {
                node["spec"]["unschedulable"] = on.into();
            })
            .unwrap();
    };
    cordon("node1", true);
    cluster.create("one", &once(&shell("true")));
    let one = cluster.wait_for_phase("one", "Succeeded").await;
    assert_eq!(one["spec"]["nodeName"], "node2");

    cordon("node2", true);
    let mut wants_node2 = once(&shell("true"));
    wants_node2["nodeSelector"] = json!({"kubernetes.io/hostname": "node2"});
    cluster.create("two", &wants_node2);
    assert_eq!(
        reported(&cluster, "two", "FailedScheduling").await,
        "0/2 nodes are available: 2 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are \
         available: 2 Preemption is not helpful for scheduling."
    );
    cordon("node2", false);
    let two = cluster.wait_for_phase("two", "Succeeded").await;
    assert_eq!(two["spec"]["nodeName"], "node2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_names_its_node_itself_waits_for_its_claim_there() {
    let cluster = Cluster::new();
    cluster.create("p", &on("node2", with_claim("true")));
    assert_eq!(
        reported(&cluster, "p", "FailedMount").await,
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: \
         error processing PVC cpd/dumps: failed to fetch PVC from API server: persistentvolumeclaims \"dumps\" not found"
    );
    claim(&cluster, "ReadWriteOnce");
    cluster.wait_for_phase("p", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_begins_when_a_node_takes_the_pod_on() {
    let cluster = Cluster::new();
    let mut spec = once(&shell("exec sleep 1000"));
    spec["activeDeadlineSeconds"] = 1.into();
    let mut unplaced = spec.clone();
    unplaced["nodeSelector"] = json!({"no": "where"});
    cluster.create("unplaced", &unplaced);
    reported(&cluster, "unplaced", "FailedScheduling").await;
    cluster.create("placed", &on("node1", spec));
    cluster.wait_for_phase("placed", "Failed").await;
    let unplaced = cluster
        .store
        .get(&resources::PODS, "cpd", "unplaced")
        .unwrap();
    assert_eq!(unplaced["status"]["phase"], "Pending");
}
