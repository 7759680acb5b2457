//! Restarts and rollouts as a real kubectl starts and follows them, with pods that take their time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use kube_sandbox::meta::resources;
use kube_sandbox::node::{Image, Pace};
use kube_sandbox::store::Store;
use kube_sandbox::{Cluster, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const IMAGE: &str = "local/host:1";
/// Ends as soon as it is told to.
const COMMAND: [&str; 3] = ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"];
const SLOW: Pace = Pace {
    start: Duration::from_secs(1),
    stop: Duration::from_secs(1),
};

struct Practice {
    cluster: Cluster,
    directory: TempDir,
}

impl Practice {
    /// A cluster where every pod of the label `app=slow` takes its time.
    async fn start() -> Self {
        let store = Store::new();
        for name in ["default", "cpd"] {
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            store.create(&resources::NAMESPACES, namespace).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(Config {
            name: "practice".to_owned(),
            namespace: "cpd".to_owned(),
            directory: directory.path().join("cluster"),
            port: None,
            store,
            driver: None,
        })
        .await
        .unwrap();
        cluster.node().add_images([Image::of_this_machine(IMAGE)]);
        cluster.node().set_pace(&[("app", "slow")], SLOW);
        Self { cluster, directory }
    }

    /// Creates a workload of two pods of the label `app=slow`.
    fn create(&self, kind: &str) {
        let mut workload = json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "slow", "namespace": "cpd" },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": { "app": "slow" } },
                "template": {
                    "metadata": { "labels": { "app": "slow" } },
                    "spec": {
                        "containers": [{ "name": "c", "image": IMAGE, "command": COMMAND }],
                        "terminationGracePeriodSeconds": 600,
                    },
                },
            },
        });
        let kinds = self.cluster.store().kinds();
        let resource = kinds.find_kind("apps/v1", kind).unwrap();
        if kind == "StatefulSet" {
            workload["spec"]["serviceName"] = "slow".into();
        }
        self.cluster.store().create(resource, workload).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("KUBECTL").unwrap_or("kubectl".into()));
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", self.directory.path())
            .args(arguments)
            .kill_on_drop(true);
        command
    }

    /// What kubectl prints; it must succeed.
    async fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn follow(&self, what: &str) -> Child {
        self.command(&["rollout", "status", what, "--timeout=60s"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn pods(&self) -> Vec<Value> {
        let pods = self.cluster.store().list(&resources::PODS, Some("cpd"));
        pods.items.iter().map(|pod| (**pod).clone()).collect()
    }
}

async fn said(following: Child) -> String {
    let output = following.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn a_stateful_set_restarts_one_pod_after_the_other() {
    let practice = Practice::start().await;
    practice.create("StatefulSet");
    let said_first = said(practice.follow("sts/slow")).await;
    assert!(
        said_first.contains("Waiting for 2 pods to be ready"),
        "{said_first}"
    );
    let table = practice
        .kubectl(&["get", "sts", "slow", "--no-headers"])
        .await;
    assert!(table.starts_with("slow   2/2"), "{table}");
    let before = practice.pods();

    let restarted = practice.kubectl(&["rollout", "restart", "sts/slow"]).await;
    assert_eq!(restarted.trim(), "statefulset.apps/slow restarted");
    let said = said(practice.follow("sts/slow")).await;
    assert!(
        said.contains("roll out complete: 2 new pods have been updated"),
        "{said}"
    );
    let after = practice.pods();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before["metadata"]["name"], after["metadata"]["name"]);
        assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    }
    let created = |pod: &Value| {
        pod["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(after.len(), 2);
    // The last pod came first.
    let times: Vec<u64> = after
        .iter()
        .map(|pod| created(pod).parse().unwrap())
        .collect();
    assert!(times[1] < times[0], "{times:?}");
    practice.cluster.stop().await;
}

#[tokio::test]
async fn a_deployment_restarts_and_its_pods_take_their_time_to_go() {
    let practice = Practice::start().await;
    practice.create("Deployment");
    said(practice.follow("deployment/slow")).await;
    let restarted = practice
        .kubectl(&["rollout", "restart", "deployment/slow"])
        .await;
    assert_eq!(restarted.trim(), "deployment.apps/slow restarted");
    let said = said(practice.follow("deployment/slow")).await;
    assert!(
        said.contains("deployment \"slow\" successfully rolled out"),
        "{said}"
    );

    let until_forced = Pace {
        stop: Duration::from_mins(10),
        ..SLOW
    };
    practice
        .cluster
        .node()
        .set_pace(&[("app", "slow")], until_forced);
    practice
        .kubectl(&["scale", "deployment/slow", "--replicas=0"])
        .await;
    practice
        .kubectl(&["rollout", "status", "deployment/slow"])
        .await;
    let ending = practice.kubectl(&["get", "pods", "--no-headers"]).await;
    let terminating = ending.lines().filter(|line| line.contains("Terminating"));
    assert!(terminating.count() >= 2, "{ending}");
    practice
        .kubectl(&[
            "delete",
            "pod",
            "-l",
            "app=slow",
            "--force",
            "--grace-period=0",
        ])
        .await;
    practice
        .kubectl(&[
            "wait",
            "pod",
            "-l",
            "app=slow",
            "--for=delete",
            "--timeout=60s",
        ])
        .await;
    assert_eq!(practice.pods(), Vec::<Value>::new());
    practice.cluster.stop().await;
}

#[tokio::test]
async fn a_stateful_set_is_scaled_by_its_subresource_and_goes_with_its_pods() {
    let practice = Practice::start().await;
    practice
        .cluster
        .node()
        .set_pace(&[("app", "slow")], Pace::default());
    practice.create("StatefulSet");
    said(practice.follow("sts/slow")).await;
    let scaled = practice
        .kubectl(&["scale", "sts/slow", "--replicas=1"])
        .await;
    assert_eq!(scaled.trim(), "statefulset.apps/slow scaled");
    practice
        .kubectl(&["wait", "pod/slow-1", "--for=delete", "--timeout=60s"])
        .await;
    assert_eq!(practice.pods().len(), 1);
    practice.kubectl(&["delete", "sts", "slow"]).await;
    practice
        .kubectl(&["wait", "pod/slow-0", "--for=delete", "--timeout=60s"])
        .await;
    practice.cluster.stop().await;
}
