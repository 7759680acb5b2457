//! Pods from their creation in the store to their removal.

use std::pin::pin;

use futures::StreamExt;
use serde_json::{Value, json};

use super::{Cluster, DEADLINE, condition, once, shell};
use crate::meta::resources;
use crate::node::{ExecRequest, LogOptions};
use crate::store::{DeleteOptions, EventType};

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
        r#"0/2 nodes are available: persistentvolumeclaim "backups" not found. not found"#
    );
    let volume = cluster.node.volume_directory("pv-1");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("dump"), "PGDMP").unwrap();
    let pv = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"}});
    cluster.store.create(&resources::VOLUMES, pv).unwrap();
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
async fn an_image_that_may_not_or_cannot_be_pulled_is_not_asked_for() {
    let cluster = Cluster::new();
    for (name, image, policy, reason, message) in [
        (
            "never",
            "gone:1",
            "Never",
            "ErrImageNeverPull",
            r#"Container image "gone:1" is not present with pull policy of Never"#,
        ),
        (
            "invalid",
            "reg/Upper:1",
            "Always",
            "InvalidImageName",
            "Failed to apply default image tag \"reg/Upper:1\": couldn't parse image name \"reg/Upper:1\": invalid \
             reference format: repository name must be lowercase",
        ),
    ] {
        let mut spec = once(&shell("true"));
        spec["containers"][0]["image"] = image.into();
        spec["containers"][0]["imagePullPolicy"] = policy.into();
        cluster.create(name, &spec);
        let waits = |pod: &Value| {
            let state = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            state["reason"] == reason && state["message"] == message
        };
        cluster.wait(name, reason, waits).await;
        assert!(!cluster.reasons(name).contains(&"Pulling".to_owned()));
    }
}

#[tokio::test]
async fn an_image_that_was_forgotten_cannot_be_pulled_again() {
    let cluster = Cluster::new();
    cluster.create("before", &once(&shell("true")));
    cluster.wait_for_phase("before", "Succeeded").await;
    cluster.node.forget_image("local/host:1");
    cluster.create("after", &once(&shell("true")));
    let waits = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"
    };
    cluster.wait("after", "backing off", waits).await;
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
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, \
         preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
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
async fn a_full_log_is_put_aside_and_who_follows_reads_on_in_the_next() {
    let cluster = Cluster::new();
    cluster.node.set_log_file_bytes(2000);
    let script = "echo begun; until [ -e /tmp/go ]; do sleep 0.02; done; seq 100 160; sleep 1000";
    cluster.create("p", &once(&shell(script)));
    cluster.wait_for_phase("p", "Running").await;
    let target = cluster.node.check_target("cpd", "p", None).unwrap();
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let reader = cluster.node.log(&target, false, follow).await;
    let mut reader = reader.unwrap();
    let mut followed = reader.next().await.unwrap().unwrap().to_vec();
    let request = ExecRequest {
        argv: ["touch", "/tmp/go"].map(str::to_owned).to_vec(),
        stdin: false,
        stdout: false,
        stderr: false,
        tty: false,
    };
    let mut touch = cluster.node.exec(&target, &request).await.unwrap();
    assert_eq!(touch.wait().await.unwrap(), 0);
    while !followed.ends_with(b"160\n") {
        let next = tokio::time::timeout(DEADLINE, reader.next()).await;
        followed.extend(next.unwrap().unwrap().unwrap());
    }
    let lines: Vec<String> = (100..=160).map(|number| number.to_string()).collect();
    let whole = format!("begun\n{}\n", lines.join("\n"));
    assert_eq!(String::from_utf8(followed).unwrap(), whole);
    let current = cluster.whole_log("p").await;
    assert!(
        current.len() < whole.len() && whole.ends_with(&current),
        "{current}"
    );
    cluster.node.stop().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_ended_before_the_node_knew_it_is_not_run_and_can_be_deleted() {
    let cluster = Cluster::new();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old", "namespace": "cpd"},
        "spec": once(&shell("echo again")), "status": {"phase": "Succeeded"},
    });
    cluster.store.create(&resources::PODS, pod).unwrap();
    cluster.create("new", &once(&shell("true")));
    cluster.wait_for_phase("new", "Succeeded").await;
    let old = cluster.store.get(&resources::PODS, "cpd", "old").unwrap();
    assert_eq!(old["status"]["phase"], "Succeeded");
    assert_eq!(cluster.reasons("old"), Vec::<String>::new());
    let options = DeleteOptions::default();
    cluster
        .store
        .delete(&resources::PODS, "cpd", "old", &options)
        .unwrap();
    let gone = async {
        while cluster.store.get(&resources::PODS, "cpd", "old").is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.unwrap();
}
