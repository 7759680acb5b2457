//! A whole cluster, and a kubectl that talks to it.

use std::process::{Command, Output};

use tempfile::TempDir;
use wa_sandbox::{Config, Sandbox};

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
}
