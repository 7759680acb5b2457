//! What this machine needs to have before the Watson Assistant can run on it.

use kube_sandbox::preflight::{self, Program, Unfit};
use local_postgres::Server;

/// What its databases are run and asked with. PostgreSQL is looked for apart: it is not on every PATH.
const PROGRAMS: [Program; 2] = [
    Program {
        name: "etcd",
        package: "etcd-server",
    },
    Program {
        name: "etcdctl",
        package: "etcd-client",
    },
];

/// Checks that everything is there, and returns the PostgreSQL to run: the version that is wanted, or else one that is
/// there.
pub(crate) fn check(postgres_version: Option<u32>) -> Result<Server, Unfit> {
    let own = local_postgres::own_servers();
    let server = choose(postgres_version, local_postgres::servers(), &own);
    let mut missing = preflight::missing(&PROGRAMS);
    let Some(server) = server else {
        missing.push(Program {
            name: "postgres",
            package: "postgresql",
        });
        return Err(Unfit::from_missing(&missing));
    };
    if !missing.is_empty() {
        return Err(Unfit::from_missing(&missing));
    }
    preflight::try_container().map(|()| server)
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
