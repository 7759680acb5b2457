//! A real kubectl, over each of its protocols.

use std::process::{Output, Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::cluster::{Cluster, DEADLINE};

async fn run(mut command: Command, stdin: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // It may end without reading everything.
    let _ = child.stdin.take().unwrap().write_all(stdin).await;
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    output.expect("kubectl does not end").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn exec_carries_input_output_errors_and_the_exit_code() {
    let cluster = Cluster::start().await;
    for websockets in [true, false] {
        let script = "cat; echo oops >&2; exit 5";
        let command = cluster.kubectl(websockets, &["exec", "-i", "t", "--", "sh", "-c", script]);
        let output = run(command, b"hello\n").await;
        assert_eq!(text(&output.stdout), "hello\n");
        assert_eq!(
            text(&output.stderr),
            "oops\ncommand terminated with exit code 5\n"
        );
        assert_eq!(output.status.code(), Some(5));
    }
}

#[tokio::test]
async fn exec_of_much_output_is_complete() {
    let cluster = Cluster::start().await;
    for websockets in [true, false] {
        let command = cluster.kubectl(
            websockets,
            &["exec", "t", "--", "head", "-c", "20000000", "/dev/zero"],
        );
        let output = run(command, b"").await;
        assert_eq!(
            (output.stdout.len(), output.status.code()),
            (20_000_000, Some(0)),
            "{}",
            text(&output.stderr)
        );
    }
}

#[tokio::test]
async fn exec_on_a_terminal_is_a_terminal() {
    let cluster = Cluster::start().await;
    for websockets in [true, false] {
        let kubectl = "stty cols 91 rows 37; kubectl exec -it t -- sh -c 'test -t 0 && sleep 0.2 && stty size'";
        let mut command = cluster.with_kubeconfig("script", websockets);
        command.args(["-qec", kubectl, "/dev/null"]);
        let output = run(command, b"").await;
        assert!(
            text(&output.stdout).contains("37 91\r\n"),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

#[tokio::test]
async fn a_missing_program_and_a_missing_container_are_reported() {
    let cluster = Cluster::start().await;
    cluster.create_pod(
        "done",
        &serde_json::json!([{"name": "c", "image": "local/host:1", "command": ["true"]}]),
    );
    cluster.wait_for("done", "Succeeded").await;
    for websockets in [true, false] {
        let output = run(
            cluster.kubectl(websockets, &["exec", "t", "--", "no-such-binary"]),
            b"",
        )
        .await;
        let message = "exec: \"no-such-binary\": executable file not found in $PATH";
        assert!(
            text(&output.stderr).contains(message),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(1));
        let output = run(
            cluster.kubectl(websockets, &["exec", "t", "-c", "nope", "--", "true"]),
            b"",
        )
        .await;
        assert!(
            text(&output.stderr).contains("nope"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[tokio::test]
async fn cp_brings_files_there_and_back_unchanged() {
    let cluster = Cluster::start().await;
    for websockets in [true, false] {
        let (local, back) = (cluster.path("local"), cluster.path("back"));
        let content: Vec<u8> = (0..5_000_000_u32)
            .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        std::fs::write(&local, &content).unwrap();
        let (local, back) = (local.to_str().unwrap(), back.to_str().unwrap());
        let there = run(
            cluster.kubectl(websockets, &["cp", local, "t:/tmp/copy"]),
            b"",
        )
        .await;
        assert!(there.status.success(), "{}", text(&there.stderr));
        let again = run(
            cluster.kubectl(websockets, &["cp", "t:/tmp/copy", back]),
            b"",
        )
        .await;
        assert!(again.status.success(), "{}", text(&again.stderr));
        assert!(std::fs::read(back).unwrap() == content, "the copy differs");
    }
}

#[tokio::test]
async fn logs_are_shown_cut_and_followed_until_the_container_ends() {
    let cluster = Cluster::start().await;
    cluster
        .run_pod("talks", "echo one; echo two; sleep 0.3; echo three")
        .await;
    let follow = run(cluster.kubectl(true, &["logs", "-f", "talks"]), b"").await;
    assert_eq!(
        (text(&follow.stdout).as_str(), follow.status.code()),
        ("one\ntwo\nthree\n", Some(0))
    );
    let tail = run(cluster.kubectl(true, &["logs", "--tail=1", "talks"]), b"").await;
    assert_eq!(text(&tail.stdout), "three\n");
    let previous = run(cluster.kubectl(true, &["logs", "-p", "talks"]), b"").await;
    let message = "previous terminated container \"c\" in pod \"talks\" not found";
    assert!(
        text(&previous.stderr).contains(message),
        "{}",
        text(&previous.stderr)
    );
    let wrong = run(cluster.kubectl(true, &["logs", "talks", "-c", "nope"]), b"").await;
    assert!(
        text(&wrong.stderr).contains("container nope is not valid for pod talks"),
        "{}",
        text(&wrong.stderr)
    );
}

#[tokio::test]
async fn run_with_arguments_alone_runs_them() {
    let cluster = Cluster::start().await;
    let image = "--image=local/host:1";
    let arguments = ["run", "x", image, "--restart=Never", "--", "echo", "hi"];
    let created = run(cluster.kubectl(true, &arguments), b"").await;
    assert!(created.status.success(), "{}", text(&created.stderr));
    cluster.wait_for("x", "Succeeded").await;
    let log = run(cluster.kubectl(true, &["logs", "x"]), b"").await;
    assert_eq!(text(&log.stdout), "hi\n");
}

#[tokio::test]
async fn describe_shows_what_the_node_has() {
    let cluster = Cluster::start().await;
    let node = run(cluster.kubectl(true, &["describe", "node", "node1"]), b"").await;
    let node = text(&node.stdout);
    for part in ["Capacity:", "Allocatable:", "cpu ", "0 (0%)"] {
        assert!(node.contains(part), "no {part} in {node}");
    }
}
