//! The directory of one cluster, and who may use it.
//!
//! Whoever runs a cluster holds a lock on a file in it. The kernel lets go of the lock when the process ends, however it
//! ends, so a lock that can be had means that whatever else lies there was left behind.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kube_sandbox::remove_leftovers;
use serde::{Deserialize, Serialize};
use wa_sandbox::world::Profile;

/// What a running cluster tells other commands about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) pid: i32,
    pub(super) profile: Profile,
    /// The major version that runs.
    pub(super) postgres: u32,
    pub(super) seed: String,
    pub(super) instance: String,
    pub(super) namespace: String,
    pub(super) url: String,
    /// The one that was shown to users.
    pub(super) kubeconfig: PathBuf,
    pub(super) started: String,
}

/// The directory of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Home(PathBuf);

/// The right to use the directory; given back when dropped.
pub(super) struct Lock {
    home: Home,
    _file: File,
}

impl Home {
    pub(super) fn at(directory: PathBuf) -> Self {
        Self(std::path::absolute(&directory).unwrap_or(directory))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the cluster itself writes.
    pub(super) fn cluster(&self) -> PathBuf {
        self.0.join("cluster")
    }

    /// What a detached cluster says on its standard error.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Takes the directory over, if no cluster runs in it.
    pub(super) fn try_lock(&self) -> anyhow::Result<Option<Lock>> {
        let cannot = || format!("cannot use the directory {}", self.0.display());
        let path = self.0.join("lock");
        loop {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.0)
                .with_context(cannot)?;
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path);
            let file = file.with_context(cannot)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
            }
            // The cluster that held it may have removed the file on its way out.
            let same = fs::metadata(&path)
                .is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if same {
                return Ok(Some(Lock {
                    home: self.clone(),
                    _file: file,
                }));
            }
        }
    }

    /// Whether a cluster runs here.
    pub(super) fn is_in_use(&self) -> anyhow::Result<bool> {
        // Looking must not create anything.
        Ok(self.0.join("lock").exists() && self.try_lock()?.is_none())
    }

    /// The running cluster; it is still starting when there is no state yet.
    pub(super) fn state(&self) -> anyhow::Result<State> {
        let path = self.state_path();
        let text = fs::read(&path).with_context(|| {
            format!(
                "the cluster in {} is still starting or stopping",
                self.0.display()
            )
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("cannot understand {}", path.display()))
    }

    fn state_path(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// The process of the cluster, known from the moment it has the lock.
    pub(super) fn pid(&self) -> anyhow::Result<i32> {
        let path = self.0.join("pid");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("{} holds no process number", path.display()))
    }
}

impl Lock {
    /// Removes what a cluster that was killed left behind, and notes whose the directory is now.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        self.clear()
            .context("cannot remove what an earlier cluster left behind")?;
        let path = self.home.0.join("pid");
        fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn announce(&self, state: &State) -> anyhow::Result<()> {
        let path = self.home.state_path();
        let partial = path.with_extension("partial");
        fs::write(&partial, serde_json::to_vec_pretty(state)?)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes everything of the cluster, its kubeconfig outside included, but not the lock.
    pub(super) fn clear(&self) -> io::Result<()> {
        if let Ok(state) = self.home.state() {
            remove_kubeconfig(&state.kubeconfig);
        }
        for name in ["state.json", "pid"] {
            ignore_missing(fs::remove_file(self.home.0.join(name)))?;
        }
        remove_leftovers(&self.home.cluster())
    }

    /// Removes the directory as far as it is the cluster's own.
    pub(super) fn end(self) -> io::Result<()> {
        self.clear()?;
        for path in [self.home.log(), self.home.0.join("lock")] {
            ignore_missing(fs::remove_file(path))?;
        }
        // Not empty when something of somebody else's lies there.
        let _ = fs::remove_dir(&self.home.0);
        Ok(())
    }
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// `$XDG_STATE_HOME/wa-sandbox`, usually `~/.local/state/wa-sandbox`.
pub(super) fn default_directory() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("wa-sandbox")
}

/// Copies the cluster's kubeconfig to where the user wants it; a file of somebody else's is not touched.
pub(super) fn copy_kubeconfig(from: &Path, to: &Path) -> anyhow::Result<()> {
    check_kubeconfig(to)?;
    let cannot = || format!("cannot write the kubeconfig {}", to.display());
    ignore_missing(fs::remove_file(to)).with_context(cannot)?;
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    file.and_then(|mut file| file.write_all(&content))
        .with_context(cannot)
}

/// Refuses a path at which there is a kubeconfig that is not a practice cluster's.
pub(super) fn check_kubeconfig(path: &Path) -> anyhow::Result<()> {
    if path.exists() && !is_ours(path) {
        bail!(
            "{} is not a practice cluster's kubeconfig and stays as it is; name another path",
            path.display()
        );
    }
    Ok(())
}

fn remove_kubeconfig(path: &Path) {
    if is_ours(path) {
        // Useless without its cluster, and harmless.
        let _ = fs::remove_file(path);
    }
}

/// Whether a file was written by this program: nobody else writes kubeconfigs as JSON with only our context.
fn is_ours(path: &Path) -> bool {
    let config = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    config.is_some_and(|config| {
        config["current-context"] == "wa-sandbox"
            && config["clusters"]
                .as_array()
                .is_some_and(|list| list.len() == 1)
    })
}
