//! Containers and the processes in them, without pods around them.

use std::{path::PathBuf, time::Duration};

use rustix::process::{Pid, Signal, test_kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::{
    container::{Container, ContainerConfig, ContainerOutput, Mount, Output, StartError},
    exec::{self, ExecError, ExecRequest, Process},
    launcher::Launcher,
    programs::Programs,
};

/// Far more than anything here takes; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(20);

struct Host {
    launcher: Launcher,
    programs: Programs,
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("etc")).unwrap();
        std::fs::create_dir_all(directory.path().join("data")).unwrap();
        std::fs::write(
            directory.path().join("etc/passwd"),
            "postgres:x:26:26::/:/bin/sh\n",
        )
        .unwrap();
        Self {
            launcher: Launcher::start().unwrap(),
            programs: Programs::find().unwrap(),
            directory,
        }
    }

    fn config(&self, argv: &[&str]) -> ContainerConfig {
        let mount = |name: &str, target: &str, read_only| Mount {
            source: self.directory.path().join(name),
            target: PathBuf::from(target),
            read_only,
        };
        ContainerConfig {
            in_memory: Vec::new(),
            id: "0".repeat(64),
            state_directory: self.directory.path().to_owned(),
            hostname: "wa-postgres-1".to_owned(),
            user: 26,
            group: 26,
            read_only_root: true,
            mounts: vec![
                mount("etc", "/etc", true),
                mount("data", "/controller", false),
            ],
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            working_directory: PathBuf::from("/"),
        }
    }

    async fn start(&self, argv: &[&str]) -> Result<(Container, ContainerOutput), StartError> {
        let start = Container::start(&self.launcher, &self.programs, self.config(argv));
        tokio::time::timeout(DEADLINE, start).await.unwrap()
    }

    async fn exec(
        &self,
        container: &Container,
        request: &ExecRequest,
    ) -> Result<Process, ExecError> {
        exec::start(&self.launcher, &self.programs, container, request).await
    }

    /// Runs a shell script in the container: exit code, stdout and stderr.
    async fn shell(&self, container: &Container, script: &str) -> (i32, String, String) {
        let run = async {
            let mut process = self.exec(container, &shell(script)).await.unwrap();
            let stdout = text(process.stdout.take().unwrap()).await;
            let stderr = text(process.stderr.take().unwrap()).await;
            (process.wait().await.unwrap(), stdout, stderr)
        };
        let ended = tokio::time::timeout(DEADLINE, run).await;
        ended.unwrap_or_else(|_| panic!("it does not end: {script}"))
    }
}

fn shell(script: &str) -> ExecRequest {
    ExecRequest {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        stdout: true,
        stderr: true,
        ..ExecRequest::default()
    }
}

async fn text(mut output: Output) -> String {
    let mut text = String::new();
    output.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_command_is_process_1_under_its_own_user_and_host_name() {
    let host = Host::new();
    let (container, output) = host
        .start(&["sh", "-c", "echo $$; id -un; hostname; exit 3"])
        .await
        .unwrap();
    assert_eq!(text(output.stdout).await, "1\npostgres\nwa-postgres-1\n");
    assert_eq!(container.wait().await, 3);
}

#[tokio::test]
async fn the_root_is_read_only_and_mounts_are_not() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let (code, _, stderr) = host.shell(&container, "touch /x").await;
    assert_eq!(
        (code, stderr.contains("Read-only file system")),
        (1, true),
        "{stderr}"
    );
    assert_eq!(
        host.shell(&container, "echo kept > /controller/file")
            .await
            .0,
        0
    );
    let kept = std::fs::read_to_string(host.directory.path().join("data/file")).unwrap();
    assert_eq!(kept, "kept\n");
}

#[tokio::test]
async fn an_exec_sees_the_containers_processes_and_reports_its_own_end() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let (code, stdout, stderr) = host
        .shell(
            &container,
            "tr '\\0' ' ' < /proc/1/cmdline; echo err >&2; exit 7",
        )
        .await;
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (7, "sleep 1000 ", "err\n")
    );
    assert_eq!(host.shell(&container, "kill -9 $$").await.0, 137);
}

/// Field by field from `/proc/<pid>/stat`: the number, and those of parent, group and session.
const OWN_NUMBERS: &str = "read -r pid name state parent group session rest </proc/$$/stat; echo $pid $parent $group $session";

#[tokio::test]
async fn process_1_leads_a_group_and_a_session() {
    let host = Host::new();
    let (_container, output) = host.start(&["sh", "-c", OWN_NUMBERS]).await.unwrap();
    assert_eq!(text(output.stdout).await, "1 0 1 1\n");
}

/// Fails the test unless these are the numbers of a process that leads its group and session and has its parent outside.
#[track_caller]
fn expect_leader(numbers: &str) {
    let [pid, parent, group, session] = numbers.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{numbers:?}");
    };
    assert!(pid.parse::<u32>().unwrap() > 1, "{numbers:?}");
    assert_eq!((parent, group, session), ("0", pid, pid));
}

#[tokio::test]
async fn an_exec_leads_a_group_and_a_session_that_exist_inside_on_pipes_and_on_a_terminal() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    expect_leader(&host.shell(&container, OWN_NUMBERS).await.1);

    let request = ExecRequest {
        tty: true,
        stderr: false,
        ..shell(OWN_NUMBERS)
    };
    let mut process = host.exec(&container, &request).await.unwrap();
    expect_leader(&text(process.stdout.take().unwrap()).await);
    assert_eq!(process.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn a_group_that_an_exec_leads_is_killed_with_it_and_no_more() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let (code, stdout, _) = host
        .shell(&container, "sleep 1000 & echo $!; kill -- -$$; sleep 1000")
        .await;
    assert_eq!(code, 143);
    // Nobody reaps it: the container's command does not.
    let zombie = format!(
        "until grep -q ') Z 1 ' /proc/{}/stat; do sleep 0.02; done",
        stdout.trim()
    );
    assert_eq!(host.shell(&container, &zombie).await.0, 0);
}

#[tokio::test]
async fn what_an_exec_leaves_running_goes_to_process_1() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let detach = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
    let (code, left, _) = host.shell(&container, detach).await;
    assert_eq!(code, 0);
    let parent = format!(
        "read -r pid name state parent rest </proc/{}/stat; echo $parent",
        left.trim()
    );
    assert_eq!(host.shell(&container, &parent).await.1, "1\n");
}

#[tokio::test]
async fn standard_input_reaches_the_process_and_ends_when_it_is_closed() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let request = ExecRequest {
        stdin: true,
        ..shell("cat; echo done")
    };
    let mut process = host.exec(&container, &request).await.unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(b"hello\n")
        .await
        .unwrap();
    assert_eq!(text(process.stdout.take().unwrap()).await, "hello\ndone\n");
    assert_eq!(process.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn a_terminal_has_a_size_joins_the_outputs_and_is_the_controlling_one() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    let script = "stty size; read line; stty size; echo $line >&2; echo typed > /dev/tty";
    let request = ExecRequest {
        stdin: true,
        tty: true,
        stderr: false,
        ..shell(script)
    };
    let mut process = host.exec(&container, &request).await.unwrap();
    let mut stdout = process.stdout.take().unwrap();
    let mut first = [0; 5];
    stdout.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"0 0\r\n");
    process.resizer().resize(100, 40);
    process
        .stdin
        .take()
        .unwrap()
        .write_all(b"x\n")
        .await
        .unwrap();
    assert_eq!(text(stdout).await, "x\r\n40 100\r\nx\r\ntyped\r\n");
    assert_eq!(process.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn a_missing_program_is_refused_in_the_words_of_runc() {
    let host = Host::new();
    let (container, _output) = host.start(&["sleep", "1000"]).await.unwrap();
    for (program, message) in [
        (
            "no-such-binary",
            r#"exec: "no-such-binary": executable file not found in $PATH"#,
        ),
        (
            "/no/such",
            r#"exec: "/no/such": stat /no/such: no such file or directory"#,
        ),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
    ] {
        let request = ExecRequest {
            argv: vec![program.to_owned()],
            ..ExecRequest::default()
        };
        let refused = host.exec(&container, &request).await.unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
}

#[tokio::test]
async fn a_container_whose_command_is_missing_does_not_start() {
    let host = Host::new();
    let Err(error) = host.start(&["no-such-binary"]).await else {
        panic!("started");
    };
    assert!(error.to_string().contains("no-such-binary"), "{error}");
}

#[tokio::test]
async fn a_signal_reaches_the_command_and_its_end_kills_every_exec() {
    let host = Host::new();
    let (container, _output) = host
        .start(&[
            "sh",
            "-c",
            "trap 'exit 9' TERM; while :; do sleep 0.02; done",
        ])
        .await
        .unwrap();
    // A process is there only once it has said so.
    let request = shell("echo ready; trap '' TERM; sleep 1000");
    let mut process = host.exec(&container, &request).await.unwrap();
    let mut ready = [0; 6];
    process
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .await
        .unwrap();
    container.signal(Signal::TERM);
    assert_eq!(container.wait().await, 9);
    let code = tokio::time::timeout(DEADLINE, process.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(code, 137);
    assert!(matches!(
        host.exec(&container, &shell("true")).await,
        Err(ExecError::NotRunning)
    ));
}

#[tokio::test]
async fn containers_die_with_the_thread_that_launched_them() {
    let host = Host::new();
    let (container, output) = host
        .start(&["sh", "-c", "trap '' TERM HUP; echo up; sleep 1000"])
        .await
        .unwrap();
    let init: Pid = container.init().unwrap();
    drop(host.launcher);
    assert_eq!(
        tokio::time::timeout(DEADLINE, container.wait())
            .await
            .unwrap(),
        137
    );
    drop(output);
    let gone = async {
        while test_kill_process(init).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("the container outlived its launcher");
}
