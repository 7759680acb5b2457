//! Downloads from a pod whose commands really run.

use std::{io, path::Path};

use kube_transfer::{Delivered, DownloadError, RemoteCommand, StreamError, TransferOptions};
use tempfile::TempDir;

use crate::support::{
    ApiServer, Behaviour, Memory, Pod, Subprotocol, download, fetch, refusal, run, secret, sh,
    shells,
};

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
        let captured = run(&server.client(), &command, &TransferOptions::default())
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
    let captured = run(&server.client(), &command, &TransferOptions::default())
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
            assert!(!error.is_transient());
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
async fn either_hashing_tool_will_do() {
    for tool in ["openssl", "sha256sum"] {
        if !Path::new("/usr/bin").join(tool).exists() {
            println!("skipped: {tool} is not installed");
            continue;
        }
        let delivered = fetch_with_programs(&["tee", "sleep", tool, "echo"])
            .await
            .expect("success");
        assert_eq!(delivered.output(), b"hello\n", "{tool}");
    }
}

#[tokio::test]
async fn a_container_without_the_tools_is_named_as_such() {
    for (programs, missing) in [
        (&["sleep", "sha256sum", "echo"][..], "tee"),
        (&["tee", "sha256sum", "echo"], "sleep"),
        (&["tee", "sleep", "echo"], "sha256sum"),
    ] {
        let error = fetch_with_programs(programs).await.expect_err("must fail");
        assert!(
            matches!(&error, DownloadError::Stream(StreamError::MissingTool { tool }) if tool == missing),
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
        &sh("true"),
        Memory::default(),
        &TransferOptions::default(),
        |_| (),
    )
    .await
    .expect_err("refused");
    assert!(
        matches!(error, DownloadError::Stream(StreamError::Refused(_))) && !error.is_transient(),
        "{error:?}"
    );
}

#[tokio::test]
async fn captured_output_is_limited() {
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let error = run(
        &server.client(),
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

#[tokio::test]
async fn a_command_begins_in_the_directory_that_is_asked_for_and_not_elsewhere() {
    let directory = TempDir::new().expect("a directory");
    let path = directory
        .path()
        .join("-with space")
        .to_str()
        .expect("UTF-8")
        .to_owned();
    std::fs::create_dir(&path).expect("a directory");
    let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, Pod::new())).await;
    let pwd = |path: &str| RemoteCommand::new("pwd").current_dir(path);
    let limits = TransferOptions::default();
    let there = run(&server.client(), &pwd(&path), &limits)
        .await
        .expect("success");
    assert_eq!(there.stdout, format!("{path}\n").as_bytes());
    let error = run(&server.client(), &pwd(&format!("{path}/none")), &limits).await;
    assert!(
        matches!(error, Err(DownloadError::Command { code: 126, .. })),
        "{error:?}"
    );
}
