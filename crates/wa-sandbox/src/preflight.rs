//! What this machine needs to have before a cluster can run on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use local_postgres::Server;

/// Programs that containers and databases are run with, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("bwrap", "bubblewrap"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
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

/// Checks that everything is there, and returns the PostgreSQL to run: the version that is wanted, or else one that is
/// there.
pub(crate) fn check(postgres_version: Option<u32>) -> Result<Server, Unfit> {
    let own = local_postgres::own_servers();
    let server = choose(postgres_version, local_postgres::servers(), &own);
    let directories = search_path();
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !directories.iter().any(|one| one.join(program).is_file()))
        .copied()
        .collect();
    if server.is_none() {
        missing.push(("postgres", "postgresql"));
    }
    match server {
        Some(server) if missing.is_empty() => try_container().map(|()| server),
        _ => {
            let (programs, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
            packages.dedup();
            Err(Unfit::Missing {
                programs: programs.join(", "),
                packages: packages.join(" "),
            })
        }
    }
}

/// The version that is wanted, or else the newest of this machine's own, or whichever is there.
fn choose(wanted: Option<u32>, servers: Vec<Server>, own: &[Server]) -> Option<Server> {
    let version = servers
        .iter()
        .map(|server| server.major)
        .find(|major| Some(*major) == wanted)
        .or_else(|| own.last().map(|server| server.major))
        .or_else(|| servers.first().map(|server| server.major))?;
    servers.into_iter().find(|server| server.major == version)
}

/// PATH, and where administrators' programs are.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(majors: &[u32]) -> Vec<Server> {
        let server = |major: &u32| Server {
            major: *major,
            directory: PathBuf::from(format!("/postgres/{major}")),
        };
        majors.iter().map(server).collect()
    }

    #[test]
    fn the_version_of_the_release_is_run_where_it_is_there() {
        for (wanted, all, own, expected) in [
            (Some(16), &[15, 16, 18][..], &[15][..], Some(16)),
            (Some(16), &[15], &[15], Some(15)),
            (None, &[14, 15, 16, 18], &[14, 15], Some(15)),
            (None, &[16, 18], &[], Some(16)),
            (Some(16), &[], &[], None),
        ] {
            let chosen = choose(wanted, servers(all), &servers(own));
            let chosen = chosen.map(|server| server.major);
            assert_eq!(chosen, expected, "{wanted:?} of {all:?}, own {own:?}");
        }
    }
}
