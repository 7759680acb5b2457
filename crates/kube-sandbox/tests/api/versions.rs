//! CronJobs and autoscalers in their older versions: other clothes for the same objects.

use kube_sandbox::meta::resources;
use serde_json::{Value, json};

use crate::support::{Cluster, NAMESPACE, client::Call};

const OLDER: &str = "/apis/batch/v1beta1/namespaces/cpd/cronjobs";
const PREFERRED: &str = "/apis/batch/v1/namespaces/cpd/cronjobs";

fn cron_job(version: &str) -> Value {
    json!({
        "apiVersion": format!("batch/{version}"), "kind": "CronJob", "metadata": { "name": "backup", "namespace": NAMESPACE },
        "spec": { "schedule": "0 23 * * *", "jobTemplate": { "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "main", "image": "x:1" }],
        } } } } },
    })
}

#[tokio::test]
async fn what_is_written_in_one_version_is_read_in_each() {
    let cluster = Cluster::start().await;
    let created = cluster
        .call(Call::send("POST", OLDER, &cron_job("v1beta1")))
        .await;
    assert_eq!(created.json()["apiVersion"], "batch/v1beta1");
    let stored = cluster
        .store
        .get(&resources::CRON_JOBS, NAMESPACE, "backup")
        .unwrap();
    assert_eq!(
        (&stored["apiVersion"], &stored["metadata"]["generation"]),
        (&json!("batch/v1"), &json!(1))
    );

    let one = format!("{OLDER}/backup");
    let mut read = cluster.call(Call::get(&one)).await.json();
    read["spec"]["suspend"] = json!(true);
    let written = cluster.call(Call::send("PUT", &one, &read)).await.json();
    assert_eq!(written["apiVersion"], "batch/v1beta1");
    let read = cluster
        .call(Call::get(&format!("{PREFERRED}/backup")))
        .await
        .json();
    assert_eq!(
        (&read["apiVersion"], &read["spec"]["suspend"]),
        (&json!("batch/v1"), &json!(true))
    );

    let list = cluster.call(Call::get(OLDER)).await.json();
    assert_eq!(
        (&list["apiVersion"], list["items"].as_array().unwrap().len()),
        (&json!("batch/v1beta1"), 1)
    );
    let watch = format!("{OLDER}?watch=1&timeoutSeconds=1");
    let events = cluster.call(Call::get(&watch)).await;
    let event: Value = serde_json::from_str(events.text.lines().next().unwrap()).unwrap();
    assert_eq!(event["object"]["apiVersion"], "batch/v1beta1");
    let table = cluster
        .call(
            Call::get(&format!("{OLDER}?includeObject=Object"))
                .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        )
        .await
        .json();
    assert_eq!(
        table["rows"][0]["object"]["apiVersion"],
        json!("batch/v1beta1")
    );

    let mut job = cron_job("v1beta1");
    job["metadata"]["name"] = json!("other");
    let mixed = cluster.call(Call::send("POST", PREFERRED, &job)).await;
    assert_eq!(mixed.status, 400, "the URL and the object must agree");
}

#[tokio::test]
async fn discovery_prefers_the_newer_version_and_has_jobs_only_in_it() {
    let cluster = Cluster::start().await;
    let group = cluster.call(Call::get("/apis/batch")).await.json();
    let versions: Vec<_> = group["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["groupVersion"])
        .collect();
    assert_eq!(versions, ["batch/v1", "batch/v1beta1"]);
    assert_eq!(group["preferredVersion"]["version"], "v1beta1");
    let older = cluster.call(Call::get("/apis/batch/v1beta1")).await.json();
    let names: Vec<_> = older["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| &resource["name"])
        .collect();
    assert_eq!(names, ["cronjobs", "cronjobs/status"]);

    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let groups = cluster
        .call(Call::get("/apis").header("accept", accept))
        .await
        .json();
    let batch = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["metadata"]["name"] == "batch")
        .unwrap();
    assert_eq!(
        (
            &batch["versions"][0]["version"],
            &batch["versions"][1]["version"]
        ),
        (&json!("v1"), &json!("v1beta1"))
    );
}

#[tokio::test]
async fn an_autoscaler_has_its_share_of_cpu_time_where_each_version_has_it() {
    let cluster = Cluster::start().await;
    let path = |version: &str| {
        format!("/apis/autoscaling/{version}/namespaces/cpd/horizontalpodautoscalers")
    };
    let older = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "any", "namespace": NAMESPACE },
        "spec": {
            "maxReplicas": 4, "targetCPUUtilizationPercentage": 60,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "gone" },
        },
    });
    let created = cluster.call(Call::send("POST", &path("v1"), &older)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let one = |version: &str| format!("{}/any", path(version));
    let newer = cluster.call(Call::get(&one("v2"))).await.json();
    let metric = &newer["spec"]["metrics"][0]["resource"];
    assert_eq!(metric["target"]["averageUtilization"], 60);
    assert!(newer["spec"]["targetCPUUtilizationPercentage"].is_null());
    let older = cluster.call(Call::get(&one("v1"))).await.json();
    assert_eq!(older["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(older["spec"]["minReplicas"], 1);
    assert!(older["spec"]["metrics"].is_null(), "{older}");
}
