//! Whatever happens to a connection, a command or a shell: no process of ours is left to process 1 of the container.
//!
//! Where that is PostgreSQL, it takes the end of a process that it did not start for the crash of one of its own.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use kube_transfer::{
    DownloadError, RemoteCommand, Retries, StreamError, TransferOptions,
    file::{UploadOptions, UploadSource},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::sleep;

use crate::support::{
    ApiServer, Behaviour, Fault, Pod, Subprotocol, Volume, eventually, fetch, impatient,
    job::containers, names, random_bytes, remote, shells, sweep_seed, tools, upload,
};

const FILE_BYTES: usize = 400_000;

/// More than the pipes and sockets between hold, so that a program is stuck in one of them when the line is cut.
fn volume() -> Volume {
    Volume::with(FILE_BYTES, sweep_seed())
}

/// A program without children that prints the volume's file.
fn print(volume: &Volume) -> RemoteCommand {
    RemoteCommand::new("cat").arg(volume.source().display().to_string())
}

fn pods() -> impl Iterator<Item = Pod> {
    shells().into_iter().map(|shell| Pod {
        shell,
        ..Pod::new()
    })
}

#[tokio::test]
async fn nothing_is_left_of_a_command_however_it_ends_by_itself() {
    let volume = volume();
    for pod in pods() {
        let commands = [
            print(&volume),
            RemoteCommand::new("false"),
            RemoteCommand::new("no-such-program"),
            RemoteCommand::new("sh").args(["-c", "kill -9 $$"]),
            RemoteCommand::script("head -c 100000 /dev/zero\nexit 3"),
        ];
        for command in commands {
            let _ = fetch(pod.clone(), &command, &TransferOptions::default()).await;
            pod.node.is_clean().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_left_where_a_tool_is_missing() {
    let everything = ["sh", "tee", "sleep", "sha256sum"];
    for missing in &everything[1..] {
        let rest: Vec<&str> = everything
            .into_iter()
            .filter(|tool| tool != missing)
            .collect();
        let tools = tools(&rest).expect("installed");
        let pod = tools.pod();
        let error = fetch(
            pod.clone(),
            &RemoteCommand::new("true"),
            &TransferOptions::default(),
        )
        .await
        .expect_err("must fail");
        assert!(
            matches!(
                error,
                DownloadError::Stream(StreamError::MissingTool { .. })
            ),
            "{error:?}"
        );
        pod.node.is_clean().await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_download_that_is_cut_anywhere() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    let volume = volume();
    for pod in pods() {
        for attempt in 0..20 {
            let fault = match attempt % 4 {
                0 => Fault::CutScript(random.random_range(0..2500)),
                1 => Fault::Close(random.random_range(0..FILE_BYTES)),
                _ => Fault::Cut(random.random_range(0..FILE_BYTES)),
            };
            let pod = Pod {
                fault,
                ..pod.clone()
            };
            fetch(pod.clone(), &print(&volume), &TransferOptions::default())
                .await
                .expect_err("must fail");
            pod.node.is_clean().await;
        }
    }
}

#[tokio::test]
async fn nothing_is_left_when_the_client_goes_while_the_command_is_silent() {
    for pod in pods() {
        let command = RemoteCommand::new("sleep").arg("1000");
        fetch(pod.clone(), &command, &impatient())
            .await
            .expect_err("must fail");
        pod.node.is_clean().await;
    }
}

/// A shell runs the handler of a signal while the processes of a pipeline are at work.
#[tokio::test]
async fn nothing_is_left_of_a_script_that_the_client_leaves_between_any_two_of_its_programs() {
    const SCRIPT: &str = r#"until [ "$gone" ]; do
    one=$(sleep 0.1 | sleep 0.1)
    sleep 0.05 | :
done"#;
    // Containers whose every `sh` is the shell, also the one that runs the script.
    for container in containers() {
        let pod = container.pod();
        let commands = [
            RemoteCommand::script(SCRIPT),
            RemoteCommand::sent_script(SCRIPT),
        ];
        let attempts = (0..12).map(async |attempt| {
            let error = fetch(pod.clone(), &commands[attempt % 2], &impatient()).await;
            error.expect_err("it prints nothing");
        });
        join_all(attempts).await;
        pod.node.is_clean().await;
    }
}

/// On a processor that is busy, a program may be told to end before its process has run at all.
#[tokio::test]
async fn nothing_is_left_when_the_client_goes_before_a_program_has_run() {
    // In one session, as processors are shared out between sessions first.
    let busy = r#"for one in 1 2 3; do
                      while :; do :; done &
                      others="$others $!"
                  done
                  "$@"
                  kill $others
                  wait"#;
    let on_busy_processor = ["/usr/bin/taskset", "-c", "0", "/bin/sh", "-c", busy, "sh"];
    let command = RemoteCommand::new("/bin/sleep").arg("1000");
    for shell in shells() {
        // Without an end, so that nothing is told again.
        let (_tools, pod) = pod_with_pauses_of("1000", &shell);
        let before = on_busy_processor.into_iter().map(ToOwned::to_owned);
        let pod = Pod {
            shell: before.chain(pod.shell.clone()).collect(),
            fault: Fault::CutInput(0),
            ..pod
        };
        for _ in 0..15 {
            fetch(pod.clone(), &command, &TransferOptions::default())
                .await
                .expect_err("must fail");
            pod.node.is_clean().await;
        }
    }
}

/// A container in which a pause of the scripts, of five or two seconds, takes so many.
fn pod_with_pauses_of(pause: &str, shell: &[String]) -> (crate::support::Tools, Pod) {
    let tools = tools(&[
        "sh",
        "tee",
        "sha256sum",
        "cat",
        "dd",
        "stat",
        "env",
        "sleep",
    ]);
    let tools = tools.expect("installed");
    tools.replace("sleep", &format!("#!/bin/sh\nexec /bin/sleep {pause}\n"));
    // Found before the container has programs of its own.
    let (program, words) = shell.split_first().expect("a program");
    let shell = [format!("/bin/{program}")].into_iter();
    let pod = Pod {
        shell: shell.chain(words.iter().cloned()).collect(),
        ..tools.pod()
    };
    (tools, pod)
}

#[tokio::test]
async fn a_client_that_is_not_heard_of_any_more_is_taken_for_gone() {
    let volume = volume();
    for shell in shells() {
        let (_tools, pod) = pod_with_pauses_of("0.05", &shell);
        let pod = Pod {
            fault: Fault::Freeze(100_000),
            ..pod
        };
        let error = fetch(pod.clone(), &print(&volume), &impatient())
            .await
            .expect_err("must fail");
        assert!(
            matches!(error, DownloadError::Stream(StreamError::Lost { .. })),
            "{shell:?}: {error:?}"
        );
        pod.node.is_clean().await;
    }
}

#[tokio::test]
async fn a_client_that_was_only_asleep_learns_that_its_command_was_ended() {
    for shell in shells() {
        // This side's signs of life are far too rare for it.
        let (_tools, pod) = pod_with_pauses_of("0.05", &shell);
        let command = RemoteCommand::new("cat").arg("/dev/zero");
        let error = fetch(pod.clone(), &command, &TransferOptions::default())
            .await
            .expect_err("must fail");
        assert!(
            matches!(error, DownloadError::Stream(StreamError::Ended { .. }))
                && error.is_transient(),
            "{shell:?}: {error:?}"
        );
        pod.node.is_clean().await;
    }
}

#[tokio::test]
async fn a_silent_command_is_left_at_work_as_long_as_the_client_is_heard_of() {
    let shell = shells().remove(0);
    // Ten pauses without a sign of life, which comes every five seconds, would end it.
    let (_tools, pod) = pod_with_pauses_of("1.2", &shell);
    let command = RemoteCommand::new("/bin/sleep").arg("16");
    fetch(pod.clone(), &command, &TransferOptions::default())
        .await
        .expect("success");
    pod.node.is_clean().await;
}

/// Sends the shell of a running command a signal after a while.
async fn told_to_end(pod: Pod, command: RemoteCommand, after: Duration, tell: impl Fn(Pid)) {
    let node = Arc::clone(&pod.node);
    told_to_end_after(|| !node.shells().is_empty(), pod, command, after, tell).await;
}

/// The same, so long after `is_ready`.
async fn told_to_end_after(
    is_ready: impl Fn() -> bool,
    pod: Pod,
    command: RemoteCommand,
    after: Duration,
    tell: impl Fn(Pid),
) {
    let transfer = tokio::spawn({
        let pod = pod.clone();
        async move {
            fetch(pod, &command, &TransferOptions::default())
                .await
                .map(|_| ())
        }
    });
    eventually("no shell was started", is_ready).await;
    sleep(after).await;
    for shell in pod.node.shells() {
        tell(shell);
    }
    pod.node.is_clean().await;
    transfer.abort();
}

#[tokio::test]
async fn nothing_is_left_of_a_shell_that_is_told_to_end_at_any_moment() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    for pod in pods() {
        for _ in 0..15 {
            let command = RemoteCommand::new("sleep").arg("1000");
            let after = Duration::from_micros(random.random_range(0..40_000));
            told_to_end(pod.clone(), command, after, |shell| {
                let _ = kill_process(shell, Signal::TERM);
            })
            .await;
        }
        let command = RemoteCommand::new("sleep").arg("1000");
        told_to_end(pod.clone(), command, Duration::from_millis(300), |shell| {
            let _ = kill_process(shell, Signal::HUP);
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_running_command_whose_whole_group_is_told_to_end() {
    for pod in pods() {
        for _ in 0..10 {
            let directory = tempfile::tempdir().expect("a directory");
            let running = directory.path().join("running");
            let script = "touch \"$0\"; exec sleep 1000";
            let command = RemoteCommand::new("sh").args(["-c", script]);
            let command = command.arg(running.to_str().expect("UTF-8"));
            let tell = |shell| {
                let _ = kill_process_group(shell, Signal::TERM);
            };
            let after = Duration::from_millis(200);
            told_to_end_after(|| running.exists(), pod.clone(), command, after, tell).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_fetch_whose_streams_are_cut_anywhere() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    let volume = Volume::with(3 << 20, sweep_seed());
    for pod in pods() {
        for attempt in 0..10 {
            let fault = match attempt % 3 {
                0 => Fault::CutScript(random.random_range(0..2500)),
                1 => Fault::CutInput(random.random_range(0..40)),
                _ => Fault::Cut(random.random_range(0..3 << 20)),
            };
            let pod = Pod {
                fault,
                ..pod.clone()
            };
            let behaviour = Behaviour::Run(Subprotocol::V5, pod.clone());
            let _ = crate::fetch::observed(behaviour, &volume, &crate::fetch::options(2)).await;
            pod.node.is_clean().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_upload_that_is_cut_or_told_to_end_anywhere() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    let source = UploadSource::from(random_bytes(FILE_BYTES, sweep_seed()));
    for pod in pods() {
        for attempt in 0..12 {
            let fault = match attempt % 4 {
                0 => Fault::CutScript(random.random_range(0..2500)),
                1 => Fault::Cut(random.random_range(0..140)),
                2 => Fault::CutInput(random.random_range(0..FILE_BYTES + 33)),
                _ => Fault::None,
            };
            let directory = tempfile::tempdir().expect("a directory");
            let pod = Pod {
                fault,
                ..pod.clone()
            };
            // The fault hits the upload itself, not the question about free space before it.
            let (before, during) = (
                Pod {
                    fault: Fault::None,
                    ..pod.clone()
                },
                pod.clone(),
            );
            let choice = move |number, _: &[String]| {
                if number == 0 {
                    before.clone()
                } else {
                    during.clone()
                }
            };
            let behaviour = Behaviour::Choose(Subprotocol::V5, Arc::new(choice));
            let server = ApiServer::start(behaviour).await;
            let file = remote(&directory.path().join("file"));
            let options = UploadOptions::default().with_retries(Retries::new(0));
            let client = server.client();
            let upload = upload(&client, &source, &file, &options, |_| ());
            let tell = async {
                if fault == Fault::None {
                    sleep(Duration::from_millis(random.random_range(0..12))).await;
                    for shell in pod.node.shells() {
                        let _ = kill_process(shell, Signal::TERM);
                    }
                }
            };
            let _ = tokio::join!(upload, tell);
            pod.node.is_clean().await;
            let left = names(directory.path());
            assert!(
                left.iter()
                    .all(|name| ["file", "file.partial"].contains(&name.as_str())),
                "{fault:?} left {left:?}"
            );
        }
    }
}
