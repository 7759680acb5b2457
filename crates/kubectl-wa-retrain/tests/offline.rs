//! What needs no cluster.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use assert_cmd::Command;

/// What a program left.
struct Outcome {
    stdout: String,
    stderr: String,
}

/// Runs the plugin without a kubeconfig; it must exit with `code`.
#[track_caller]
fn retrain(arguments: &[&str], code: i32) -> Outcome {
    let home = tempfile::tempdir().unwrap();
    let assert = Command::new(env!("CARGO_BIN_EXE_kubectl-wa-retrain"))
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env("HOME", home.path())
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
fn with_the_number_of_workspaces_no_cluster_is_needed() {
    let outcome = retrain(&["estimate", "--workspaces", "1000", "-o", "wide"], 0);
    // 1000*60/(5*2) + 1000*2, and so on.
    for part in ["2h13m", "8000", "1h23m", "5000", "1h6m", "4000"] {
        assert_contains(&outcome.stdout, part);
    }
    assert!(!outcome.stdout.contains("ROOM"), "{}", outcome.stdout);
    let outcome = retrain(
        &[
            "estimate",
            "--workspaces",
            "7",
            "--pods",
            "3",
            "-o",
            "jsonpath={.rows[*].durationSeconds}",
        ],
        0,
    );
    assert_eq!(outcome.stdout.trim(), "84");
}

#[test]
fn the_output_fits_into_80_columns() {
    let outcome = retrain(
        &[
            "estimate",
            "--workspaces",
            "123456789",
            "--pods",
            "1,30,1000",
        ],
        0,
    );
    for line in outcome
        .stdout
        .lines()
        .filter(|line| !line.starts_with("note:"))
    {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_contains(&outcome.stdout, "set to 1 s");
}

#[test]
fn no_workspaces_are_nothing_to_train() {
    let outcome = retrain(&["estimate", "--workspaces", "0"], 0);
    assert_contains(&outcome.stdout, "There is nothing to train.");
    assert!(!outcome.stdout.contains("TAKES"), "{}", outcome.stdout);
}

#[test]
fn a_handful_of_models_is_advised_to_be_opened_by_hand() {
    let outcome = retrain(&["estimate", "--workspaces", "3"], 0);
    assert_contains(&outcome.stdout, "manual way is simpler");
    assert_contains(&outcome.stdout, "4 free CPUs");
}

#[test]
fn numbers_and_times_that_cannot_be_are_refused_before_anything_is_asked() {
    for (arguments, reason) in [
        (
            &["estimate", "--workspaces", "5", "--pods", "0"][..],
            "0 is not in 1..=1000",
        ),
        (
            &["estimate", "--workspaces", "5", "--pods", "5,,"],
            "--pods",
        ),
        (&["estimate", "--workspaces", "-1"], "'-1'"),
        (&["estimate", "--workspaces", "9999999999"], "--workspaces"),
        (&["plan"], "--replicas"),
        (&["plan", "--replicas", "0"], "0 is not in 1..=1000"),
        (
            &["plan", "--replicas", "10", "--in", "10m"],
            "less than 30 minutes away",
        ),
        (
            &["plan", "--replicas", "10", "--in", "soon"],
            "not a time span",
        ),
        (
            &["plan", "--replicas", "10", "--at", "2020-01-01T00:00Z"],
            "in the past",
        ),
        (
            &[
                "plan",
                "--replicas",
                "10",
                "--at",
                "2020-01-01T00:00Z",
                "--force",
            ],
            "in the past",
        ),
        (
            &["plan", "--replicas", "10", "--at", "tomorrow"],
            "not a time",
        ),
        (
            &[
                "plan",
                "--replicas",
                "10",
                "--at",
                "2099-01-01T00:00Z",
                "--in",
                "40m",
            ],
            "cannot be used with",
        ),
    ] {
        let outcome = retrain(arguments, 1);
        assert_contains(&outcome.stderr, reason);
        assert_eq!(outcome.stdout, "", "{arguments:?}");
    }
}

#[test]
fn without_a_number_of_workspaces_the_cluster_is_asked() {
    let outcome = retrain(&["estimate"], 1);
    assert_contains(&outcome.stderr, "no kubeconfig");
}
