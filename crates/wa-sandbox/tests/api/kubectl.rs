//! A real kubectl against the API server.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use wa_sandbox::api::resources;

use crate::support::{Cluster, NAMESPACE, config_map, deployment, pod};

#[tokio::test(flavor = "multi_thread")]
async fn discovery_shows_every_kind() {
    let cluster = Cluster::start().await;
    let list = cluster
        .kubectl(&["api-resources", "-o", "name"])
        .await
        .ok()
        .to_owned();
    for name in [
        "pods",
        "deployments.apps",
        "cronjobs.batch",
        "temporarypatches.assistant.watson.ibm.com",
    ] {
        assert!(
            list.lines().any(|line| line == name),
            "{name} is missing:\n{list}"
        );
    }
    assert!(!list.contains("volumesnapshots"));
    assert!(cluster.kubectl(&["version"]).await.ok().contains("v1.36"));
}

#[tokio::test(flavor = "multi_thread")]
async fn get_prints_tables_and_documents() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    cluster
        .store
        .create(&resources::DEPLOYMENTS, deployment("web"))
        .unwrap();

    let table = cluster.kubectl(&["get", "pods"]).await;
    let words: Vec<&str> = table.ok().split_whitespace().collect();
    assert_eq!(
        words[..9],
        [
            "NAME", "READY", "STATUS", "RESTARTS", "AGE", "one", "0/1", "Pending", "0"
        ]
    );
    assert!(
        cluster
            .kubectl(&["get", "deploy", "-o", "wide"])
            .await
            .ok()
            .contains("app=web")
    );
    assert!(
        cluster
            .kubectl(&["get", "all"])
            .await
            .ok()
            .contains("deployment.apps/web")
    );
    assert!(
        cluster
            .kubectl(&["get", "po", "-A"])
            .await
            .ok()
            .contains(NAMESPACE)
    );
    assert_eq!(
        cluster
            .kubectl(&["get", "po", "-l", "app in (one,two),app!=two", "-o", "name"])
            .await
            .ok(),
        "pod/one\n"
    );
    assert_eq!(
        cluster
            .kubectl(&[
                "get",
                "po",
                "--field-selector",
                "status.phase=Running",
                "-o",
                "name"
            ])
            .await
            .ok(),
        ""
    );
    assert_eq!(
        cluster
            .kubectl(&[
                "get",
                "po",
                "one",
                "-o",
                "jsonpath={.spec.containers[0].image}"
            ])
            .await
            .ok(),
        "x:1"
    );
    let yaml = cluster.kubectl(&["get", "po", "one", "-o", "yaml"]).await;
    assert!(
        yaml.ok().contains("terminationGracePeriodSeconds: 30"),
        "{yaml:?}"
    );
    let list: Value = serde_json::from_str(
        cluster
            .kubectl(&["get", "po,deploy", "-o", "json"])
            .await
            .ok(),
    )
    .unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(
        cluster
            .kubectl(&["get", "po", "two"])
            .await
            .error()
            .contains("Error from server (NotFound): pods \"two\" not found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_chunks() {
    let cluster = Cluster::start().await;
    for number in 0..7 {
        cluster
            .store
            .create(
                &resources::CONFIG_MAPS,
                config_map(&format!("map-{number}")),
            )
            .unwrap();
    }
    let names = cluster
        .kubectl(&["get", "cm", "--chunk-size=3", "-o", "name"])
        .await;
    assert_eq!(names.ok().lines().count(), 7);
    assert_eq!(cluster.asked("continue="), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_watch_follows_changes() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let mut kubectl = cluster
        .command("admin", &["get", "pods", "-w"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(kubectl.stdout.take().unwrap()).lines();
    let mut next = async || lines.next_line().await.unwrap().expect("kubectl ended");
    assert!(next().await.starts_with("NAME"));
    assert!(next().await.contains("Pending"));
    cluster
        .store
        .modify(&resources::PODS, NAMESPACE, "one", |pod| {
            pod["status"]["phase"] = json!("Running");
        })
        .unwrap();
    assert!(next().await.contains("Running"));
    kubectl.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_events() {
    let cluster = Cluster::start().await;
    let one = cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "generateName": "one.", "namespace": NAMESPACE },
        "involvedObject": { "kind": "Pod", "namespace": NAMESPACE, "name": "one", "uid": one["metadata"]["uid"] },
        "type": "Warning", "reason": "FailedScheduling", "message": "no node wants it", "count": 1,
        "source": { "component": "default-scheduler" }, "firstTimestamp": one["metadata"]["creationTimestamp"],
        "lastTimestamp": one["metadata"]["creationTimestamp"],
    });
    cluster.store.create(&resources::EVENTS, event).unwrap();
    let described = cluster.kubectl(&["describe", "pod", "one"]).await;
    assert!(described.ok().contains("no node wants it"), "{described:?}");
    assert!(described.ok().contains("FailedScheduling"));
    assert!(
        cluster
            .kubectl(&["get", "events"])
            .await
            .ok()
            .contains("pod/one")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_patch_is_understood() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .create(&resources::DEPLOYMENTS, deployment("web"))
        .unwrap();
    let env = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"B","value":"2"}]}]}}}}"#;
    cluster
        .kubectl(&["patch", "deploy", "web", "-p", env])
        .await
        .ok();
    cluster
        .kubectl(&[
            "patch",
            "deploy",
            "web",
            "--type=merge",
            "-p",
            r#"{"metadata":{"labels":{"m":"1"}}}"#,
        ])
        .await
        .ok();
    let patch = r#"[{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":5}]"#;
    cluster
        .kubectl(&["patch", "deploy", "web", "--type=json", "-p", patch])
        .await
        .ok();
    let again = ["patch", "deploy", "web", "--type=json", "-p", patch];
    assert!(
        !cluster.kubectl(&again).await.error().is_empty(),
        "the test in it fails now"
    );

    let web = cluster
        .store
        .get(&resources::DEPLOYMENTS, NAMESPACE, "web")
        .unwrap();
    let container = &web["spec"]["template"]["spec"]["containers"][0];
    let names: Vec<_> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|env| env["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (container["image"].as_str(), names.len()),
        (Some("x:1"), 2),
        "{names:?}"
    );
    assert_eq!(
        (&web["spec"]["replicas"], &web["metadata"]["labels"]["m"]),
        (&json!(5), &json!("1"))
    );
    assert_eq!(
        web["metadata"]["generation"], 3,
        "the label is no new generation"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_label_annotate_and_replace() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .create(&resources::DEPLOYMENTS, deployment("web"))
        .unwrap();
    cluster
        .kubectl(&[
            "scale",
            "deploy/web",
            "--replicas=0",
            "--current-replicas=2",
        ])
        .await
        .ok();
    cluster
        .kubectl(&["label", "deploy", "web", "tier=front"])
        .await
        .ok();
    cluster
        .kubectl(&["annotate", "deploy", "web", "why=because"])
        .await
        .ok();
    let web = cluster
        .store
        .get(&resources::DEPLOYMENTS, NAMESPACE, "web")
        .unwrap();
    assert_eq!(web["spec"]["replicas"], 0);
    assert_eq!(web["metadata"]["labels"]["tier"], "front");
    assert_eq!(web["metadata"]["annotations"]["why"], "because");

    let mut edited = (*web).clone();
    edited["spec"]["replicas"] = json!(1);
    let manifest = cluster.manifest(&edited);
    cluster.kubectl(&["replace", "-f", &manifest]).await.ok();
    assert!(
        cluster
            .kubectl(&["replace", "-f", &manifest])
            .await
            .error()
            .contains("the object has been modified")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_changes_and_reports_no_change() {
    let cluster = Cluster::start().await;
    let manifest = cluster.manifest(&deployment("web"));
    assert_eq!(
        cluster
            .kubectl(&["apply", "--dry-run=server", "-f", &manifest])
            .await
            .ok(),
        "deployment.apps/web created (server dry run)\n"
    );
    assert_eq!(
        cluster.kubectl(&["apply", "-f", &manifest]).await.ok(),
        "deployment.apps/web created\n"
    );
    assert_eq!(
        cluster.kubectl(&["apply", "-f", &manifest]).await.ok(),
        "deployment.apps/web unchanged\n"
    );
    let mut changed = deployment("web");
    changed["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{ "name": "C", "value": "3" }]);
    let changed = cluster.manifest(&changed);
    assert_eq!(
        cluster.kubectl(&["apply", "-f", &changed]).await.ok(),
        "deployment.apps/web configured\n"
    );
    let web = cluster
        .store
        .get(&resources::DEPLOYMENTS, NAMESPACE, "web")
        .unwrap();
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["env"],
        json!([{ "name": "C", "value": "3" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_knows_who_owns_a_field() {
    let cluster = Cluster::start().await;
    let manifest = cluster.manifest(&config_map("cm"));
    let apply = |manager: &'static str, manifest: String| {
        let cluster = &cluster;
        async move {
            cluster
                .kubectl(&[
                    "apply",
                    "--server-side",
                    "--field-manager",
                    manager,
                    "-f",
                    &manifest,
                ])
                .await
        }
    };
    apply("first", manifest.clone()).await.ok();
    let mut other = config_map("cm");
    other["data"] = json!({ "a": "2" });
    let other = cluster.manifest(&other);
    let conflict = apply("second", other.clone()).await;
    assert!(
        conflict
            .error()
            .contains("conflict with \"first\": .data.a"),
        "{conflict:?}"
    );
    cluster
        .kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager",
            "second",
            "-f",
            &other,
        ])
        .await
        .ok();
    let mut empty = config_map("cm");
    empty["data"] = json!({ "b": "3" });
    apply("second", cluster.manifest(&empty)).await.ok();
    let map = cluster
        .store
        .get(&resources::CONFIG_MAPS, NAMESPACE, "cm")
        .unwrap();
    assert_eq!(
        map["data"],
        json!({ "b": "3" }),
        "what the manager gave up is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_waits_for_finalizers() {
    let cluster = Cluster::start().await;
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.store.create(&resources::CONFIG_MAPS, held).unwrap();
    let waiting = cluster
        .command("admin", &["delete", "cm", "held"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut changes = std::pin::pin!(cluster.store.watch(
        &resources::CONFIG_MAPS,
        Some(NAMESPACE),
        None
    ));
    loop {
        let event = futures::StreamExt::next(&mut changes)
            .await
            .unwrap()
            .unwrap();
        if event.object["metadata"]["deletionTimestamp"].is_string() {
            break;
        }
    }
    cluster
        .kubectl(&[
            "patch",
            "cm",
            "held",
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ])
        .await
        .ok();
    assert!(waiting.wait_with_output().await.unwrap().status.success());
    assert!(
        cluster
            .store
            .get(&resources::CONFIG_MAPS, NAMESPACE, "held")
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_modes_reach_the_store() {
    let cluster = Cluster::start().await;
    for name in ["one", "two"] {
        cluster.store.create(&resources::PODS, pod(name)).unwrap();
        cluster
            .store
            .modify(&resources::PODS, NAMESPACE, name, |pod| {
                pod["spec"]["nodeName"] = json!("node");
            })
            .unwrap();
    }
    cluster
        .kubectl(&["delete", "pod", "one", "--wait=false", "--grace-period=7"])
        .await
        .ok();
    let one = cluster
        .store
        .get(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    assert_eq!(one["metadata"]["deletionGracePeriodSeconds"], 7);
    assert!(
        cluster
            .kubectl(&["get", "pod", "one"])
            .await
            .ok()
            .contains("Terminating")
    );
    cluster
        .kubectl(&["delete", "pod", "two", "--force", "--grace-period=0"])
        .await
        .ok();
    assert!(
        cluster
            .store
            .get(&resources::PODS, NAMESPACE, "two")
            .is_err()
    );

    for (cascade, finalizer) in [("foreground", "foregroundDeletion"), ("orphan", "orphan")] {
        cluster
            .store
            .create(&resources::DEPLOYMENTS, deployment(cascade))
            .unwrap();
        cluster
            .kubectl(&[
                "delete",
                "deploy",
                cascade,
                "--wait=false",
                &format!("--cascade={cascade}"),
            ])
            .await
            .ok();
        let object = cluster
            .store
            .get(&resources::DEPLOYMENTS, NAMESPACE, cascade)
            .unwrap();
        assert_eq!(object["metadata"]["finalizers"], json!([finalizer]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_sees_conditions_and_deletions() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let late = cluster
        .kubectl(&["wait", "pod/one", "--for=condition=Ready", "--timeout=1s"])
        .await;
    assert!(
        late.error().contains("timed out waiting for the condition"),
        "{late:?}"
    );
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    let before = cluster.asked("watch=");
    let waiting = cluster
        .command(
            "admin",
            &["wait", "pod/one", "--for=condition=Ready", "--timeout=20s"],
        )
        .spawn()
        .unwrap();
    cluster.asked_again("watch=", before).await;
    cluster
        .store
        .modify(&resources::PODS, NAMESPACE, "one", |pod| {
            pod["status"]["conditions"] = ready;
        })
        .unwrap();
    assert!(waiting.wait_with_output().await.unwrap().status.success());
    let before = cluster.asked("watch=");
    let waiting = cluster
        .command(
            "admin",
            &["wait", "pod/one", "--for=delete", "--timeout=20s"],
        )
        .spawn()
        .unwrap();
    cluster.asked_again("watch=", before).await;
    cluster
        .store
        .remove(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    assert!(waiting.wait_with_output().await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_made_from_a_cron_job() {
    let cluster = Cluster::start().await;
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "backup", "namespace": NAMESPACE },
        "spec": { "schedule": "0 23 * * *", "jobTemplate": { "spec": { "backoffLimit": 0, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "main", "image": "x:1", "command": ["true"] }],
        } } } } },
    });
    let cron_job = cluster
        .store
        .create(&resources::CRON_JOBS, cron_job)
        .unwrap();
    let made = cluster
        .kubectl(&["create", "job", "now", "--from=cronjob/backup"])
        .await;
    // Before 1.21 kubectl knows CronJobs only as batch/v1beta1, which no server since 1.25 has.
    if made.code == Some(1)
        && made
            .stderr
            .contains("no kind \"CronJob\" is registered for version \"batch/v1\"")
    {
        return;
    }
    made.ok();
    let job = cluster
        .store
        .get(&resources::JOBS, NAMESPACE, "now")
        .unwrap();
    assert_eq!(
        job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"],
        "manual"
    );
    assert_eq!(
        job["metadata"]["ownerReferences"][0]["uid"],
        cron_job["metadata"]["uid"]
    );
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(
        job["spec"]["template"]["spec"]["containers"][0]["command"],
        json!(["true"])
    );
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"]["job-name"],
        "now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_makes_itself_is_understood() {
    let cluster = Cluster::start().await;
    cluster
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "s",
            "--from-literal=password=hunter2",
        ])
        .await
        .ok();
    cluster
        .kubectl(&["create", "configmap", "c", "--from-literal=a=1"])
        .await
        .ok();
    cluster
        .kubectl(&["create", "deployment", "d", "--image=x:1"])
        .await
        .ok();
    cluster.kubectl(&["create", "namespace", "n"]).await.ok();
    let secret = cluster
        .store
        .get(&resources::SECRETS, NAMESPACE, "s")
        .unwrap();
    assert_eq!(
        (&secret["data"]["password"], &secret["type"]),
        (&json!("aHVudGVyMg=="), &json!("Opaque"))
    );
    let deployment = cluster
        .store
        .get(&resources::DEPLOYMENTS, NAMESPACE, "d")
        .unwrap();
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        "x:1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_told_and_kept() {
    let cluster = Cluster::start().await;
    assert_eq!(
        cluster
            .kubectl(&["auth", "can-i", "create", "pods/exec"])
            .await
            .ok(),
        "yes\n"
    );
    assert_eq!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "get", "pods"])
            .await
            .ok(),
        "yes\n"
    );
    assert_eq!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "get", "secrets"])
            .await
            .stdout,
        "no\n"
    );
    assert!(
        cluster
            .kubectl_as("auditor", &["auth", "can-i", "--list"])
            .await
            .ok()
            .contains("[get list watch]")
    );
    assert_eq!(
        cluster
            .kubectl(&["auth", "can-i", "get", "pods", "--as=alice"])
            .await
            .stdout,
        "no\n"
    );
    let refused = cluster.kubectl_as("auditor", &["get", "secrets"]).await;
    assert!(refused.error().contains(
        "Error from server (Forbidden): secrets is forbidden: User \"auditor\" cannot list resource \"secrets\" in API group \"\" \
         in the namespace \"cpd\""
    ));
    let refused = cluster
        .kubectl_as("auditor", &["get", "pods", "--as=admin"])
        .await;
    assert!(
        refused
            .error()
            .contains("cannot impersonate resource \"users\""),
        "{refused:?}"
    );
}
