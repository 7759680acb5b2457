//! The API server against traffic recorded from a real one (`fixtures/k8s-wire`): each recorded request is sent again and
//! the answer compared, volatile values aside.
//!
//! Not held, on purpose:
//! - `watch-pods`, `watch-too-old-410`: the recording server had watches with bookmarks disabled and kept all history.
//! - kinds and subresources this cluster does not have, storage version hashes, and the descriptions of columns
//!   (`kubectl explain` aside no client reads them).
//! - the order of JSON fields, and the version's build information.
//! - exec, logs, statuses and events: `streams` and `node` are held to those recordings.

use crate::support::{
    Cluster,
    client::{Answer, Call},
    redacted,
};
use kube_sandbox::meta::resources;
use serde_json::{Value, json};

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/k8s-wire/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Sends a recorded request.
async fn send(cluster: &Cluster, recording: &Value) -> Answer {
    let request = &recording["request"];
    let headers = request["headers"].as_object().into_iter().flatten();
    let headers = headers
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let body = (!request["body"].is_null()).then(|| request["body"].to_string());
    cluster
        .call(Call {
            method: request["method"].as_str().unwrap(),
            path: request["path"].as_str().unwrap(),
            headers,
            body,
        })
        .await
}

/// Sends a recorded request and expects the recorded answer.
async fn replay(cluster: &Cluster, name: &str) -> Value {
    let recording = fixture(name);
    let answer = send(cluster, &recording).await;
    let expected = &recording["response"];
    assert_eq!(
        json!(answer.status),
        expected["status"],
        "{name}: {}",
        answer.text
    );
    for (header, value) in expected["headers"].as_object().into_iter().flatten() {
        assert_eq!(
            answer
                .headers
                .get(header)
                .map(|value| value.to_str().unwrap()),
            value.as_str(),
            "{name}: {header}"
        );
    }
    if expected["body"].is_string() {
        assert_eq!(json!(answer.text), expected["body"], "{name}");
        return Value::Null;
    }
    let body = answer.json();
    assert_eq!(redacted(&body), redacted(&expected["body"]), "{name}");
    body
}

#[tokio::test]
async fn a_config_map_lives_as_recorded() {
    let cluster = Cluster::start().await;
    for name in [
        "create-dryrun",
        "create-201",
        "create-conflict-409",
        "create-invalid-422",
        "update-stale-rv-409",
        "merge-patch",
        "json-patch-test-fail",
        "apply-ssa",
        "apply-ssa-conflict-409",
        "delete-200",
        "delete-404",
    ] {
        replay(&cluster, name).await;
    }
}

#[tokio::test]
async fn a_finalizer_holds_an_object_as_recorded() {
    let cluster = Cluster::start().await;
    for name in [
        "finalizer-create",
        "finalizer-delete-pending-200",
        "finalizer-get-terminating",
        "finalizer-clear",
        "finalizer-gone-404",
    ] {
        replay(&cluster, name).await;
    }
}

#[tokio::test]
async fn refusals_are_as_recorded() {
    let cluster = Cluster::start().await;
    for name in [
        "unauthorized-401",
        "forbidden-403",
        "forbidden-list-403",
        "get-404",
        "list-unknown-resource-404",
        "snapshot-crd-missing-404",
        "list-bad-field-selector-400",
        "list-bad-selector-400",
        "ssar-allowed",
        "ssar-denied",
    ] {
        replay(&cluster, name).await;
    }
}

#[tokio::test]
async fn empty_lists_are_as_recorded() {
    let cluster = Cluster::start().await;
    replay(&cluster, "namespace-missing-list").await;
    replay(&cluster, "list-field-selector").await;
    replay(&cluster, "lease-create").await;
}

#[tokio::test]
async fn a_deployment_is_created_and_scaled_as_recorded() {
    let cluster = Cluster::start().await;
    replay(&cluster, "deployment-create").await;
    replay(&cluster, "scale-get").await;
    replay(&cluster, "scale-patch").await;
}

#[tokio::test]
async fn a_pod_is_created_and_deleted_as_recorded() {
    let cluster = Cluster::start().await;
    let recording = fixture("pod-create");
    let answer = send(&cluster, &recording).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(
        without_token_name(&answer.text),
        without_token_name(&recording["response"]["body"].to_string())
    );

    cluster
        .store
        .modify(&resources::PODS, "cpd", "p-nopull", |pod| {
            pod["spec"]["nodeName"] = json!("node1");
        })
        .unwrap();
    let recording = fixture("pod-delete-graceful");
    let answer = send(&cluster, &recording).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for field in [
        "/kind",
        "/metadata/generation",
        "/metadata/deletionGracePeriodSeconds",
    ] {
        assert_eq!(
            answer.json().pointer(field),
            recording["response"]["body"].pointer(field),
            "{field}"
        );
    }
}

/// The token's volume has a random name.
fn without_token_name(pod: &str) -> Value {
    let mut parts = pod.split("kube-api-access-");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text.push_str("kube-api-access-<random>");
        text.push_str(&part[5..]);
    }
    redacted(&serde_json::from_str(&text).unwrap())
}

/// What people applied (the annotation kubectl leaves) becomes the recorded specification, default values included.
#[tokio::test]
async fn specifications_get_the_recorded_defaults() {
    let cluster = Cluster::start().await;
    for name in [
        "deployment-ready",
        "cronjob",
        "statefulset",
        "pvc-bound",
        "pv-bound",
    ] {
        let recorded = fixture(name)["response"]["body"].take();
        let applied =
            recorded["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
                .as_str();
        let applied: Value = serde_json::from_str(applied.unwrap()).unwrap();
        let resource = cluster.store.kinds().find_kind(
            applied["apiVersion"].as_str().unwrap(),
            applied["kind"].as_str().unwrap(),
        );
        let created = cluster.store.create(resource.unwrap(), applied).unwrap();
        let (mut created, mut expected) = (created["spec"].clone(), recorded["spec"].clone());
        for bound in ["claimRef", "volumeName"] {
            for spec in [&mut created, &mut expected] {
                spec.as_object_mut().unwrap().remove(bound);
            }
        }
        assert_eq!(
            without_empty_env(&created),
            without_empty_env(&expected),
            "{name}"
        );
    }
}

/// Go leaves out empty lists.
fn without_empty_env(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map
                .iter()
                .filter(|(field, value)| *field != "env" || **value != json!([]));
            kept.map(|(field, value)| (field.clone(), without_empty_env(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(without_empty_env).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn a_job_selects_its_pods_as_recorded() {
    let cluster = Cluster::start().await;
    let recorded = fixture("job-complete")["response"]["body"].take();
    let template = fixture("cronjob")["response"]["body"]["spec"]["jobTemplate"]["spec"].take();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "man1", "namespace": "cpd" }, "spec": template,
    });
    let created = cluster.store.create(&resources::JOBS, job).unwrap();
    let with_recorded_uid = created.to_string().replace(
        created["metadata"]["uid"].as_str().unwrap(),
        recorded["metadata"]["uid"].as_str().unwrap(),
    );
    let created: Value = serde_json::from_str(&with_recorded_uid).unwrap();
    assert_eq!(created["spec"], recorded["spec"]);
    assert_eq!(
        created["metadata"]["labels"],
        recorded["metadata"]["labels"]
    );
}

#[tokio::test]
async fn tables_have_the_recorded_columns() {
    let cluster = Cluster::start().await;
    let assistant = json!({
        "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistant",
        "metadata": { "name": "wa", "namespace": "cpd" }, "spec": { "size": "medium", "version": "5.1.0" },
    });
    cluster
        .store
        .create(
            cluster
                .store
                .kinds()
                .find_kind("assistant.watson.ibm.com/v1", "WatsonAssistant")
                .unwrap(),
            assistant,
        )
        .unwrap();
    for name in ["table", "cr-table"] {
        let recording = fixture(name);
        let mut expected = recording["response"]["body"].clone();
        for column in expected["columnDefinitions"].as_array_mut().unwrap() {
            column["description"] = json!("");
        }
        let answer = send(&cluster, &recording).await.json();
        assert_eq!(
            answer["columnDefinitions"], expected["columnDefinitions"],
            "{name}"
        );
        let cells = |table: &Value| {
            table["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["cells"][0].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(cells(&answer), cells(&expected), "{name}");
        let objects = |table: &Value| {
            table["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["object"]["kind"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(objects(&answer), objects(&expected), "{name}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_the_recorded_form_of_token_says() {
    let cluster = Cluster::start().await;
    let recorded = fixture("list-limit-continue")["response"]["body"].take();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?limit=2";
    let first = cluster.call(Call::get(path)).await.json();
    assert_eq!(
        first["metadata"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        recorded["metadata"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>()
    );
    assert_eq!(first["items"].as_array().unwrap().len(), 2);

    let mut names = Vec::new();
    let mut next = Some(String::new());
    while let Some(token) = next {
        let page = cluster
            .call(Call::get(&format!("{path}&continue={token}")))
            .await
            .json();
        names.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()),
        );
        next = page["metadata"]["continue"].as_str().map(str::to_owned);
    }
    let installed = cluster.store.list(&resources::DEFINITIONS, None).items;
    assert_eq!(names.len(), installed.len());
    assert!(names.is_sorted(), "{names:?}");

    let recording = fixture("list-expired-continue-410");
    let answer = cluster
        .call(Call::get(&format!("{path}&continue=bogus")))
        .await;
    assert_eq!(answer.json(), recording["response"]["body"]);
}

#[tokio::test]
async fn discovery_lists_each_kind_as_recorded() {
    let cluster = Cluster::start().await;
    for name in [
        "api-v1-resources",
        "apps-v1-resources",
        "batch-v1-resources",
        "assistant-resources",
    ] {
        let recording = fixture(name);
        let expected = &recording["response"]["body"];
        let answer = send(&cluster, &recording).await.json();
        for field in ["kind", "apiVersion", "groupVersion"] {
            assert_eq!(answer[field], expected[field], "{name}");
        }
        let expected = by_name(&expected["resources"], "name");
        for resource in answer["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            let mut recorded = expected
                .get(name)
                .unwrap_or_else(|| panic!("a real server has no {name}"))
                .clone();
            recorded
                .as_object_mut()
                .unwrap()
                .remove("storageVersionHash");
            assert_eq!(*resource, recorded);
        }
    }
    replay_addresses(&cluster).await;
}

/// The server's own address is the only difference.
async fn replay_addresses(cluster: &Cluster) {
    let recording = fixture("api-versions");
    let mut answer = send(cluster, &recording).await.json();
    let address = answer["serverAddressByClientCIDRs"][0]["serverAddress"].take();
    assert_eq!(address, json!(cluster.server.address().to_string()));
    answer["serverAddressByClientCIDRs"][0]["serverAddress"] =
        recording["response"]["body"]["serverAddressByClientCIDRs"][0]["serverAddress"].clone();
    assert_eq!(answer, recording["response"]["body"]);
}

#[tokio::test]
async fn aggregated_discovery_lists_each_kind_as_recorded() {
    let cluster = Cluster::start().await;
    let recording = fixture("apis-groups");
    let answer = send(&cluster, &recording).await;
    assert_eq!(
        json!(answer.headers["content-type"].to_str().unwrap()),
        recording["response"]["headers"]["Content-Type"]
    );
    let recorded: Vec<&Value> = resources_of(&recording["response"]["body"]);
    let body = answer.json();
    let mut compared = 0;
    for resource in resources_of(&body) {
        let Some(expected) = recorded
            .iter()
            .find(|one| one["resource"] == resource["resource"])
        else {
            continue;
        };
        let expected_subresources = by_name(&expected["subresources"], "subresource");
        for subresource in resource["subresources"].as_array().into_iter().flatten() {
            assert_eq!(
                Some(subresource),
                expected_subresources.get(subresource["subresource"].as_str().unwrap())
            );
        }
        let without = |value: &Value| {
            let mut value = value.clone();
            value.as_object_mut().unwrap().remove("subresources");
            value
        };
        assert_eq!(without(resource), without(expected));
        compared += 1;
    }
    assert!(compared > 10, "only {compared} kinds were compared");
}

fn resources_of(list: &Value) -> Vec<&Value> {
    let groups = list["items"].as_array().unwrap().iter();
    groups
        .flat_map(|group| group["versions"][0]["resources"].as_array().unwrap())
        .collect()
}

fn by_name(list: &Value, field: &str) -> std::collections::HashMap<String, Value> {
    let list = list.as_array().into_iter().flatten();
    list.map(|one| (one[field].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

#[tokio::test]
async fn the_version_has_the_recorded_fields() {
    let cluster = Cluster::start().await;
    let recording = fixture("version");
    let answer = send(&cluster, &recording).await.json();
    let expected = &recording["response"]["body"];
    assert_eq!(
        answer.as_object().unwrap().keys().collect::<Vec<_>>(),
        expected.as_object().unwrap().keys().collect::<Vec<_>>()
    );
    for field in [
        "major",
        "minor",
        "platform",
        "emulationMinor",
        "minCompatibilityMinor",
    ] {
        assert_eq!(answer[field], expected[field]);
    }
}
