//! Containers with few programs, and their files.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;

use super::{Pod, RemoteFile, remote};

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
        }
        let link = directory.path().join(name);
        if !link.exists() {
            symlink(program, link).expect("a link");
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

    /// Puts another program in the place of one.
    pub(crate) fn link(&self, name: &str, program: &str) {
        let path = self.0.path().join(name);
        let _ = std::fs::remove_file(&path);
        symlink(installed(program).expect("installed"), path).expect("a link");
    }

    /// Takes a program away.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.path().join(name)).expect("a program");
    }

    /// Puts a script in the place of a program.
    pub(crate) fn replace(&self, name: &str, script: &str) {
        let path = self.0.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("mine");
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("UTF-8")
        })
        .collect()
}

pub(crate) fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill(bytes.as_mut_slice());
    bytes
}

fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}

/// A source and a destination.
pub(crate) struct Volume {
    pub(crate) directory: TempDir,
    pub(crate) content: Vec<u8>,
}

impl Volume {
    pub(crate) fn with(bytes: usize, seed: u64) -> Self {
        let volume = Self {
            directory: TempDir::new().expect("a directory"),
            content: random_bytes(bytes, seed),
        };
        std::fs::write(volume.source(), &volume.content).expect("a file");
        volume
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.directory.path().join("source file\n")
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.directory.path().join("destination")
    }

    pub(crate) fn remote(&self) -> RemoteFile {
        remote(&self.source())
    }
}
