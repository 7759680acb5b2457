//! A PostgreSQL for as long as a test runs: in a temporary directory, on a Unix socket only.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) struct Cluster {
    directory: TempDir,
    programs: PathBuf,
    /// PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// The newest that Debian's packages installed, or else the one on the path.
    pub(crate) fn start() -> Self {
        Self::start_with(programs())
    }

    /// One of the versions that there are.
    pub(crate) fn start_with(programs: PathBuf) -> Self {
        // Short, because a socket's path may have 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("pg-archive-")
            .tempdir_in("/tmp")
            .unwrap();
        let user = postgres_user(directory.path());
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let cluster = Self {
            directory,
            programs,
            user,
        };
        cluster.run_as_server(cluster.command("initdb").args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--pgdata=data",
        ]));
        let settings = format!(
            "-c listen_addresses= -c fsync=off -c unix_socket_directories={}",
            cluster.directory.path().display()
        );
        cluster.run_as_server(cluster.command("pg_ctl").args([
            "start",
            "--wait",
            "--silent",
            "--pgdata=data",
            "--log=log",
            "--options",
            &settings,
        ]));
        cluster
    }

    /// A directory for the test's own files.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// One of PostgreSQL's programs, told where the server is.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(self.path())
            .env("PGHOST", self.path())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn sql(&self, statements: &str) -> String {
        run(self
            .command("psql")
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--set=ON_ERROR_STOP=1", "--command", statements]))
    }

    fn run_as_server(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        // The server inherits what pg_ctl has: a pipe would stay open as long as the server runs.
        let output = self.path().join(".output");
        command.stdout(File::create(&output).unwrap());
        command.stderr(File::options().append(true).open(&output).unwrap());
        let status = command.status().unwrap();
        assert!(
            status.success(),
            "{command:?}: {status}\n{}",
            fs::read_to_string(&output).unwrap()
        );
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--mode=immediate", "--silent", "--pgdata=data"]);
        if let Some((uid, gid)) = self.user {
            stop.uid(uid).gid(gid);
        }
        // A panic here would hide why the test failed.
        let _ = stop.status();
    }
}

/// Runs a program that must succeed; returns what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A PostgreSQL of some version on this machine.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) major: u32,
    pub(crate) programs: PathBuf,
}

/// Every version that there is, oldest first: those that Debian's packages installed, and those beside the build.
pub(crate) fn servers() -> Vec<Server> {
    let beside_the_build = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("postgres");
    let mut servers: Vec<_> = [Path::new("/usr/lib/postgresql"), &beside_the_build]
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten())
        .filter_map(|version| {
            let version = version.unwrap();
            let programs = version.path().join("bin");
            let major = version.file_name().to_str()?.parse().ok()?;
            programs
                .join("initdb")
                .exists()
                .then_some(Server { major, programs })
        })
        .collect();
    servers.sort_by_key(|server| server.major);
    servers.dedup_by_key(|server| server.major);
    assert!(!servers.is_empty(), "there is no PostgreSQL");
    servers
}

/// The newest PostgreSQL that Debian's packages installed, or else the one on the path.
pub(crate) fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"))
        .filter(|programs| programs.join("initdb").exists());
    installed
        .max()
        .or_else(|| {
            std::env::split_paths(&std::env::var_os("PATH")?)
                .find(|directory| directory.join("initdb").exists())
        })
        .expect("these tests need PostgreSQL's server and client programs; on Debian: apt install postgresql")
}

/// Whom the server must run as, if this is root.
fn postgres_user(own_file: &Path) -> Option<(u32, u32)> {
    (fs::metadata(own_file).unwrap().uid() == 0).then(|| {
        let id = |flag| {
            run(Command::new("id").args([flag, "postgres"]))
                .trim()
                .parse()
                .unwrap()
        };
        (id("-u"), id("-g"))
    })
}
