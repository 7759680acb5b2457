//! A whole cluster, and a kubectl that talks to it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use wa_sandbox::{Config, Sandbox};

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: TempDir,
}

impl World {
    /// A small cluster of the newest release, but for what `adjust` changes.
    pub(crate) async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new(directory.path().join("cluster"));
        adjust(&mut config);
        Self {
            sandbox: Sandbox::start(config).await.unwrap(),
            directory,
        }
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        Command::new("kubectl")
            .env("KUBECONFIG", self.sandbox.kubeconfig())
            .env("HOME", self.directory.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What kubectl prints; it must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What kubectl prints as JSON.
    #[track_caller]
    pub(crate) fn read(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// Creates objects.
    #[track_caller]
    pub(crate) fn create(&self, objects: &Value) {
        let mut kubectl = Command::new("kubectl")
            .env("KUBECONFIG", self.sandbox.kubeconfig())
            .env("HOME", self.directory.path())
            .args(["create", "--validate=false", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = kubectl.stdin.take().unwrap();
        input.write_all(objects.to_string().as_bytes()).unwrap();
        drop(input);
        assert!(
            kubectl.wait().unwrap().success(),
            "kubectl create: {objects}"
        );
    }

    /// Waits until kubectl prints that.
    pub(crate) async fn until(&self, arguments: &[&str], expected: &str) {
        let what = format!("kubectl {arguments:?}: {expected}");
        self.until_true(&what, || self.ask(arguments) == expected)
            .await;
    }

    /// Waits until that is so.
    pub(crate) async fn until_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a pod of the operator is ready.
    pub(crate) async fn operator_is_up(&self) {
        let ready = "jsonpath={.status.readyReplicas}";
        let operator = "deployment/ibm-watson-assistant-operator";
        self.until(&["get", operator, "-n", "cpd-operators", "-o", ready], "1")
            .await;
    }
}
