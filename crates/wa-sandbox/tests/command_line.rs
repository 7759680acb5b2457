//! The program `wa-sandbox`, as a user types it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(1);

/// A directory for one cluster; whatever still runs in it at the end is stopped.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wa-sandbox"));
        command.args(arguments).arg("--directory").arg(self.home());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.run(&["status", "-o", "json"]).stdout).unwrap()
    }

    fn pid(&self) -> Pid {
        let pid = self.status()["pid"].as_i64().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what} does not come about");
        std::thread::yield_now();
    }
}

/// Processes of this machine that have the directory in their command line.
fn processes(directory: &Path) -> usize {
    let needle = directory.to_str().unwrap().as_bytes();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.windows(needle.len()).any(|part| part == needle))
        .count()
}

#[test]
fn a_detached_cluster_is_used_reported_and_stopped() {
    let place = Place::new();
    let kubeconfig = place.directory.path().join("kubeconfig");
    let up = place.run(&[
        "up",
        "--detach",
        "--profile",
        "4.8.8",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    let said = text(&up.stdout);
    assert!(
        said.contains("4.8.8")
            && said.contains("export KUBECONFIG=")
            && said.contains("wa-sandbox down"),
        "{said}"
    );
    assert_eq!(
        fs::metadata(&kubeconfig).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let pods = Command::new("kubectl")
        .env("KUBECONFIG", &kubeconfig)
        .args(["get", "pods", "-o", "name"])
        .output()
        .unwrap();
    assert!(
        text(&pods.stdout).contains("pod/wa-postgres-16-1"),
        "{}",
        text(&pods.stderr)
    );
    let status = place.status();
    assert_eq!(
        (&status["running"], &status["profile"]),
        (&Value::Bool(true), &Value::from("4.8.8"))
    );

    let second = place.run(&["up"]);
    assert_eq!(second.status.code(), Some(1));
    let complaint = text(&second.stderr);
    assert!(
        complaint.contains("already runs") && complaint.contains("wa-sandbox down"),
        "{complaint}"
    );

    assert!(place.run(&["down"]).status.success());
    assert!(!place.home().exists() && !kubeconfig.exists());
    assert_eq!(processes(&place.home()), 0);
    assert_eq!(place.run(&["status"]).status.code(), Some(1));
    assert!(!place.home().exists(), "status made a directory");
}

#[test]
fn faults_are_added_listed_and_cleared() {
    let place = Place::new();
    assert!(place.run(&["up", "--detach"]).status.success());
    let fault = r#"{"on":{"resource":"pods"},"times":1,"effect":{"type":"status","code":503}}"#;
    assert!(place.run(&["fault", "add", fault]).status.success());
    let listed: Value = serde_json::from_slice(&place.run(&["fault", "list"]).stdout).unwrap();
    assert_eq!(listed[0]["effect"]["code"], 503);
    let wrong = place.run(&["fault", "add", r#"{"effect":{"type":"explode"}}"#]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("explode"),
        "{}",
        text(&wrong.stderr)
    );
    let retrain = ["fault", "retrain", "stall-after=3", "form=json"];
    assert!(place.run(&retrain).status.success());
    let words = || fs::read_to_string(place.home().join("cluster/store-admin/faults")).unwrap();
    assert_eq!(words(), "stall-after=3\nform=json");
    let wrong = place.run(&["fault", "retrain", "form=xml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(place.run(&["fault", "clear"]).status.success());
    assert_eq!(text(&place.run(&["fault", "list"]).stdout).trim(), "[]");
    assert_eq!(words(), "");
}

#[test]
fn ctrl_c_stops_a_cluster_and_leaves_nothing() {
    let place = Place::new();
    let mut child = place
        .command(&["up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    until("the cluster", || place.home().join("state.json").exists());
    kill_process(place.pid(), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!place.home().exists());
    assert_eq!(processes(&place.home()), 0);
}

#[test]
fn ctrl_c_while_it_starts_leaves_nothing_either() {
    let place = Place::new();
    let mut child = place
        .command(&["up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a process of the cluster", || {
        processes(&place.home().join("cluster")) > 0
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    until("the end of every process", || processes(&place.home()) == 0);
    assert!(!place.home().exists());
}

#[test]
fn a_cluster_that_is_killed_takes_its_processes_along_and_the_next_one_cleans_up() {
    let place = Place::new();
    assert!(place.run(&["up", "--detach"]).status.success());
    kill_process(place.pid(), Signal::KILL).unwrap();
    until("the end of every process", || processes(&place.home()) == 0);
    assert!(
        place.home().join("cluster").exists(),
        "nobody can have removed it yet"
    );
    // What was just being started may hold the lock for a moment.
    until("the cluster to count as ended", || {
        place.status()["running"] == false
    });
    let again = place.run(&["up", "--detach"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for how in [
        &["up", "--port", &port][..],
        &["up", "--detach", "--port", &port],
    ] {
        let refused = place.run(how);
        assert_eq!(refused.status.code(), Some(1));
        let complaint = text(&refused.stderr);
        assert!(
            complaint.contains(&format!("127.0.0.1:{port}")),
            "{complaint}"
        );
        assert!(!place.home().join("cluster").exists());
    }
}

#[test]
fn a_kubeconfig_of_somebody_else_is_not_touched() {
    let place = Place::new();
    let path = place.directory.path().join("config");
    fs::write(
        &path,
        "apiVersion: v1\nkind: Config\ncurrent-context: production\n",
    )
    .unwrap();
    let refused = place.run(&["up", "--kubeconfig", path.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("stays as it is"),
        "{}",
        text(&refused.stderr)
    );
    assert!(fs::read_to_string(&path).unwrap().contains("production"));
}

#[test]
fn missing_programs_are_named_with_their_packages() {
    let place = Place::new();
    let empty = place.directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let refused = place.command(&["up"]).env("PATH", &empty).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let complaint = text(&refused.stderr);
    for word in [
        "bwrap",
        "etcd",
        "apt-get install",
        "bubblewrap",
        "etcd-server",
    ] {
        assert!(complaint.contains(word), "{complaint}");
    }
}

#[test]
fn an_unknown_profile_size_or_storage_names_the_known_ones() {
    let place = Place::new();
    for (arguments, known) in [
        (["up", "--profile", "5.2"], "4.8.8"),
        (["up", "--seed", "huge"], "small, large"),
        (["up", "--storage", "tape"], "ceph, ceph-without-snapshots"),
    ] {
        let refused = place.run(&arguments);
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            text(&refused.stderr).contains(known),
            "{}",
            text(&refused.stderr)
        );
    }
}

/// As root the test becomes nobody in particular; anybody else already is an ordinary user.
#[test]
fn it_runs_as_an_ordinary_user() {
    let place = Place::new();
    let user = 61_234;
    let mut command = place.command(&["up", "--detach"]);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // The program is where only root may look.
        let program = place.directory.path().join("wa-sandbox");
        fs::copy(env!("CARGO_BIN_EXE_wa-sandbox"), &program).unwrap();
        command = Command::new(program);
        command
            .args(["up", "--detach", "--directory"])
            .arg(place.home())
            .uid(user)
            .gid(user)
            .current_dir("/");
        command.env("HOME", place.directory.path());
    }
    let up = command.output().unwrap();
    assert!(up.status.success(), "{}", text(&up.stderr));
    let kubeconfig = place.status()["kubeconfig"].as_str().unwrap().to_owned();
    let id = Command::new("kubectl")
        .args([
            "--kubeconfig",
            &kubeconfig,
            "exec",
            "wa-postgres-16-1",
            "--",
            "sh",
            "-c",
        ])
        .arg("id -u; psql -U postgres -XAtc 'select 1'")
        .output()
        .unwrap();
    assert_eq!(text(&id.stdout), "26\n1\n", "{}", text(&id.stderr));
}
