//! Pods from their creation in the store to their removal, with real processes.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Image, LogOptions, Node, NodeConfig};
use crate::{
    api::{Status, resources},
    store::{DeleteOptions, EventType, Object, Store, object},
};

/// Far more than anything here takes; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

struct Cluster {
    store: Store,
    node: Node,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let store = Store::new();
        let directory = tempfile::tempdir().unwrap();
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cpd"}});
        store.create(&resources::NAMESPACES, namespace).unwrap();
        let config = NodeConfig {
            directory: directory.path().join("node"),
            images: vec![Image::of_this_machine("local/host:1")],
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

#[tokio::test]
async fn a_pod_is_scheduled_runs_becomes_ready_and_succeeds() {
    let cluster = Cluster::new();
    cluster.create("p", &once(&shell("echo hello; echo oops >&2; sleep 0.05")));
    let running = cluster.wait_for_phase("p", "Running").await;
    assert_eq!(running["spec"]["nodeName"], "node1");
    assert_eq!(
        running["metadata"]["generation"], 1,
        "being scheduled is no change of what is wanted"
    );
    assert_eq!(condition(&running, "Ready")["status"], "True");
    assert_eq!(running["status"]["containerStatuses"][0]["ready"], true);
    let ended = cluster.wait_for_phase("p", "Succeeded").await;
    let terminated = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["reason"]),
        (&json!(0), &json!("Completed"))
    );
    assert_eq!(condition(&ended, "Ready")["reason"], "PodCompleted");
    let mut lines: Vec<_> = cluster
        .whole_log("p")
        .await
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["hello", "oops"]);
    assert_eq!(
        cluster.reasons("p"),
        ["Scheduled", "Pulled", "Created", "Started"]
    );
}

#[tokio::test]
async fn a_failed_container_fails_the_pod_when_it_is_not_restarted() {
    let cluster = Cluster::new();
    cluster.create("p", &once(&shell("exit 3")));
    let failed = cluster.wait_for_phase("p", "Failed").await;
    assert_eq!(
        failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        3
    );
    assert_eq!(condition(&failed, "Ready")["reason"], "PodFailed");
}

#[tokio::test]
async fn a_container_that_ends_is_started_again_and_its_previous_log_is_kept() {
    let cluster = Cluster::new();
    let mut spec = once(&shell("echo run; exit 1"));
    spec["restartPolicy"] = "Always".into();
    cluster.create("p", &spec);
    let again = cluster
        .wait("p", "restarted", |pod| {
            let status = &pod["status"]["containerStatuses"][0];
            status["restartCount"] == 1 && !status["state"]["terminated"].is_null()
        })
        .await;
    assert_eq!(
        again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        1
    );
    assert_eq!(again["status"]["phase"], "Running");
    assert_eq!(
        cluster.log("p", true, LogOptions::default()).await.unwrap(),
        "run\n"
    );
}

#[tokio::test]
async fn deletion_asks_waits_for_the_grace_period_and_removes_the_pod() {
    let cluster = Cluster::new();
    cluster.create(
        "p",
        &once(&shell(
            "trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done",
        )),
    );
    cluster.wait_for_phase("p", "Running").await;
    let mut events = pin!(cluster.store.watch(&resources::PODS, Some("cpd"), None));
    // The trap is set once the log says so.
    while cluster.whole_log("p").await != "up\n" {
        tokio::task::yield_now().await;
    }
    cluster
        .store
        .delete(&resources::PODS, "cpd", "p", &DeleteOptions::default())
        .unwrap();
    let last = async {
        while let Some(Ok(event)) = events.next().await {
            if event.event == EventType::Deleted {
                return event.object;
            }
        }
        unreachable!("a watch does not end")
    };
    let last = tokio::time::timeout(DEADLINE, last).await.unwrap();
    assert_eq!(last["status"]["phase"], "Failed");
    assert_eq!(
        last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        4
    );
    assert!(cluster.reasons("p").contains(&"Killing".to_owned()));
}

#[tokio::test]
async fn an_unknown_image_keeps_the_pod_pending_and_says_so() {
    let cluster = Cluster::new();
    let container = json!({"name": "c", "image": "registry.invalid/none:1", "command": ["true"]});
    cluster.create("p", &once(&container));
    let state = |reason: &'static str| {
        move |pod: &Value| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
        }
    };
    let pulling = cluster.wait("p", "pulling", state("ErrImagePull")).await;
    assert_eq!(
        pulling["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "failed to pull and unpack image \"registry.invalid/none:1\": failed to resolve image: failed to do request: \
         Head \"https://registry.invalid/v2/none/manifests/1\": dial tcp: lookup registry.invalid on 10.96.0.10:53: no \
         such host"
    );
    let waiting = cluster
        .wait("p", "backing off", state("ImagePullBackOff"))
        .await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    let expected = [
        "Scheduled",
        "Pulling",
        "Failed",
        "Failed",
        "BackOff",
        "Failed",
    ];
    assert_eq!(cluster.reasons("p")[..6], expected);
    let refused = cluster
        .log("p", false, LogOptions::default())
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        r#"container "c" in pod "p" is waiting to start: trying and failing to pull image"#
    );
}

#[tokio::test]
async fn a_pod_waits_for_its_claim_and_then_finds_the_volumes_content() {
    let cluster = Cluster::new();
    let mut spec = once(&json!({
        "name": "c", "image": "local/host:1", "command": ["cat", "/store-backups/dump"],
        "volumeMounts": [{"name": "backups", "mountPath": "/store-backups"}],
    }));
    spec["volumes"] =
        json!([{"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}}]);
    cluster.create("p", &spec);
    let pending = cluster
        .wait("p", "unschedulable", |pod| {
            pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        })
        .await;
    assert_eq!(
        pending["status"]["conditions"][0]["message"],
        r#"0/1 nodes are available: persistentvolumeclaim "backups" not found. not found"#
    );
    let volume = cluster.node.volume_directory("pv-1");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("dump"), "PGDMP").unwrap();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "backups", "namespace": "cpd"},
        "spec": {
            "volumeName": "pv-1", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }, "status": {"phase": "Bound"},
    });
    cluster.store.create(&resources::CLAIMS, claim).unwrap();
    cluster.wait_for_phase("p", "Succeeded").await;
    assert_eq!(cluster.whole_log("p").await, "PGDMP");
}

#[tokio::test]
async fn a_node_selector_that_nothing_matches_is_reported_as_a_scheduler_does() {
    let cluster = Cluster::new();
    let mut spec = once(&shell("true"));
    spec["nodeSelector"] = json!({"no": "where"});
    cluster.create("p", &spec);
    let pending = cluster
        .wait("p", "unschedulable", |pod| {
            pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        })
        .await;
    assert_eq!(
        pending["status"]["conditions"][0]["message"],
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, \
         preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
    assert_eq!(cluster.reasons("p"), ["FailedScheduling"]);
}

#[tokio::test]
async fn environment_and_files_come_from_secrets_config_maps_and_the_pod_itself() {
    let cluster = Cluster::new();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "cpd"},
        "data": {"password": "cCQn"},
    });
    cluster.store.create(&resources::SECRETS, secret).unwrap();
    let mut spec = once(&json!({
        "name": "c", "image": "local/host:1",
        "command": ["sh", "-c", "echo $PASSWORD $NAME $GREETING $(id -u); cat /secret/password; ls -l /secret/password | cut -c1-10"],
        "securityContext": {"runAsUser": 26},
        "env": [
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "GREETING", "value": "hi-$(NAME)"},
        ],
        "volumeMounts": [{"name": "secret", "mountPath": "/secret"}],
    }));
    spec["volumes"] =
        json!([{"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}}]);
    cluster.create("p", &spec);
    cluster.wait_for_phase("p", "Succeeded").await;
    assert_eq!(
        cluster.whole_log("p").await,
        "p$' p hi-p 26\np$'-r--------\n"
    );
}

#[tokio::test]
async fn init_containers_run_first_and_a_pods_deadline_ends_it() {
    let cluster = Cluster::new();
    let mut spec = once(&shell("cat /work/made; exec sleep 1000"));
    let mounts = json!([{"name": "work", "mountPath": "/work"}]);
    spec["containers"][0]["volumeMounts"] = mounts.clone();
    let mut init = shell("echo first > /work/made");
    init["volumeMounts"] = mounts;
    spec["initContainers"] = json!([init]);
    spec["initContainers"][0]["name"] = "init".into();
    spec["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
    spec["activeDeadlineSeconds"] = 1.into();
    cluster.create("p", &spec);
    let failed = cluster.wait_for_phase("p", "Failed").await;
    assert_eq!(failed["status"]["reason"], "DeadlineExceeded");
    assert_eq!(cluster.whole_log("p").await, "first\n");
}

#[tokio::test]
async fn a_readiness_probe_decides_when_a_pod_is_ready() {
    let cluster = Cluster::new();
    let mut container = shell("sleep 0.2; touch /work/ready; exec sleep 1000");
    container["readinessProbe"] = json!({"exec": {"command": ["test", "-e", "/work/ready"]}});
    container["volumeMounts"] = json!([{"name": "work", "mountPath": "/work"}]);
    let mut spec = once(&container);
    spec["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
    cluster.create("p", &spec);
    let running = cluster.wait_for_phase("p", "Running").await;
    assert_eq!(
        condition(&running, "Ready")["message"],
        "containers with unready status: [c]"
    );
    cluster
        .wait("p", "ready", |pod| {
            condition(pod, "Ready")["status"] == "True"
        })
        .await;
}

#[tokio::test]
async fn logs_can_be_cut_by_lines_bytes_and_time_and_followed_to_the_end() {
    let cluster = Cluster::new();
    cluster.create(
        "p",
        &once(&shell(
            "echo one; echo two; printf three; sleep 0.1; echo; echo four",
        )),
    );
    cluster.wait_for_phase("p", "Running").await;
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    assert_eq!(
        cluster.log("p", false, follow).await.unwrap(),
        "one\ntwo\nthree\nfour\n"
    );
    let tail = LogOptions {
        tail_lines: Some(2),
        ..LogOptions::default()
    };
    assert_eq!(
        cluster.log("p", false, tail).await.unwrap(),
        "three\nfour\n"
    );
    let limit = LogOptions {
        limit_bytes: Some(5),
        ..LogOptions::default()
    };
    assert_eq!(cluster.log("p", false, limit).await.unwrap(), "one\nt");
    let future = LogOptions {
        since: Some(jiff::Timestamp::MAX),
        ..LogOptions::default()
    };
    assert_eq!(cluster.log("p", false, future).await.unwrap(), "");
    let times = LogOptions {
        timestamps: true,
        tail_lines: Some(1),
        ..LogOptions::default()
    };
    let stamped = cluster.log("p", false, times).await.unwrap();
    let (time, text) = stamped.split_once(' ').unwrap();
    assert!(
        time.parse::<jiff::Timestamp>().is_ok() && text == "four\n",
        "{stamped}"
    );
    let refused = cluster
        .log("p", true, LogOptions::default())
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        r#"previous terminated container "c" in pod "p" not found"#
    );
}

#[tokio::test]
async fn stopping_the_node_kills_every_container() {
    let cluster = Cluster::new();
    cluster.create("p", &once(&shell("trap '' TERM; exec sleep 1000")));
    cluster.wait_for_phase("p", "Running").await;
    tokio::time::timeout(DEADLINE, cluster.node.stop())
        .await
        .expect("a container goes on");
}

#[tokio::test]
async fn statuses_have_the_fields_and_conditions_of_recorded_ones() {
    let cluster = Cluster::new();
    let mounted = |mut container: Value| {
        container["volumeMounts"] = json!([
            {"name": "work", "mountPath": "/work"}, {"name": "work", "mountPath": "/again", "readOnly": true},
        ]);
        let mut spec = once(&container);
        spec["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
        spec
    };
    cluster.create("runs", &mounted(shell("exec sleep 1000")));
    cluster.create("ends", &mounted(shell("true")));
    let unknown = json!({"name": "c", "image": "registry.invalid/none:1"});
    cluster.create("waits", &mounted(unknown));
    let is_pulling = |pod: &Value| {
        !pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].is_null()
    };

    let running = recording(include_str!(
        "../../tests/fixtures/k8s-wire/pod-running.json"
    ));
    let ended = recording(include_str!("../../tests/fixtures/k8s-wire/job-pods.json"));
    let pulling = recording(include_str!(
        "../../tests/fixtures/k8s-wire/pod-image-pull-fails.json"
    ));
    for (pod, recorded) in [
        (cluster.wait_for_phase("runs", "Running").await, running),
        (cluster.wait_for_phase("ends", "Succeeded").await, ended),
        (cluster.wait("waits", "pulling", is_pulling).await, pulling),
    ] {
        let recorded = recorded["status"].clone();
        let missing: Vec<_> = shape(&recorded)
            .difference(&shape(&pod["status"]))
            .cloned()
            .collect();
        let invented: Vec<_> = shape(&pod["status"])
            .difference(&shape(&recorded))
            .cloned()
            .collect();
        // What cgroups allow the pod; there are none here.
        let missing: Vec<_> = missing
            .iter()
            .filter(|path| !path.starts_with(".resources"))
            .collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "missing {missing:?}, invented {invented:?}"
        );
        assert_eq!(verdicts(&pod["status"]), verdicts(&recorded));
    }
}

/// The first object of a recorded answer.
fn recording(text: &str) -> Value {
    let recording: Value = serde_json::from_str(text).unwrap();
    let body = &recording["response"]["body"];
    body["items"].get(0).unwrap_or(body).clone()
}

/// The path of every field.
fn shape(value: &Value) -> std::collections::BTreeSet<String> {
    let below = |prefix: &str, value: &Value| -> Vec<String> {
        shape(value)
            .iter()
            .map(|path| format!("{prefix}{path}"))
            .collect()
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                let own = format!(".{name}");
                below(&own, value)
                    .into_iter()
                    .chain([own.clone()])
                    .collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| below("[]", item)).collect(),
        _ => std::collections::BTreeSet::new(),
    }
}

/// The conditions in order, without times and messages.
fn verdicts(status: &Value) -> Vec<[&Value; 3]> {
    let conditions = status["conditions"].as_array().unwrap();
    conditions
        .iter()
        .map(|one| [&one["type"], &one["status"], &one["reason"]])
        .collect()
}
