//! What this machine needs to have before a cluster can run on it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that containers and databases are run with, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 7] = [
    ("bwrap", "bubblewrap"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("initdb", "postgresql"),
    ("postgres", "postgresql"),
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
];

/// Why no cluster can run on this machine as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Programs are missing; all of them are named at once.
    #[error("not installed: {programs}; on Debian: apt-get install {packages}")]
    Missing {
        /// The programs.
        programs: String,
        /// The packages that have them.
        packages: String,
    },
    /// Containers cannot be made.
    #[error(
        "containers cannot be made on this machine: {complaint}; unprivileged user namespaces must be allowed, see the \
         settings kernel.unprivileged_userns_clone, user.max_user_namespaces and \
         kernel.apparmor_restrict_unprivileged_userns of sysctl"
    )]
    NoContainers {
        /// What bubblewrap said.
        complaint: String,
    },
}

/// Checks that everything is there.
pub(crate) fn check() -> Result<(), Unfit> {
    let directories = search_path();
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !directories.iter().any(|one| one.join(program).is_file()))
        .collect();
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        return Err(Unfit::Missing {
            programs: programs.join(", "),
            packages: packages.join(" "),
        });
    }
    try_container()
}

/// PATH, and where Debian keeps PostgreSQL's server programs.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let servers = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    std::env::split_paths(&path)
        .chain(servers)
        .chain([Path::new("/usr/sbin").to_owned()])
        .collect()
}

fn try_container() -> Result<(), Unfit> {
    let complaint = match Command::new("bwrap")
        .args([
            "--unshare-user",
            "--unshare-pid",
            "--uid",
            "26",
            "--gid",
            "26",
            "--ro-bind",
            "/",
            "/",
            "--",
            "true",
        ])
        .output()
    {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Unfit::NoContainers { complaint })
}
