//! An API server with nothing behind it: no node, no controllers, no Watson Assistant.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::Router;
use serde_json::{Value, json};
use tempfile::TempDir;
use wa_sandbox::api::users::{Rule, User, Users};
use wa_sandbox::api::{Api, RequestLog, Server, kubeconfig, resources};
use wa_sandbox::faults::Faults;
use wa_sandbox::store::Store;

/// The namespace of the tests.
pub const NAMESPACE: &str = "cpd";

/// A running API server.
pub struct Cluster {
    pub store: Store,
    pub faults: Faults,
    pub requests: RequestLog,
    pub server: Server,
    directory: TempDir,
}

impl Cluster {
    /// Starts one with the namespaces `default` and `cpd`, the administrator `admin`, and `auditor`, who may only read
    /// pods in `cpd`.
    pub async fn start() -> Self {
        let store = Store::new();
        for namespace in ["default", NAMESPACE] {
            let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            store.create(&resources::NAMESPACES, object).unwrap();
        }
        for resource in resources::ALL.iter().filter(|resource| resource.custom) {
            store
                .create(&resources::DEFINITIONS, resource.definition())
                .unwrap();
        }
        let faults = Faults::default();
        let requests = RequestLog::default();
        let api = Api {
            store: store.clone(),
            faults: faults.clone(),
            users: Users::new(users(), faults.clone()),
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
                NAMESPACE,
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

    /// The kubeconfig of a user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.directory.path().join(user)
    }

    /// Scratch space.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A real kubectl, as `admin`.
    pub fn kubectl(&self, program: &Path, arguments: &[&str]) -> Output {
        self.command(program, "admin")
            .args(arguments)
            .output()
            .unwrap()
    }

    /// A kubectl that is not yet started.
    pub fn command(&self, program: &Path, user: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.kubeconfig(user))
            // Its discovery cache, and nothing of the person who runs the tests.
            .env("HOME", self.directory())
            .arg("--cache-dir")
            .arg(self.directory().join("cache"));
        command
    }
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
pub fn redacted(value: &Value) -> Value {
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
