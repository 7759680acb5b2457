//! An API server with nothing behind it: no node and no controllers.

pub(crate) mod client;

use std::time::Duration;

use axum::Router;
use kube_sandbox::api::{
    Api, RequestLog, Server,
    kubeconfig::{self, Context},
    users::{Rule, User, Users},
};
use kube_sandbox::faults::Faults;
use kube_sandbox::meta::{Kinds, Resource, resources};
use kube_sandbox::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The namespace of the tests.
pub(crate) const NAMESPACE: &str = "cpd";

/// The custom resources that the traffic was recorded with, in its order.
pub(crate) static CUSTOM: &[Resource] = &[
    custom(
        (
            "watsonassistantclutrainings",
            "watsonassistantclutraining",
            "WatsonAssistantCluTraining",
        ),
        &[],
    ),
    custom(
        ("temporarypatches", "temporarypatch", "TemporaryPatch"),
        &[],
    ),
    custom(
        ("watsonassistants", "watsonassistant", "WatsonAssistant"),
        &["wa"],
    ),
    custom(
        (
            "watsonassistantstores",
            "watsonassistantstore",
            "WatsonAssistantStore",
        ),
        &[],
    ),
    custom(
        (
            "watsonassistantclus",
            "watsonassistantclu",
            "WatsonAssistantClu",
        ),
        &[],
    ),
    custom(
        (
            "watsonassistantcluruntimes",
            "watsonassistantcluruntime",
            "WatsonAssistantCluRuntime",
        ),
        &[],
    ),
];

const fn custom(
    names: (&'static str, &'static str, &'static str),
    short_names: &'static [&'static str],
) -> Resource {
    Resource {
        categories: &["waall"],
        ..Resource::custom("assistant.watson.ibm.com", "v1", names, short_names)
    }
}

/// A running API server.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    pub(crate) server: Server,
    directory: TempDir,
}

impl Cluster {
    /// Starts one without a snapshot controller, with the namespaces `default` and `cpd`, the administrator `admin`, and `auditor`, who may only read
    /// pods in `cpd`.
    pub(crate) async fn start() -> Self {
        let store = Store::with_kinds(Kinds::with(CUSTOM.iter()));
        for namespace in ["default", NAMESPACE] {
            let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            store.create(&resources::NAMESPACES, object).unwrap();
        }
        for resource in CUSTOM {
            store
                .create(&resources::DEFINITIONS, resource.definition())
                .unwrap();
        }
        let faults = Faults::default();
        let requests = RequestLog::default();
        let api = Api {
            store: store.clone(),
            faults: faults.clone(),
            users: Users::new(users(), faults.clone(), store.clone()),
            requests: requests.clone(),
            streams: Router::new(),
        };
        let server = Server::start(api, None).await.unwrap();
        let directory = TempDir::new().unwrap();
        for user in users() {
            kubeconfig::write(
                &directory.path().join(&user.name),
                &server,
                &user,
                Context {
                    name: "test",
                    namespace: NAMESPACE,
                },
            )
            .unwrap();
        }
        Self {
            store,
            faults,
            requests,
            server,
            directory,
        }
    }

    /// Runs kubectl as the administrator.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.kubectl_as("admin", arguments).await
    }

    /// Runs kubectl, the one in the environment variable `KUBECTL` or the one on the PATH.
    pub(crate) async fn kubectl_as(&self, user: &str, arguments: &[&str]) -> Ran {
        let output = self
            .command(user, arguments)
            .output()
            .await
            .expect("kubectl is needed for these tests");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            what: arguments.join(" "),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// A kubectl that is not yet started, and that ends with the test.
    pub(crate) fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("KUBECTL").unwrap_or("kubectl".into()));
        command
            .env("KUBECONFIG", self.directory.path().join(user))
            // Its discovery cache, and nothing of the person who runs the tests.
            .env("HOME", self.directory.path())
            .arg("--cache-dir")
            .arg(self.directory.path().join("cache"))
            .args(arguments)
            .kill_on_drop(true);
        command
    }

    /// How many requests have arrived whose URI holds `part`.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.requests
            .all()
            .iter()
            .filter(|request| request.uri.contains(part))
            .count()
    }

    /// Waits until more than `before` have.
    pub(crate) async fn asked_again(&self, part: &str, before: usize) {
        while self.asked(part) <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes a manifest for kubectl.
    pub(crate) fn manifest(&self, objects: &Value) -> String {
        let path = self
            .directory
            .path()
            .join(format!("{}.json", uuid::Uuid::new_v4()));
        std::fs::write(&path, objects.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What a kubectl did.
#[derive(Debug)]
pub(crate) struct Ran {
    what: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output, provided it succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(
            self.code,
            Some(0),
            "kubectl {}: {}{}",
            self.what,
            self.stderr,
            self.stdout
        );
        &self.stdout
    }

    /// Its complaint, provided it failed.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        assert_eq!(
            self.code,
            Some(1),
            "kubectl {}: {}{}",
            self.what,
            self.stderr,
            self.stdout
        );
        &self.stderr
    }
}

/// A pod that runs nowhere.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "x:1" }] },
    })
}

/// A Deployment of two.
pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "x:1", "env": [{ "name": "A", "value": "1" }] }] },
            },
        },
    })
}

/// A ConfigMap with one entry.
pub(crate) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": NAMESPACE }, "data": { "a": "1" } })
}

fn users() -> Vec<User> {
    let words = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let reader = Rule {
        verbs: words(&["get", "list", "watch"]),
        api_groups: words(&[""]),
        resources: words(&["pods"]),
        namespaces: words(&[NAMESPACE]),
        ..Rule::default()
    };
    let auditor = User {
        name: "auditor".into(),
        groups: Vec::new(),
        token: Some("auditors-token".into()),
        rules: vec![reader],
    };
    vec![User::administrator("admin", "admins-token".into()), auditor]
}

/// An object without what differs from one run to the next.
pub(crate) fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(field, value)| {
                let volatile = matches!(
                    field.as_str(),
                    "uid" | "resourceVersion" | "time" | "creationTimestamp" | "deletionTimestamp"
                );
                (
                    field.clone(),
                    if volatile {
                        json!(format!("<{field}>"))
                    } else {
                        redacted(value)
                    },
                )
            })
            .collect(),
        Value::Array(list) => list.iter().map(redacted).collect(),
        other => other.clone(),
    }
}
