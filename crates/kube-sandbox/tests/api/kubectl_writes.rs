//! A real kubectl that changes things: create, apply, patch, scale, replace, delete.

use kube_sandbox::meta::resources;
use serde_json::json;

use crate::support::{Cluster, NAMESPACE, config_map, deployment, pod};

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
    cluster
        .kubectl(&["create", "job", "now", "--from=cronjob/backup"])
        .await
        .ok();
    let description = cluster.kubectl(&["describe", "cronjob", "backup"]).await;
    assert!(
        description.ok().contains("0 23 * * *"),
        "{}",
        description.stdout
    );
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
