//! Containers with few programs.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use kube_transfer::file::RemoteFile;
use tempfile::TempDir;

use super::{Pod, target};

/// A directory that is all of a container's `PATH`.
pub(crate) struct Tools(TempDir);

/// Only these programs; `busybox` stands for all of its own. `None`, and a message, when one is not installed.
pub(crate) fn tools(names: &[&str]) -> Option<Tools> {
    let directory = TempDir::new().expect("a directory");
    for name in names {
        let Some(program) = installed(name) else {
            println!("skipped: {name} is not installed");
            return None;
        };
        if *name == "busybox" {
            let applets = std::process::Command::new(&program)
                .args(["--install", "-s"])
                .arg(directory.path())
                .status()
                .expect("busybox runs");
            assert!(applets.success(), "busybox installs its applets");
        } else {
            symlink(program, directory.path().join(name)).expect("a link");
        }
    }
    Some(Tools(directory))
}

impl Tools {
    pub(crate) fn pod(&self) -> Pod {
        let path = self.0.path();
        Pod {
            shell: vec![path.join("sh").to_str().expect("UTF-8").to_owned()],
            path: path.to_str().expect("UTF-8").to_owned(),
            ..Pod::new()
        }
    }

    /// Puts a script in the place of a program.
    pub(crate) fn replace(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mine");
    }
}

pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}

pub(crate) fn remote(path: &Path) -> RemoteFile {
    RemoteFile {
        target: target(),
        path: path.to_str().expect("UTF-8").to_owned(),
    }
}
