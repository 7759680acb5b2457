//! Downloads over a line that breaks, into sinks that fail.

use std::{
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube_transfer::{Delivered, DownloadError, Sink, StreamError, TransferOptions, exec::Lost};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{
    ApiServer, Behaviour, Fault, Memory, Pod, Step, Subprotocol, download, endless, eventually,
    fetch, frame, impatient, is_running, sh, shells, sweep_seed,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_cut_anywhere_ever_delivers() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    let command = sh("head -c 200000 /dev/urandom; echo a warning >&2");
    // The data, the warning, the report of the pod and the status: only all of them together are a delivery.
    let whole = 200_000 + 10 + 119 + 34;
    let mut attempts = tokio::task::JoinSet::new();
    for attempt in 0..240 {
        let at = match attempt {
            0 => 0,
            1..=60 => random.random_range(199_900..whole),
            _ => random.random_range(0..whole),
        };
        let fault = if attempt % 2 == 0 {
            Fault::Cut(at)
        } else {
            Fault::Close(at)
        };
        let command = command.clone();
        attempts.spawn(async move {
            let pod = Pod {
                seed: at as u64,
                ..Pod::with_fault(fault)
            };
            (
                fault,
                fetch(pod, &command, &TransferOptions::default()).await,
            )
        });
        if attempts.len() >= 8 {
            let (fault, result) = attempts
                .join_next()
                .await
                .expect("an attempt")
                .expect("no panic");
            assert_lost(fault, result);
        }
    }
    while let Some(attempt) = attempts.join_next().await {
        let (fault, result) = attempt.expect("no panic");
        assert_lost(fault, result);
    }
}

fn assert_lost(fault: Fault, result: Result<Delivered<Vec<u8>>, DownloadError>) {
    let error = result
        .err()
        .unwrap_or_else(|| panic!("{fault:?} delivered"));
    assert!(error.is_transient());
    let DownloadError::Stream(StreamError::Lost { why, .. }) = error else {
        panic!("{fault:?}: {error:?}")
    };
    match fault {
        Fault::Close(_) => assert!(
            matches!(why, Lost::Closed { code: 1000, .. }),
            "{fault:?}: {why:?}"
        ),
        _ => assert!(
            matches!(why, Lost::Eof | Lost::Broken(_)),
            "{fault:?}: {why:?}"
        ),
    }
}

#[tokio::test]
async fn a_frozen_line_is_lost_by_silence() {
    let error = fetch(
        Pod::with_fault(Fault::Freeze(70_000)),
        &sh("head -c 100000 /dev/zero"),
        &impatient(),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(
            &error,
            DownloadError::Stream(StreamError::Lost {
                bytes: 70_000,
                why: Lost::Silent { .. }
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_node_that_gives_up_on_a_running_command_is_worth_another_try() {
    let failure = br#"{"status":"Failure","reason":"InternalError","message":"error reading from error stream"}"#;
    for (output, temporary) in [(&b"half a dump"[..], true), (b"", false)] {
        let steps = vec![frame(1, output), frame(3, failure), Step::Listen];
        let server = ApiServer::start(Behaviour::Play(Subprotocol::V5, steps)).await;
        let error = download(
            &server.client(),
            &sh("true"),
            Memory::default(),
            &TransferOptions::default(),
            |_| (),
        )
        .await
        .expect_err("must fail");
        assert_eq!(error.is_transient(), temporary, "{error:?}");
        let cause = error.source().expect("the node's words").to_string();
        assert_eq!(cause, "error reading from error stream");
    }
}

#[tokio::test]
async fn an_exit_that_the_server_reports_before_the_shell_did_is_not_a_success() {
    let command = sh("head -c 100000 /dev/zero; sleep 1");
    let error = fetch(
        Pod::with_fault(Fault::DropTail(70_000)),
        &command,
        &TransferOptions::default(),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::Stream(StreamError::Exited { .. })) && error.is_transient(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_tail_that_does_not_arrive_is_waited_for_and_never_acknowledged() {
    let pod = Pod::with_fault(Fault::StallStdout(70_000));
    let begin = Instant::now();
    let result = fetch(pod.clone(), &sh("head -c 100000 /dev/zero"), &impatient()).await;
    let error = result.expect_err("must fail");
    assert!(
        matches!(
            error,
            DownloadError::HashDiffers {
                received: 70_000,
                ..
            }
        ) && error.is_transient(),
        "{error:?}"
    );
    assert!(
        begin.elapsed() >= impatient().settle_limit,
        "the shell did not wait for the client"
    );
    assert_eq!(
        pod.inputs.load(Ordering::SeqCst),
        1,
        "what did not arrive was acknowledged"
    );
}

#[tokio::test]
async fn a_flipped_bit_is_a_differing_hash() {
    let error = fetch(
        Pod::with_fault(Fault::Corrupt(12_345)),
        &sh("head -c 100000 /dev/zero"),
        &TransferOptions::default(),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::HashDiffers { .. }) && error.is_transient(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_command_that_puts_out_nothing_for_too_long_is_stalled_and_killed() {
    let directory = TempDir::new().expect("a directory");
    let (command, file) = endless(&directory);
    let error = fetch(Pod::new(), &command, &impatient())
        .await
        .expect_err("must fail");
    assert!(
        matches!(
            error,
            DownloadError::Stream(StreamError::Stalled { bytes: 8, .. })
        ),
        "{error:?}"
    );
    let pid = std::fs::read_to_string(file).expect("a process id");
    eventually("the command was not killed", || !is_running(pid.trim())).await;
}

#[tokio::test]
async fn dropping_the_future_kills_the_command_on_every_shell() {
    for shell in shells() {
        let directory = TempDir::new().expect("a directory");
        let (command, file) = endless(&directory);
        let pod = Pod {
            shell: shell.clone(),
            ..Pod::new()
        };
        let transfer =
            tokio::spawn(async move { fetch(pod, &command, &TransferOptions::default()).await });
        eventually("the command did not start", || file.exists()).await;
        let pid = std::fs::read_to_string(file).expect("a process id");
        assert!(is_running(pid.trim()), "{shell:?}");
        transfer.abort();
        eventually("the command was not killed", || !is_running(pid.trim())).await;
    }
}

#[tokio::test]
async fn a_command_is_asked_to_end_before_it_is_killed() {
    for shell in shells() {
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("ended");
        let command = sh(&format!(
            "trap 'mv {0} {0}.done; exit' TERM; : > {0}; while :; do sleep 0.05; done",
            file.display()
        ));
        let pod = Pod {
            shell: shell.clone(),
            ..Pod::new()
        };
        let transfer =
            tokio::spawn(async move { fetch(pod, &command, &TransferOptions::default()).await });
        eventually("the command did not start", || file.exists()).await;
        transfer.abort();
        eventually("the command was not asked", || {
            file.with_extension("done").exists()
        })
        .await;
    }
}

#[tokio::test]
async fn a_command_that_will_not_end_is_killed() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("pid");
    let command = sh(&format!(
        "trap '' TERM; echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
        file.display()
    ));
    let transfer =
        tokio::spawn(async move { fetch(Pod::new(), &command, &TransferOptions::default()).await });
    eventually("the command did not start", || file.exists()).await;
    let pid = std::fs::read_to_string(file).expect("a process id");
    transfer.abort();
    eventually("the command was not killed", || !is_running(pid.trim())).await;
}

/// A sink that fails with a full disk after some bytes, and tells when it was dropped unfinished.
struct FullDisk {
    room: usize,
    dropped: Arc<AtomicBool>,
}

impl Sink for FullDisk {
    type Finished = ();

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.room = self
            .room
            .checked_sub(data.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        panic!("finished although it is full")
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_transfer_with_its_error_and_kills_the_command() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("pid");
    let command = sh(&format!("echo $$ > {}; exec cat /dev/zero", file.display()));
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let dropped = Arc::new(AtomicBool::new(false));
    let sink = FullDisk {
        room: 1_000_000,
        dropped: Arc::clone(&dropped),
    };
    let error = download(
        &server.client(),
        &command,
        sink,
        &TransferOptions::default(),
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(!error.is_transient());
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    assert_eq!(cause, Some(io::ErrorKind::StorageFull), "{error:?}");
    let pid = std::fs::read_to_string(file).expect("a process id");
    eventually("the command was not killed", || !is_running(pid.trim())).await;
    eventually("the sink was not dropped", || {
        dropped.load(Ordering::SeqCst)
    })
    .await;
}

/// A sink whose first write takes longer than the peer may be silent.
struct SlowDisk {
    pause: Option<Duration>,
}

impl Sink for SlowDisk {
    type Finished = ();

    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        if let Some(pause) = self.pause.take() {
            std::thread::sleep(pause);
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_sink_slows_the_transfer_down_and_does_not_make_the_peer_look_dead() {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    // Three times the silence that is allowed, and more data than may wait for the sink.
    let sink = SlowDisk {
        pause: Some(Duration::from_secs(3)),
    };
    let options = impatient().with_settle_limit(Duration::from_secs(30));
    let delivered = download(
        &server.client(),
        &sh("head -c 20000000 /dev/zero"),
        sink,
        &options,
        |_| (),
    )
    .await
    .expect("success");
    assert_eq!(delivered.bytes(), 20_000_000);
}
