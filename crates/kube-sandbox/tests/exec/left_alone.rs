//! What a process hears of a client that has gone, or only fallen silent: what it does from containerd.

use std::time::Duration;

use kube_sandbox::faults::Effect;

use crate::cluster::{Cluster, DEADLINE, Received, bytes_of, shell, shell_with_stdin, status_of};

const V5: &str = "v5.channel.k8s.io";

impl Cluster {
    /// Runs a script to its end: what it prints.
    async fn ask(&self, script: &str) -> String {
        let mut exec = self.exec(&shell(script), V5).await.unwrap();
        let received = tokio::time::timeout(DEADLINE, exec.rest()).await.unwrap();
        assert_eq!(
            status_of(&received).unwrap()["status"],
            "Success",
            "{received:?}"
        );
        String::from_utf8(bytes_of(1, &received)).unwrap()
    }

    /// What a process without a client writes to the file that tells of it.
    async fn witness(&self) -> String {
        self.ask("until [ -s /tmp/witness ]; do sleep 0.02; done; cat /tmp/witness")
            .await
    }

    /// Fails the test when a process without a client has written to that file after a while.
    async fn expect_no_witness(&self) {
        let found = self
            .ask("sleep 0.3; cat /tmp/witness 2>/dev/null || :")
            .await;
        assert_eq!(found, "");
    }

    /// Starts a script that first prints a line, and leaves it when that has come.
    async fn start_and_leave(&self, query: &str) {
        let mut exec = self.exec(query, V5).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\n") {
            match exec.receive().await {
                Received::Frame(1, bytes) => said.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        drop(exec);
    }
}

#[tokio::test]
async fn standard_input_ends_and_small_writes_go_on_succeeding() {
    let cluster = Cluster::start().await;
    let script = "echo started; cat > /dev/null; sleep 0.1; n=0; while [ $n -lt 100 ] && echo out && echo err >&2; do n=$((n + 1)); done; \
                  echo $n > /tmp/witness";
    cluster.start_and_leave(&shell_with_stdin(script)).await;
    assert_eq!(cluster.witness().await, "100\n");
}

#[tokio::test]
async fn a_write_into_a_full_pipe_waits_and_nobody_ends_it() {
    let cluster = Cluster::start().await;
    let script = "echo started; cat > /dev/null; head -c 5000000 /dev/zero & echo $! > /tmp/head; wait $!; echo $? > /tmp/witness";
    cluster.start_and_leave(&shell_with_stdin(script)).await;
    // It never sleeps over reading zeros.
    let sleeps = "until [ -s /tmp/head ]; do sleep 0.02; done; read -r pid < /tmp/head; \
                  until grep -q ') S ' /proc/$pid/stat && awk '/^wchar/ { exit $2 < 65536 }' /proc/$pid/io; do sleep 0.02; done; \
                  cat /proc/$pid/comm";
    assert_eq!(cluster.ask(sleeps).await, "head\n");
    cluster.expect_no_witness().await;
}

#[tokio::test]
async fn the_outputs_of_a_process_that_is_left_alone_close_with_its_end() {
    let cluster = Cluster::start().await;
    // What it leaves behind writes until nobody could read any more.
    let script = "echo started; (trap '' PIPE; while echo more; do sleep 0.02; done; echo closed > /tmp/witness) 2>/dev/null & \
                  cat > /dev/null";
    cluster.start_and_leave(&shell_with_stdin(script)).await;
    assert_eq!(cluster.witness().await, "closed\n");
}

#[tokio::test]
async fn an_exec_stays_open_while_a_background_process_has_its_output_open() {
    let cluster = Cluster::start().await;
    let out = cluster.ask("(sleep 0.2; echo late) & echo early").await;
    assert_eq!(out, "early\nlate\n");
}

#[tokio::test]
async fn a_detached_process_survives_exec_and_connection() {
    let cluster = Cluster::start().await;
    let detach = "setsid sh -c 'until [ -e /tmp/go ]; do sleep 0.02; done; read -r pid name state parent rest </proc/$$/stat; \
                  echo $parent > /tmp/witness; exit 0' </dev/null >/tmp/log 2>&1 & echo started";
    cluster.start_and_leave(&shell_with_stdin(detach)).await;
    assert_eq!(cluster.ask("touch /tmp/go").await, "");
    assert_eq!(cluster.witness().await, "1\n");
}

#[tokio::test]
async fn a_terminal_is_not_hung_up_and_its_input_not_ended() {
    let cluster = Cluster::start().await;
    let script =
        "trap 'echo hung up > /tmp/witness' HUP; echo started; read line; echo read > /tmp/witness";
    let query = shell_with_stdin(script).replace("tty=false", "tty=true");
    cluster.start_and_leave(&query).await;
    cluster.expect_no_witness().await;
}

#[tokio::test]
async fn a_silent_line_does_not_end_standard_input_even_when_the_client_has_given_up() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::StallAfter { bytes: 8 });
    let script = "echo started; read line; echo read > /tmp/witness";
    cluster.start_and_leave(&shell_with_stdin(script)).await;
    cluster.expect_no_witness().await;
}

#[tokio::test]
async fn a_stream_that_ends_without_a_status_ends_standard_input() {
    let cluster = Cluster::start().await;
    cluster.break_exec(Effect::CloseWithoutStatus { after_bytes: 8 });
    let script = "echo started; cat > /dev/null; echo ended > /tmp/witness";
    let mut exec = cluster.exec(&shell_with_stdin(script), V5).await.unwrap();
    assert_eq!(
        exec.rest().await.last(),
        Some(&Received::Close(1000, String::new()))
    );
    // The client is still there and keeps its side open.
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), cluster.witness())
            .await
            .unwrap(),
        "ended\n"
    );
}
