//! `pxctl` in Portworx pods on a real node, and pods whose volumes are Portworx's.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use kube_sandbox::controllers::Controllers;
use kube_sandbox::meta::Object;
use kube_sandbox::node::{ExecRequest, NodeConfig, Target};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::*;
use crate::world::Storage;

const ELSEWHERE: &str = "far-away";
const MOUNTPOINT: &str = "/var/lib/osd/mounts/voldir";

struct Cluster {
    store: Store,
    portworx: Portworx,
    node: Node,
    volume: String,
    _daemons: Daemons,
    _controllers: Controllers,
    _directory: tempfile::TempDir,
}

/// Exit code, standard output and standard error.
type Ended = (i32, String, String);

/// The Portworx pod that the tests talk to.
fn is_daemon_of_node1(pod: &Value) -> bool {
    pod["metadata"]["labels"]["name"] == CONTAINER && pod["spec"]["nodeName"] == "node1"
}

impl Cluster {
    /// Nodes with Portworx and a volume, which a claim called `dumps` has.
    async fn start(provisioner: &str) -> Self {
        let store = Store::new();
        for name in ["cpd", NAMESPACE] {
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            store.create(&resources::NAMESPACES, namespace).unwrap();
        }
        let mut class = Storage::Portworx.classes().remove(0);
        class["provisioner"] = provisioner.into();
        let class = store.create(&resources::STORAGE_CLASSES, class).unwrap();

        let directory = tempfile::tempdir().unwrap();
        let portworx = Portworx::new(store.clone());
        let config = NodeConfig {
            directory: directory.path().join("node"),
            images: vec![Image::of_this_machine("local/host:1")],
            driver: Some(Arc::new(portworx.clone())),
        };
        let node = Node::start(store.clone(), config).unwrap();
        node.add_images(Portworx::images(node.disks()));
        let controllers = Controllers::start(&store, node.disks());
        let daemons = portworx.install(&node).unwrap();
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "dumps", "namespace": "cpd" },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } },
                "storageClassName": object::name(&class),
            },
        });
        store.create(&resources::CLAIMS, claim).unwrap();
        let mut cluster = Self {
            store,
            portworx,
            node,
            volume: String::new(),
            _daemons: daemons,
            _controllers: controllers,
            _directory: directory,
        };
        let claim = cluster
            .until(&resources::CLAIMS, |claim| {
                claim["status"]["phase"] == "Bound"
            })
            .await;
        cluster.volume = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
        let files = cluster.node.volume_directory(&cluster.volume);
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("store.dump_1"), "PGDMP").unwrap();
        cluster
            .until(&resources::PODS, |pod| {
                is_daemon_of_node1(pod) && is_ready(pod)
            })
            .await;
        cluster
    }

    async fn until(
        &self,
        resource: &'static kube_sandbox::meta::Resource,
        wanted: impl Fn(&Value) -> bool,
    ) -> Object {
        let mut changes = self.store.watch(resource, None, None).boxed();
        let found = async {
            loop {
                let change = changes.next().await.unwrap().unwrap();
                if wanted(&change.object) {
                    return change.object;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), found)
            .await
            .unwrap_or_else(|_| panic!("a {} never was as wanted", resource.kind))
    }

    fn daemon_pod(&self) -> String {
        let pods = self.store.list(&resources::PODS, Some(NAMESPACE)).items;
        let pod = pods
            .iter()
            .find(|pod| is_daemon_of_node1(pod) && !object::is_terminating(pod));
        object::name(pod.unwrap()).to_owned()
    }

    async fn run(&self, argv: &[&str]) -> Ended {
        let target = Target {
            namespace: NAMESPACE.to_owned(),
            pod: self.daemon_pod(),
            container: CONTAINER.to_owned(),
            is_scheduled: true,
        };
        let request = ExecRequest {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            stdout: true,
            stderr: true,
            ..ExecRequest::default()
        };
        let mut process = self.node.exec(&target, &request).await.unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let (mut out, mut err) = (
            process.stdout.take().unwrap(),
            process.stderr.take().unwrap(),
        );
        let (one, two) = tokio::join!(
            out.read_to_string(&mut stdout),
            err.read_to_string(&mut stderr)
        );
        one.and(two).unwrap();
        (process.wait().await.unwrap(), stdout, stderr)
    }

    async fn pxctl(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["/opt/pwx/bin/pxctl"], arguments].concat())
            .await
    }

    async fn succeed(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.pxctl(arguments).await;
        assert_eq!((code, stderr.as_str()), (0, ""), "pxctl {arguments:?}");
        stdout
    }

    async fn refuse(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.pxctl(arguments).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "pxctl {arguments:?}");
        stderr
    }

    async fn inspect(&self) -> Value {
        let text = self
            .succeed(&["-j", "volume", "inspect", &self.volume])
            .await;
        let Value::Array(mut volumes) = serde_json::from_str(&text).unwrap() else {
            panic!("no array: {text}");
        };
        assert_eq!(volumes.len(), 1);
        volumes.remove(0)
    }

    fn create_pod(&self, name: &str, script: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "cpd" },
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "dumps" } }],
                "containers": [{
                    "name": "c", "image": "local/host:1", "command": ["sh", "-c", script],
                    "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
                }],
            },
        });
        self.store.create(&resources::PODS, pod).unwrap();
    }

    async fn until_in_use(&self, wanted: bool) {
        let seen = async {
            while self.portworx.in_use(&self.volume).is_some() != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), seen)
            .await
            .unwrap();
    }

    async fn attach_and_mount(&self) {
        self.succeed(&["host", "attach", &self.volume]).await;
        let made = self.run(&["mkdir", MOUNTPOINT]).await;
        assert_eq!(made, (0, String::new(), String::new()));
        self.succeed(&["host", "mount", &self.volume, "--path", MOUNTPOINT])
            .await;
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_attached_mounted_read_unmounted_and_detached_as_ibm_s_page_does() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let volume = cluster.volume.as_str();
    let before = cluster.inspect().await;
    assert_eq!(before["state"], "detached");
    assert_eq!(before["status"], "up");
    assert_eq!(before["attached_on"], "");
    assert_eq!(before.get("attach_path"), None);
    assert_eq!(before["locator"]["name"], volume);
    assert_eq!(before["spec"]["size"], "10737418240");
    assert_eq!(before["spec"]["ha_level"], "3");
    let id = before["id"].as_str().unwrap();

    let attached = cluster.succeed(&["host", "attach", volume]).await;
    assert_eq!(
        attached,
        format!("Volume successfully attached at: /dev/pxd/pxd{id}\n")
    );
    let made = cluster.run(&["mkdir", MOUNTPOINT]).await;
    assert_eq!(made.0, 0, "{made:?}");
    let mounted = cluster
        .succeed(&["host", "mount", volume, "--path", MOUNTPOINT])
        .await;
    assert_eq!(
        mounted,
        format!("Volume {volume} successfully mounted at {MOUNTPOINT}\n")
    );
    let look = format!(
        "[ ! -L {MOUNTPOINT} ] && mountpoint -q {MOUNTPOINT} && cat {MOUNTPOINT}/store.dump_1"
    );
    let (code, content, _) = cluster.run(&["sh", "-c", &look]).await;
    assert_eq!((code, content.as_str()), (0, "PGDMP"));
    let during = cluster.inspect().await;
    assert_eq!(during["state"], "attached");
    assert_eq!(during["attach_path"], json!([MOUNTPOINT]));
    let status = cluster.succeed(&["status"]).await;
    let on = during["attached_on"].as_str().unwrap();
    assert!(status.contains(&format!("Node ID: {on}\n")), "{status}");
    assert_ne!(on, "node1");

    let unmounted = cluster
        .succeed(&["host", "unmount", "--path", MOUNTPOINT, volume])
        .await;
    assert_eq!(
        unmounted,
        format!("Volume {volume} successfully unmounted at {MOUNTPOINT}\n")
    );
    let (_, left, _) = cluster.run(&["ls", "-A", MOUNTPOINT]).await;
    assert_eq!(left, "");
    let detached = cluster.succeed(&["host", "detach", volume]).await;
    assert_eq!(detached, "Volume successfully detached\n");
    assert_eq!(cluster.inspect().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_out_of_order_is_refused_in_portworx_s_words() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let volume = cluster.volume.as_str();
    let mount = ["host", "mount", "--path", MOUNTPOINT, volume];
    assert_eq!(
        cluster.refuse(&["volume", "inspect", "pvc-none"]).await,
        "volume inspect: Volume pvc-none not found\n"
    );
    assert_eq!(cluster.refuse(&mount).await, "mount: Volume is detached\n");
    assert_eq!(
        cluster.refuse(&["host", "detach", volume]).await,
        "detach: Volume is detached\n"
    );
    cluster.succeed(&["host", "attach", volume]).await;
    // Once more is fine.
    cluster.succeed(&["host", "attach", volume]).await;
    for elsewhere in [
        "/mnt/data",
        "/var/lib/osd/mounts/../../x",
        "/var/lib/osd/mounts/",
    ] {
        let refused = cluster
            .refuse(&["host", "mount", volume, "--path", elsewhere])
            .await;
        assert!(
            refused.ends_with("is not a shared mount between host and PX container\n"),
            "{elsewhere}: {refused}"
        );
    }
    assert_eq!(
        cluster.refuse(&mount).await,
        format!("mount: Mountpath ({MOUNTPOINT}) does not exist\n")
    );
    cluster.run(&["ln", "-s", "/tmp", MOUNTPOINT]).await;
    assert_eq!(
        cluster.refuse(&mount).await,
        format!("mount: Mountpath ({MOUNTPOINT}) does not exist\n")
    );
    cluster.run(&["rm", MOUNTPOINT]).await;
    cluster.run(&["mkdir", MOUNTPOINT]).await;
    cluster.succeed(&mount).await;
    assert!(
        cluster
            .refuse(&["host", "detach", volume])
            .await
            .contains(&format!("is mounted at: {MOUNTPOINT}"))
    );
    let (code, usage, _) = cluster.pxctl(&["host", "mount", volume]).await;
    assert_eq!((code, usage.starts_with("Incorrect Usage:")), (1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_attached_on_another_node_is_out_of_reach() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let volume = cluster.volume.as_str();
    cluster.portworx.attach(volume, ELSEWHERE).unwrap();
    assert_eq!(
        cluster.refuse(&["host", "attach", volume]).await,
        "attach: Non-shared volume is already attached on another node. Non-shared volumes can only be attached on \
         one node at a time.\n"
    );
    for arguments in [
        vec!["host", "detach", volume],
        vec!["host", "mount", volume, "--path", MOUNTPOINT],
    ] {
        let refused = cluster.refuse(&arguments).await;
        assert!(
            refused.ends_with(": Volume is attached on another node\n"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_use_cannot_be_unmounted_until_it_is_not() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    cluster.attach_and_mount().await;
    let unmount = ["host", "unmount", "--path", MOUNTPOINT, &cluster.volume];
    let using = format!(
        "cd {MOUNTPOINT} && touch /dev/shm/inside && while [ -e /dev/shm/inside ]; do sleep 0.05; done"
    );
    let wait = "until [ -e /dev/shm/inside ]; do sleep 0.05; done";
    let using = ["sh", "-c", &using];
    let (ended, ()) = tokio::join!(cluster.run(&using), async {
        cluster.run(&["sh", "-c", wait]).await;
        assert_eq!(cluster.refuse(&unmount).await, "unmount: Volume is busy\n");
        cluster.run(&["rm", "/dev/shm/inside"]).await;
    });
    assert_eq!(ended.0, 0);
    cluster.succeed(&unmount).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_can_make_operations_fail_so_many_times() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    cluster.attach_and_mount().await;
    cluster.portworx.fail(Operation::Unmount, 1);
    cluster.portworx.fail(Operation::Detach, 2);
    let unmount = ["host", "unmount", "--path", MOUNTPOINT, &cluster.volume];
    let detach = ["host", "detach", &cluster.volume];
    assert_eq!(cluster.refuse(&unmount).await, "unmount: Volume is busy\n");
    cluster.succeed(&unmount).await;
    for _ in 0..2 {
        assert_eq!(cluster.refuse(&detach).await, "detach: Volume is busy\n");
    }
    cluster.succeed(&detach).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_volume_is_attached_only_once_the_key_is_known() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let volume = cluster.volume.as_str();
    cluster.portworx.encrypt(volume);
    assert_eq!(cluster.inspect().await["spec"]["encrypted"], true);
    assert_eq!(
        cluster.refuse(&["host", "attach", volume]).await,
        "attach: Not authenticated with the secrets endpoint\n"
    );
    cluster.portworx.give_key();
    let attached = cluster.succeed(&["host", "attach", volume]).await;
    assert!(attached.contains(": /dev/mapper/pxd-enc"), "{attached}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_attaches_its_volume_while_it_runs() {
    for provisioner in [CSI_DRIVER, "kubernetes.io/portworx-volume"] {
        let cluster = Cluster::start(provisioner).await;
        cluster.create_pod("backup", "until [ -e /v/enough ]; do sleep 0.05; done");
        let pod = cluster
            .until(&resources::PODS, |pod| {
                object::name(pod) == "backup" && pod["status"]["phase"] == "Running"
            })
            .await;
        let during = cluster.inspect().await;
        assert_eq!(during["state"], "attached");
        let path = during["attach_path"][0].as_str().unwrap();
        assert!(path.contains(object::uid(&pod)), "{path}");
        assert!(path.contains(&cluster.volume), "{path}");
        let files = cluster.node.volume_directory(&cluster.volume);
        std::fs::write(files.join("enough"), "").unwrap();
        cluster.until_in_use(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_left_attached_elsewhere_keeps_the_next_pod_from_starting() {
    for (provisioner, prefix) in [
        (CSI_DRIVER, "rpc error: code = AlreadyExists desc = "),
        ("kubernetes.io/portworx-volume", ""),
    ] {
        let cluster = Cluster::start(provisioner).await;
        cluster.portworx.attach(&cluster.volume, ELSEWHERE).unwrap();
        cluster.create_pod("backup", "true");
        let event = cluster
            .until(&resources::EVENTS, |event| event["reason"] == "FailedMount")
            .await;
        assert_eq!(
            event["message"],
            format!(
                "MountVolume.SetUp failed for volume {:?} : {prefix}Volume is attached on another node",
                cluster.volume
            )
        );
        cluster.portworx.detach(&cluster.volume).unwrap();
        cluster
            .until(&resources::PODS, |pod| {
                pod["status"]["phase"] == "Succeeded"
            })
            .await;
        cluster.until_in_use(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_mounted_by_hand_outlives_the_portworx_pod() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    cluster.attach_and_mount().await;
    let before = cluster.daemon_pod();
    cluster
        .store
        .delete(
            &resources::PODS,
            NAMESPACE,
            &before,
            &kube_sandbox::store::DeleteOptions::default(),
        )
        .unwrap();
    cluster
        .until(&resources::PODS, |pod| {
            is_daemon_of_node1(pod) && object::name(pod) != before && is_ready(pod)
        })
        .await;
    let dump = format!("{MOUNTPOINT}/store.dump_1");
    assert_eq!(cluster.run(&["cat", &dump]).await.1, "PGDMP");
    let path = cluster.inspect().await["attach_path"].clone();
    assert_eq!(path, json!([MOUNTPOINT]));
    cluster
        .succeed(&["host", "unmount", "--path", MOUNTPOINT, &cluster.volume])
        .await;
    cluster.succeed(&["host", "detach", &cluster.volume]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_portworx_is_down_pxctl_fails_and_the_pod_gets_unready() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    cluster.portworx.set_down("node1", true);
    let refused = cluster.refuse(&["volume", "list"]).await;
    assert!(
        refused.starts_with("PX is not running on this host"),
        "{refused}"
    );
    cluster
        .until(&resources::PODS, |pod| {
            is_daemon_of_node1(pod) && !is_ready(pod)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_are_all_answered() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let calls = (0..8).map(|_| cluster.succeed(&["volume", "list"]));
    for answer in futures::future::join_all(calls).await {
        assert!(answer.contains(&cluster.volume), "{answer}");
        assert!(answer.contains("up - detached"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_pods_have_no_pxctl() {
    let cluster = Cluster::start(CSI_DRIVER).await;
    let api = cluster
        .until(&resources::PODS, |pod| {
            pod["metadata"]["labels"]["name"] == "portworx-api" && is_ready(pod)
        })
        .await;
    let target = Target {
        namespace: NAMESPACE.to_owned(),
        pod: object::name(&api).to_owned(),
        container: "portworx-api".to_owned(),
        is_scheduled: true,
    };
    let request = ExecRequest {
        argv: vec!["/opt/pwx/bin/pxctl".to_owned()],
        ..ExecRequest::default()
    };
    assert!(cluster.node.exec(&target, &request).await.is_err());
    assert!(!Path::new("/opt/pwx/bin/pxctl").exists());
}
