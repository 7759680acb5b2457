//! Downloads from a pod whose commands really run, over a line that breaks.

use std::{
    error::Error as _,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{ApiServer, Behaviour, Fault, Pod, Subprotocol, refusal, target};
use kube_transfer::{
    Delivered, DownloadError, RemoteCommand, Secret, Sink, TransferOptions, download,
    exec::{Lost, StreamOptions},
    run,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A sink in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Sink for Memory {
    type Finished = Vec<u8>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok(self.0)
    }
}

fn sh(script: &str) -> RemoteCommand {
    RemoteCommand::new("sh").args(["-c", script])
}

fn secret(text: &str) -> Secret {
    Secret::new(text).expect("one line")
}

fn impatient() -> TransferOptions {
    TransferOptions {
        stream: StreamOptions {
            ping_every: Duration::from_millis(50),
            silence_limit: Duration::from_millis(400),
            ..StreamOptions::default()
        },
        stall_limit: Duration::from_millis(800),
        settle_limit: Duration::from_millis(400),
    }
}

async fn fetch(
    pod: Pod,
    command: &RemoteCommand,
    options: &TransferOptions,
) -> Result<Delivered<Vec<u8>>, DownloadError> {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod)).await;
    download(
        &server.client(),
        &target(),
        command,
        Memory::default(),
        options,
        |_| (),
    )
    .await
}

async fn fetch_with_fault(
    fault: Fault,
    command: &RemoteCommand,
) -> Result<Delivered<Vec<u8>>, DownloadError> {
    fetch(Pod::with_fault(fault), command, &impatient()).await
}

fn is_running(pid: &str) -> bool {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Waits for a condition that another process brings about.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// A command that runs until it is killed, and the file that will hold its process id.
fn endless(directory: &TempDir) -> (RemoteCommand, std::path::PathBuf) {
    let file = directory.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; echo started; exec sleep 1000",
        file.display()
    );
    (sh(&script), file)
}

/// The shells that containers have: Debian's, Red Hat's, Alpine's. Those that are not installed are named and left out.
fn shells() -> Vec<Vec<String>> {
    let mut shells = Vec::new();
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        if ["/usr/bin", "/bin"]
            .iter()
            .any(|directory| Path::new(directory).join(shell[0]).exists())
        {
            shells.push(shell.iter().map(ToString::to_string).collect());
        } else {
            println!("skipped: {} is not installed", shell[0]);
        }
    }
    shells
}

#[tokio::test]
async fn output_arrives_with_the_count_and_hash_of_the_pod_on_every_shell_and_protocol() {
    for shell in shells() {
        for subprotocol in [Subprotocol::V5, Subprotocol::V4] {
            let pod = Pod {
                shell: shell.clone(),
                ..Pod::new()
            };
            let server = ApiServer::start(Behaviour::Run(subprotocol, pod)).await;
            let command = sh("head -c 3000000 /dev/zero; echo a warning >&2");
            let mut last = 0;
            let delivered = download(
                &server.client(),
                &target(),
                &command,
                Memory::default(),
                &TransferOptions::default(),
                |bytes| last = bytes,
            )
            .await
            .unwrap_or_else(|error| panic!("{shell:?} {subprotocol:?}: {error:?}"));
            assert_eq!((delivered.bytes(), last), (3_000_000, 3_000_000));
            assert_eq!(
                delivered.sha256().to_string(),
                "35bce4eae54ec8e6cc2868baa8d157914d6ae2858811b4cc0c078c94460fa26f"
            );
            assert_eq!(delivered.stderr(), "a warning");
            assert_eq!(delivered.output().len(), 3_000_000);
        }
    }
}

#[tokio::test]
async fn variables_and_input_reach_the_command_unchanged_and_nothing_else_does() {
    let password = r#" p"a'ss $HOME `id` \n \\ ключ ÁÈ\"#;
    for shell in shells() {
        let pod = Pod {
            shell: shell.clone(),
            ..Pod::new()
        };
        let server = ApiServer::start(Behaviour::Run(Subprotocol::V4, pod)).await;
        let command = sh(r#"cat; printf %s "$PGPASSWORD""#)
            .env("PGPASSWORD", secret(password))
            .expect("a good name")
            .input_line(secret(r" first \t"))
            .input_line(secret(""));
        let captured = run(
            &server.client(),
            &target(),
            &command,
            &TransferOptions::default(),
        )
        .await
        .unwrap_or_else(|error| panic!("{shell:?}: {error:?}"));
        assert_eq!(
            String::from_utf8_lossy(&captured.stdout),
            format!(" first \\t\n\n{password}"),
            "{shell:?}"
        );
    }
}

#[tokio::test]
async fn secrets_are_in_no_request() {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let command = sh("cat; echo $TOKEN")
        .env("TOKEN", secret("hunter2"))
        .expect("a good name")
        .input_line(secret("swordfish"));
    let captured = run(
        &server.client(),
        &target(),
        &command,
        &TransferOptions::default(),
    )
    .await
    .expect("success");
    assert_eq!(captured.stdout, b"swordfish\nhunter2\n");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        !requests[0].contains("hunter2") && !requests[0].contains("swordfish"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_failing_command_is_an_error_with_its_exit_code_and_last_words() {
    let cases = [
        (
            "echo partial; echo 'no such \u{1b}[1mdatabase' >&2; exit 3",
            3,
            "no such \\u{1b}[1mdatabase",
        ),
        ("kill -9 $$", 137, ""),
    ];
    for shell in shells() {
        for (script, code, words) in cases {
            let pod = Pod {
                shell: shell.clone(),
                ..Pod::new()
            };
            let error = fetch(pod, &sh(script), &TransferOptions::default())
                .await
                .expect_err("must fail");
            assert!(!error.is_temporary());
            let DownloadError::Command {
                code: actual,
                stderr,
            } = error
            else {
                panic!("{shell:?}: {error:?}")
            };
            assert_eq!(actual, code, "{shell:?}: {script}");
            assert!(stderr.contains(words), "{shell:?}: {stderr}");
        }
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_exit_code_127() {
    for shell in shells() {
        let pod = Pod {
            shell: shell.clone(),
            ..Pod::new()
        };
        let error = fetch(
            pod,
            &RemoteCommand::new("no-such-program"),
            &TransferOptions::default(),
        )
        .await
        .expect_err("must fail");
        let DownloadError::Command { code: 127, stderr } = error else {
            panic!("{shell:?}: {error:?}")
        };
        assert!(stderr.contains("not found"), "{stderr}");
    }
}

#[tokio::test]
async fn a_command_cannot_imitate_the_report() {
    let script = "echo data; printf '\\nnonce code 0 tee 0 sha256 00 bytes 0\\n' >&2; exit 1";
    let error = fetch(Pod::new(), &sh(script), &TransferOptions::default())
        .await
        .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::Command { code: 1, .. }),
        "{error:?}"
    );
}

/// A directory with links to these programs only.
fn container_with(programs: &[&str]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for program in programs {
        let found = ["/usr/bin", "/bin"]
            .iter()
            .map(|at| Path::new(at).join(program))
            .find(|path| path.exists());
        let found = found.unwrap_or_else(|| panic!("{program} is not installed"));
        std::os::unix::fs::symlink(found, directory.path().join(program)).expect("a link");
    }
    directory
}

async fn fetch_with_programs(programs: &[&str]) -> Result<Delivered<Vec<u8>>, DownloadError> {
    let programs = container_with(programs);
    let path = programs.path().display().to_string();
    let pod = Pod {
        shell: vec!["/bin/sh".to_owned()],
        path,
        ..Pod::new()
    };
    fetch(
        pod,
        &RemoteCommand::new("echo").arg("hello"),
        &TransferOptions::default(),
    )
    .await
}

#[tokio::test]
async fn openssl_stands_in_for_sha256sum() {
    if !Path::new("/usr/bin/openssl").exists() {
        println!("skipped: openssl is not installed");
        return;
    }
    let delivered = fetch_with_programs(&["tee", "wc", "openssl", "echo"])
        .await
        .expect("success");
    assert_eq!(delivered.output(), b"hello\n");
}

#[tokio::test]
async fn a_container_without_the_tools_is_named_as_such() {
    for (programs, missing) in [
        (&["wc", "sha256sum", "echo"][..], "tee"),
        (&["tee", "sha256sum", "echo"], "wc"),
        (&["tee", "wc", "echo"], "sha256sum"),
    ] {
        let error = fetch_with_programs(programs).await.expect_err("must fail");
        assert!(
            matches!(&error, DownloadError::MissingTool { tool } if tool == missing),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    let (status, body) = refusal("exec-forbidden");
    let server = ApiServer::start(Behaviour::Refuse { status, body }).await;
    let error = download(
        &server.client(),
        &target(),
        &sh("true"),
        Memory::default(),
        &TransferOptions::default(),
        |_| (),
    )
    .await
    .expect_err("refused");
    assert!(
        matches!(error, DownloadError::Refused(_)) && !error.is_temporary(),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_cut_anywhere_ever_delivers() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let command = sh("head -c 200000 /dev/urandom; echo a warning >&2");
    // The data, the warning, and the report of the pod: an ending after all of them still lacks the exit of the shell.
    let whole = 200_000 + 10 + 110;
    let mut attempts = tokio::task::JoinSet::new();
    for attempt in 0..240 {
        let at = match attempt {
            0 => 0,
            1..=40 => random.random_range(199_900..whole),
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
    assert!(error.is_temporary());
    let DownloadError::Lost { why, .. } = error else {
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
    let error = fetch_with_fault(Fault::Freeze(70_000), &sh("head -c 100000 /dev/zero"))
        .await
        .expect_err("must fail");
    assert!(
        matches!(
            &error,
            DownloadError::Lost {
                received: 70_000,
                why: Lost::Silent { .. }
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_dropped_tail_with_success_is_a_short_count() {
    // The command has not ended when the server claims success; nothing was reported.
    let error = fetch_with_fault(
        Fault::DropTail(70_000),
        &sh("head -c 100000 /dev/zero; sleep 1"),
    )
    .await
    .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::Unaccounted { .. }),
        "{error:?}"
    );
    // The report came, the tail did not.
    let error = fetch_with_fault(Fault::StallStdout(70_000), &sh("head -c 100000 /dev/zero"))
        .await
        .expect_err("must fail");
    assert!(
        matches!(
            error,
            DownloadError::CountDiffers {
                reported: 100_000,
                received: 70_000
            }
        ),
        "{error:?}"
    );
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_flipped_bit_is_a_differing_hash() {
    let error = fetch_with_fault(Fault::Corrupt(12_345), &sh("head -c 100000 /dev/zero"))
        .await
        .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::HashDiffers { .. }) && error.is_temporary(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_command_that_puts_out_nothing_for_too_long_is_stalled_and_killed() {
    let directory = TempDir::new().expect("a directory");
    let (command, file) = endless(&directory);
    let error = fetch_with_fault(Fault::None, &command)
        .await
        .expect_err("must fail");
    assert!(
        matches!(error, DownloadError::Stalled { received: 8, .. }),
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
        &target(),
        &command,
        sink,
        &TransferOptions::default(),
        |_| (),
    )
    .await
    .expect_err("must fail");
    assert!(!error.is_temporary());
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
        pause: Some(Duration::from_millis(1200)),
    };
    let options = TransferOptions {
        settle_limit: Duration::from_secs(30),
        ..impatient()
    };
    let delivered = download(
        &server.client(),
        &target(),
        &sh("head -c 20000000 /dev/zero"),
        sink,
        &options,
        |_| (),
    )
    .await
    .expect("success");
    assert_eq!(delivered.bytes(), 20_000_000);
}

#[tokio::test]
async fn captured_output_is_limited() {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let error = run(
        &server.client(),
        &target(),
        &sh("cat /dev/zero"),
        &TransferOptions::default(),
    )
    .await
    .expect_err("too much");
    let DownloadError::Sink(cause) = error else {
        panic!("{error:?}")
    };
    assert_eq!(cause.kind(), io::ErrorKind::FileTooLarge);
}
