//! A practice cluster that lives as long as a task.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::process::{self, cargo, target_directory};
use crate::setup;

/// A running practice cluster; dropped, it is stopped and everything of it removed.
pub(crate) struct PracticeCluster {
    sandbox: PathBuf,
    directory: PathBuf,
    programs: PathBuf,
    /// Held while the cluster runs, so that a second task says so instead of taking it over.
    _lock: File,
}

impl PracticeCluster {
    /// Installs what is missing, builds, and starts a small cluster, which a signal will stop.
    pub(crate) fn build_and_start(task: &str) -> anyhow::Result<Self> {
        setup::run()?;
        process::catch_signals()?;
        process::run(&mut cargo(&[
            "build",
            "--package",
            "wa-sandbox",
            "--package",
            "kubectl-wa-backup",
            "--package",
            "kubectl-wa-pvc",
            "--package",
            "kubectl-wa-restore",
            "--package",
            "kubectl-wa-retrain",
        ]))?;
        println!(
            "\nStarting a practice cluster: a Kubernetes API with a real PostgreSQL and a real etcd behind it."
        );
        Self::start(&target_directory().join("debug"), task, &[])
    }

    /// Starts a cluster from the binaries in `binaries` (a cargo profile's directory), with these options of
    /// `wa-sandbox up`.
    pub(crate) fn start(binaries: &Path, task: &str, options: &[&str]) -> anyhow::Result<Self> {
        let home = target_directory().join(task);
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let lock = lock(&home, task)?;
        let cluster = Self {
            sandbox: binaries.join("wa-sandbox"),
            directory: home.join("cluster"),
            programs: home.join("programs"),
            _lock: lock,
        };
        // What a task that was killed left running.
        cluster.down();
        cluster.install(binaries)?;
        process::run(
            Command::new(&cluster.sandbox)
                .args(["up", "--detach"])
                .args(options)
                .arg("--directory")
                .arg(&cluster.directory)
                .arg("--kubeconfig")
                .arg(cluster.kubeconfig())
                .stdout(Stdio::null()),
        )
        .context("cannot start the practice cluster")?;
        Ok(cluster)
    }

    /// The kubeconfig that leads to it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.with_file_name("kubeconfig")
    }

    /// Where the plugins, wa-sandbox and its pgmig are.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// A program that sees the cluster, the plugins and wa-sandbox.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.programs.clone()).chain(std::env::split_paths(&path));
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig());
        if let Ok(paths) = std::env::join_paths(paths) {
            command.env("PATH", paths);
        }
        command
    }

    /// What kubectl prints; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command("kubectl").args(arguments).output()?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `wa-sandbox` with these arguments about it; it must succeed.
    pub(crate) fn sandbox(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(&self.sandbox)
            .args(arguments)
            .arg("--directory")
            .arg(&self.directory)
            .output()?;
        ensure!(
            output.status.success(),
            "wa-sandbox {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Puts the programs on the PATH of [`Self::command`]; each plugin under the names that kubectl looks for when
    /// asked for `wa-backup` and for `wa backup`.
    fn install(&self, binaries: &Path) -> anyhow::Result<()> {
        let _ = fs::remove_dir_all(&self.programs);
        fs::create_dir_all(&self.programs)?;
        for (name, binary) in [
            ("kubectl-wa_backup", "kubectl-wa-backup"),
            ("kubectl-wa-backup", "kubectl-wa-backup"),
            ("kubectl-wa_pvc", "kubectl-wa-pvc"),
            ("kubectl-wa-pvc", "kubectl-wa-pvc"),
            ("kubectl-wa_restore", "kubectl-wa-restore"),
            ("kubectl-wa-restore", "kubectl-wa-restore"),
            ("kubectl-wa_retrain", "kubectl-wa-retrain"),
            ("kubectl-wa-retrain", "kubectl-wa-retrain"),
            ("wa-sandbox", "wa-sandbox"),
            ("pgmig", "pgmig"),
        ] {
            symlink(binaries.join(binary), self.programs.join(name))
                .with_context(|| format!("cannot link {name}"))?;
        }
        Ok(())
    }

    fn down(&self) {
        // Nothing can be done about a failure here; the next `up` names what is in its way.
        let _ = Command::new(&self.sandbox)
            .args(["down", "--directory"])
            .arg(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for PracticeCluster {
    fn drop(&mut self) {
        self.down();
    }
}

fn lock(home: &Path, task: &str) -> anyhow::Result<File> {
    let path = home.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `cargo xtask {task}` is running; wait for it, or stop it with Ctrl-C there"
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
