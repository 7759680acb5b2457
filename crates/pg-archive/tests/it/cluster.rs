//! A PostgreSQL for as long as a test runs: in a temporary directory, on a Unix socket only.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use local_postgres::Server;
use tempfile::TempDir;

pub(crate) struct Cluster {
    directory: TempDir,
    programs: PathBuf,
    /// Whom the server runs as, if this is root.
    user: Option<(u32, u32)>,
}

impl Cluster {
    pub(crate) fn start(server: &Server) -> Self {
        // Short, because a socket's path may have 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("pg-archive-")
            .tempdir_in("/tmp")
            .unwrap();
        let cluster = Self {
            user: postgres_user(directory.path()),
            directory,
            programs: server.programs(),
        };
        cluster.run_as_server(cluster.server_command("initdb").args([
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
        cluster.run_as_server(cluster.server_command("pg_ctl").args([
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
        self.with_environment(Command::new(self.programs.join(program)))
    }

    /// One that refuses to run as root. Under root it is given another user's number, and root's rights to files: the
    /// directories above its own may be open to nobody else.
    fn server_command(&self, program: &str) -> Command {
        let Some((uid, gid)) = self.user else {
            return self.command(program);
        };
        let mut command = Command::new("unshare");
        command
            .arg("--user")
            .arg(format!("--map-user={uid}"))
            .arg(format!("--map-group={gid}"))
            .arg(self.programs.join(program));
        self.with_environment(command)
    }

    fn with_environment(&self, mut command: Command) -> Command {
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
        let mut stop = self.server_command("pg_ctl");
        stop.args(["stop", "--mode=immediate", "--silent", "--pgdata=data"]);
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

/// Every version that there is, oldest first. Those that the set-up would bring are named when they are not there.
pub(crate) fn servers() -> Vec<Server> {
    let servers = local_postgres::servers();
    assert!(
        !servers.is_empty(),
        "these tests need PostgreSQL's server and client programs; on Debian: apt install postgresql"
    );
    for wanted in local_postgres::WANTED {
        if !servers.iter().any(|server| server.major == wanted) {
            println!("skipped: PostgreSQL {wanted} is not installed");
        }
    }
    servers
}

/// The newest version that there is.
pub(crate) fn newest() -> Server {
    servers().pop().unwrap()
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
