//! Rules of the API that neither recordings nor kubectl show.

use kube_sandbox::meta::resources;
use kube_sandbox::store::{DeleteOptions, Deletion};
use serde_json::{Value, json};

use crate::support::{Cluster, NAMESPACE, client::Call, config_map, deployment, pod};

const MAPS: &str = "/api/v1/namespaces/cpd/configmaps";

async fn post(cluster: &Cluster, path: &str, object: &Value) -> (u16, Value) {
    let answer = cluster.call(Call::send("POST", path, object)).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn objects_need_a_namespace_that_exists() {
    let cluster = Cluster::start().await;
    let mut map = config_map("cm");
    map["metadata"]["namespace"] = json!("nope");
    let (code, status) = post(&cluster, "/api/v1/namespaces/nope/configmaps", &map).await;
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (404, "namespaces \"nope\" not found")
    );
    let (code, status) = post(&cluster, MAPS, &map).await;
    assert_eq!(code, 400);
    let wanted =
        "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(status["message"], wanted);
}

#[tokio::test]
async fn plain_values_where_structures_belong_are_refused() {
    let cluster = Cluster::start().await;
    let path = "/apis/apps/v1/namespaces/cpd/deployments";
    let broken_places = [
        ("/spec", ".spec"),
        ("/spec/template", ".spec.template"),
        (
            "/spec/template/spec/containers",
            ".spec.template.spec.containers",
        ),
        (
            "/spec/template/spec/containers/0/env",
            ".spec.template.spec.containers.env",
        ),
        ("/metadata/labels", ".metadata.labels"),
    ];
    for (pointer, field) in broken_places {
        for (value, what) in [(json!("x"), "string"), (json!(["x"]), "array")] {
            let mut broken = deployment("web");
            broken["metadata"]["labels"] = json!({});
            *broken.pointer_mut(pointer).unwrap() = value;
            let (code, status) = post(&cluster, path, &broken).await;
            let wanted = format!(
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal {what} into Go \
                 struct field Deployment{field}"
            );
            assert_eq!((code, &status["message"]), (400, &json!(wanted)));
        }
    }
    post(&cluster, path, &deployment("web")).await;
    let one = format!("{path}/web");
    let changed = Call::send("PATCH", &one, &json!({ "spec": "x" }))
        .header("content-type", "application/merge-patch+json");
    assert_eq!(cluster.call(changed).await.status, 400);
    let mut free = pod("free");
    free["metadata"]["labels"] = json!({ "spec": "x", "env": "y" });
    free["spec"]["nodeSelector"] = free["metadata"]["labels"].clone();
    let (code, _) = post(&cluster, "/api/v1/namespaces/cpd/pods", &free).await;
    assert_eq!(code, 201, "names of labels are free");
}

#[tokio::test]
async fn mistakes_in_workloads_are_named() {
    let cluster = Cluster::start().await;
    let mut unlabelled = deployment("web");
    unlabelled["spec"]["template"]["metadata"]["labels"] = json!({ "app": "other" });
    let mut empty = pod("empty");
    empty["spec"]["containers"] = json!([]);
    let mut forever =
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" }, "spec": {} });
    forever["spec"]["template"] =
        json!({ "spec": { "containers": [{ "name": "c", "image": "x" }] } });
    let mut mount = pod("mount");
    mount["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/data" }]);
    let apps = "/apis/apps/v1/namespaces/cpd/deployments";
    let jobs = "/apis/batch/v1/namespaces/cpd/jobs";
    let pods = "/api/v1/namespaces/cpd/pods";
    for (path, object, complaint) in [
        (
            apps,
            unlabelled,
            "Deployment.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`",
        ),
        (
            pods,
            empty,
            "Pod \"empty\" is invalid: spec.containers: Required value",
        ),
        (
            pods,
            mount,
            "Pod \"mount\" is invalid: spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (
            jobs,
            forever,
            "Job.batch \"j\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ),
    ] {
        let (code, status) = post(&cluster, path, &object).await;
        assert_eq!(
            (code, status["message"].as_str().unwrap()),
            (422, complaint)
        );
    }
}

#[tokio::test]
async fn what_must_not_change_does_not() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .create(&resources::DEPLOYMENTS, deployment("web"))
        .unwrap();
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let patch = async |path: &str, patch: Value| {
        let call = Call::send("PATCH", path, &patch)
            .header("Content-Type", "application/merge-patch+json");
        let answer = cluster.call(call).await;
        (
            answer.status,
            answer.json()["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let labels = json!({ "app": "other" });
    let change = json!({ "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels } } } });
    let (code, message) = patch("/apis/apps/v1/namespaces/cpd/deployments/web", change).await;
    assert_eq!(code, 422);
    assert!(message.ends_with("field is immutable"), "{message}");
    let (code, message) = patch(
        "/api/v1/namespaces/cpd/pods/one",
        json!({ "spec": { "hostNetwork": true } }),
    )
    .await;
    assert_eq!(code, 422);
    assert!(
        message.contains("pod updates may not change fields other than"),
        "{message}"
    );
    let (code, _) = patch(
        "/api/v1/namespaces/cpd/pods/one",
        json!({ "status": { "phase": "Running" } }),
    )
    .await;
    assert_eq!(code, 200);
    let one = cluster
        .store
        .get(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    assert_eq!(
        one["status"]["phase"], "Pending",
        "the status changes only through /status"
    );
    let (code, _) = patch(
        "/api/v1/namespaces/cpd/pods/one/status",
        json!({ "status": { "phase": "Running" }, "spec": { "x": 1 } }),
    )
    .await;
    assert_eq!(code, 200);
    let one = cluster
        .store
        .get(&resources::PODS, NAMESPACE, "one")
        .unwrap();
    assert_eq!(
        (&one["status"]["phase"], &one["spec"]["x"]),
        (&json!("Running"), &Value::Null)
    );
}

#[tokio::test]
async fn a_status_can_be_taken_away() {
    let cluster = Cluster::start().await;
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let path = "/api/v1/namespaces/cpd/pods/one/status";
    let removal = Call::send("PATCH", path, &json!({ "status": null }))
        .header("Content-Type", "application/merge-patch+json");
    let answer = cluster.call(removal).await;
    assert_eq!((answer.status, answer.json().get("status")), (200, None));
}

#[tokio::test]
async fn bodies_and_answers_are_negotiated() {
    let cluster = Cluster::start().await;
    let text = Call {
        method: "POST",
        path: MAPS,
        headers: Vec::new(),
        body: Some("hello".into()),
    };
    let answer = cluster
        .call(text.clone().header("Content-Type", "text/plain"))
        .await;
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str().unwrap()),
        (415, "UnsupportedMediaType")
    );
    let answer = cluster.call(text.clone()).await;
    assert_eq!(answer.status, 400);
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {a: '1'}\n";
    let yaml = Call {
        body: Some(yaml.into()),
        ..text
    }
    .header("Content-Type", "application/yaml");
    assert_eq!(cluster.call(yaml).await.status, 201);
    let answer = cluster
        .call(Call::get(MAPS).header("Accept", "text/html"))
        .await;
    assert_eq!(answer.status, 406);
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = cluster
        .call(Call::get(MAPS).header("Accept", partial))
        .await
        .json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(
        (
            &list["items"][0]["metadata"]["name"],
            &list["items"][0]["data"]
        ),
        (&json!("from-yaml"), &Value::Null)
    );
    let strategic = Call::send(
        "PATCH",
        "/apis/assistant.watson.ibm.com/v1/namespaces/cpd/watsonassistants/wa",
        &json!({}),
    )
    .header("Content-Type", "application/strategic-merge-patch+json");
    assert_eq!(
        cluster.call(strategic).await.status,
        415,
        "custom resources know no strategic merge"
    );
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let cluster = Cluster::start().await;
    let mut map = config_map("large");
    map["data"]["a"] = json!("x".repeat(4 * 1024 * 1024));
    let (code, status) = post(&cluster, MAPS, &map).await;
    assert_eq!(
        (code, status["reason"].as_str().unwrap()),
        (413, "RequestEntityTooLarge")
    );
}

#[tokio::test]
async fn verbs_and_paths_that_do_not_exist_are_refused() {
    let cluster = Cluster::start().await;
    for (method, path, code) in [
        ("PUT", MAPS, 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/cpd/pods/x/portforward", 404),
        ("GET", "/api/v1/configmaps/cm", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/metrics", 404),
    ] {
        assert_eq!(
            cluster
                .call(Call {
                    method,
                    path,
                    headers: Vec::new(),
                    body: None
                })
                .await
                .status,
            code,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_custom_kind_is_served_while_its_definition_exists() {
    let cluster = Cluster::start().await;
    let path = "/apis/assistant.watson.ibm.com/v1/namespaces/cpd/temporarypatches";
    assert_eq!(cluster.call(Call::get(path)).await.status, 200);
    let definition = "temporarypatches.assistant.watson.ibm.com";
    cluster
        .store
        .delete(
            &resources::DEFINITIONS,
            "",
            definition,
            &DeleteOptions::default(),
        )
        .unwrap();
    assert_eq!(
        cluster.call(Call::get(path)).await.text,
        "404 page not found\n"
    );
}

#[tokio::test]
async fn only_known_callers_see_more_than_the_version() {
    let cluster = Cluster::start().await;
    let anonymous = |path| Call::get(path).header("Authorization", "Bearer wrong");
    assert_eq!(cluster.call(anonymous("/version")).await.status, 401);
    let impersonated = Call::get(MAPS).header("Impersonate-Group", "system:masters");
    assert_eq!(cluster.call(impersonated).await.status, 500);
    let masters = Call::get(MAPS)
        .header("Impersonate-User", "bob")
        .header("Impersonate-Group", "system:masters");
    assert_eq!(cluster.call(masters).await.status, 200);
    let users: Vec<_> = cluster
        .requests
        .all()
        .into_iter()
        .map(|request| (request.user, request.status))
        .collect();
    assert_eq!(
        users,
        [
            (String::new(), 401),
            (String::new(), 500),
            ("bob".to_owned(), 200)
        ]
    );
}

#[tokio::test]
async fn the_log_holds_whole_uris() {
    let cluster = Cluster::start().await;
    let path = "/api/v1/namespaces/cpd/pods/x/exec?command=sh&command=-c&command=echo%20hi";
    cluster.call(Call::get(path)).await;
    let log = cluster.requests.all();
    assert_eq!(
        (
            log[0].method.as_str(),
            log[0].uri.as_str(),
            log[0].user.as_str()
        ),
        ("GET", path, "admin")
    );
}

#[tokio::test]
async fn deletions_keep_their_preconditions() {
    let cluster = Cluster::start().await;
    let map = cluster
        .store
        .create(&resources::CONFIG_MAPS, config_map("cm"))
        .unwrap();
    let path = format!("{MAPS}/cm");
    let wrong = json!({ "preconditions": { "uid": "another" } });
    let answer = cluster.call(Call::send("DELETE", &path, &wrong)).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("UID in precondition: another"),
        "{}",
        answer.text
    );
    let dry = cluster
        .call(Call {
            method: "DELETE",
            path: &format!("{path}?dryRun=All"),
            headers: Vec::new(),
            body: None,
        })
        .await;
    assert_eq!(dry.status, 200);
    let right = json!({ "preconditions": { "uid": map["metadata"]["uid"] } });
    assert_eq!(
        cluster
            .call(Call::send("DELETE", &path, &right))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let cluster = Cluster::start().await;
    for name in ["one", "two"] {
        cluster.store.create(&resources::PODS, pod(name)).unwrap();
    }
    let path = "/api/v1/namespaces/cpd/pods?labelSelector=app%3Done";
    let answer = cluster
        .call(Call {
            method: "DELETE",
            path,
            headers: Vec::new(),
            body: None,
        })
        .await;
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1);
    let left = cluster.store.list(&resources::PODS, Some(NAMESPACE)).items;
    assert_eq!(left[0]["metadata"]["name"], "two");
    assert!(matches!(
        cluster.store.remove(&resources::PODS, NAMESPACE, "two"),
        Ok(Deletion::Gone(_))
    ));
}

#[tokio::test]
async fn a_namespace_goes_after_everything_in_it() {
    let cluster = Cluster::start().await;
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.store.create(&resources::CONFIG_MAPS, held).unwrap();
    cluster.store.create(&resources::PODS, pod("one")).unwrap();
    let path = "/api/v1/namespaces/cpd";
    let deletion = cluster
        .call(Call {
            method: "DELETE",
            path,
            headers: Vec::new(),
            body: None,
        })
        .await;
    assert_eq!(deletion.json()["status"]["phase"], "Terminating");
    assert!(
        cluster
            .store
            .get(&resources::PODS, NAMESPACE, "one")
            .is_err()
    );
    let (code, status) = post(&cluster, MAPS, &config_map("late")).await;
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("because it is being terminated"),
        "{status}"
    );
    cluster
        .store
        .modify(&resources::CONFIG_MAPS, NAMESPACE, "held", |map| {
            map["metadata"]["finalizers"] = json!([]);
        })
        .unwrap();
    assert_eq!(cluster.call(Call::get(path)).await.status, 404);
}
