//! What this machine needs to have before a cluster can run on it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that must be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// Programs that containers are run with.
const PROGRAMS: [Program; 3] = [
    Program {
        name: "bwrap",
        package: "bubblewrap",
    },
    Program {
        name: "nsenter",
        package: "util-linux",
    },
    Program {
        name: "setsid",
        package: "util-linux",
    },
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

impl Unfit {
    /// The error that names every missing program.
    pub fn from_missing(missing: &[Program]) -> Self {
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        let mut packages: Vec<_> = missing.iter().map(|program| program.package).collect();
        packages.dedup();
        Self::Missing {
            programs: names.join(", "),
            packages: packages.join(" "),
        }
    }
}

/// Those programs that are missing, of what every cluster needs and of what runs in this one.
pub fn missing(more: &[Program]) -> Vec<Program> {
    let directories = search_path();
    let is_there = |program: &Program| {
        let mut places = directories.iter();
        places.any(|one| one.join(program.name).is_file())
    };
    let all = PROGRAMS.iter().chain(more);
    all.filter(|program| !is_there(program)).copied().collect()
}

/// Makes a container that does nothing.
pub fn try_container() -> Result<(), Unfit> {
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

/// PATH, and where administrators' programs are.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .collect()
}
