//! Runs the plugin where there is no cluster.

use std::path::Path;

use assert_cmd::Command;

/// What a program left.
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the plugin in `directory`; it must exit with `code`.
#[track_caller]
pub(crate) fn backup(directory: &Path, arguments: &[&str], code: i32) -> Outcome {
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
pub(crate) fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}
