//! Commands that need no cluster, on what they may be pointed at.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// A real archive, written by pg_dump 15.
const DUMP: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg15-gzip.dump");

/// What a program left.
struct Outcome {
    stdout: String,
    stderr: String,
}

/// Runs the plugin in `directory`; it must exit with `code`.
#[track_caller]
fn backup(directory: &Path, arguments: &[&str], code: i32) -> Outcome {
    let assert = Command::new(env!("CARGO_BIN_EXE_kubectl-wa-backup"))
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("HOME", directory)
        .current_dir(directory)
        .assert()
        .code(code);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let output = assert.get_output();
    Outcome {
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

#[track_caller]
fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}

#[test]
fn a_file_that_is_no_archive_is_told_apart_from_a_broken_one() {
    let scratch = tempfile::tempdir().unwrap();
    let mut newer = DUMP.to_vec();
    newer[6] = 99;
    let cases: [(&str, &[u8], &str); 4] = [
        ("empty", b"", "the file is empty"),
        (
            "sql",
            b"--\n-- PostgreSQL database dump\n--\n",
            "not a pg_dump custom-format archive",
        ),
        ("half", &DUMP[..DUMP.len() / 2], "truncated"),
        ("newer", &newer, "archive version 1.99"),
    ];
    for (name, content, expected) in cases {
        fs::write(scratch.path().join(name), content).unwrap();
        for command in ["verify", "inspect"] {
            assert_contains(
                &backup(scratch.path(), &[command, name], 3).stderr,
                expected,
            );
        }
    }
    fs::write(scratch.path().join("whole"), DUMP).unwrap();
    assert_contains(
        &backup(scratch.path(), &["verify", "whole"], 0).stdout,
        "intact",
    );
    let absent = backup(scratch.path(), &["verify", "absent"], 1);
    assert_contains(&absent.stderr, "cannot read absent: No such file");
}

#[test]
fn a_verdict_for_programs_is_json_also_when_it_is_bad() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("dump"), "PGDMP").unwrap();
    let outcome = backup(scratch.path(), &["verify", "dump", "-o", "json"], 3);
    let verdict: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(verdict["intact"], false);
    assert_contains(verdict["problems"][0].as_str().unwrap(), "at byte 5");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("dump"), DUMP).unwrap();
    let script = "\"$0\" --help | head -n 1 >/dev/null; \"$0\" inspect dump | head -n 1";
    let assert = Command::new("bash")
        .args([
            "-o",
            "pipefail",
            "-c",
            script,
            env!("CARGO_BIN_EXE_kubectl-wa-backup"),
        ])
        .current_dir(scratch.path())
        .assert()
        .code(0);
    let output = assert.get_output();
    assert!(output.stdout.starts_with(b"Backup:"));
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_list_of_nothing_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(
        backup(scratch.path(), &["list", "."], 0).stdout,
        "No backups in ..\n"
    );
    // Before the first backup the default directory is not there.
    assert_eq!(
        backup(scratch.path(), &["list"], 0).stdout,
        "No backups in ./wa-backups.\n"
    );
    assert_contains(
        &backup(scratch.path(), &["list", "absent"], 1).stderr,
        "No such file",
    );
}

#[test]
fn wrong_usage_has_exit_code_1_and_help_has_0() {
    let scratch = tempfile::tempdir().unwrap();
    assert_contains(
        &backup(scratch.path(), &["--no-such-flag"], 1).stderr,
        "--no-such-flag",
    );
    let compress = backup(scratch.path(), &["create", "--compress", "bzip2"], 1);
    assert_contains(&compress.stderr, "none, a level from 0 to 9");
    assert_contains(
        &backup(scratch.path(), &["--help"], 0).stdout,
        "130  interrupted and cleaned up",
    );
    assert_contains(
        &backup(scratch.path(), &["--version"], 0).stdout,
        env!("CARGO_PKG_VERSION"),
    );
}

#[test]
fn without_a_kubeconfig_the_way_to_one_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let outcome = backup(scratch.path(), &["check"], 1);
    assert_contains(&outcome.stderr, ".kube/config is missing");
    assert_contains(&outcome.stderr, "oc login");
}

#[test]
fn a_long_verification_can_be_interrupted() {
    use std::process::{Command, Stdio};

    let scratch = tempfile::tempdir().unwrap();
    let endless = scratch.path().join("endless");
    assert!(
        Command::new("mkfifo")
            .arg(&endless)
            .status()
            .unwrap()
            .success()
    );
    for command in ["verify", "inspect"] {
        let mut running = Command::new(env!("CARGO_BIN_EXE_kubectl-wa-backup"))
            .arg(command)
            .arg(&endless)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Returns when the plugin has opened the other end, and so listens for signals too.
        let _writer = fs::OpenOptions::new().write(true).open(&endless).unwrap();
        Command::new("sh")
            .args(["-c", &format!("kill -s INT {}", running.id())])
            .status()
            .unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(130), "{command}");
    }
}

#[test]
fn a_credential_plugin_that_fails_is_named_and_what_it_was_given_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    for (plugin, expected) in [
        ("no-such-plugin", "cannot be started"),
        ("false", "log in again"),
    ] {
        let kubeconfig = format!(
            r#"{{"current-context": "c",
                "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}],
                "clusters": [{{"name": "c", "cluster": {{"server": "https://127.0.0.1:1"}}}}],
                "users": [{{"name": "u", "user": {{"exec": {{"command": "{plugin}", "interactiveMode": "Never",
                    "env": [{{"name": "PASSWORD", "value": "hunter2"}}]}}}}}}]}}"#
        );
        fs::write(scratch.path().join("config"), kubeconfig).unwrap();
        let arguments = ["check", "--kubeconfig", "config", "-v=9"];
        let outcome = backup(scratch.path(), &arguments, 1);
        assert_contains(&outcome.stderr, expected);
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
}
