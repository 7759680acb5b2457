//! What the plugin does without a cluster.

use assert_cmd::Command;

/// The plugin, with no kubeconfig to find.
fn plugin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wa-pvc"));
    command
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .args(arguments);
    command
}

fn error_of(arguments: &[&str], code: i32) -> String {
    let output = plugin(arguments).assert().code(code).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_the_commands_the_ways_and_the_exit_codes() {
    let help = |arguments: &[&str]| {
        let output = plugin(arguments).assert().success().get_output().clone();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let whole = help(&["--help"]);
    for part in ["info", "list", "pull", "cleanup", "Exit codes:", "130"] {
        assert!(whole.contains(part), "{whole}");
    }
    let pull = help(&["pull", "--help"]);
    for part in [
        "--via",
        "--resume",
        "--streams",
        "--window",
        "--snapshot-class",
    ] {
        assert!(pull.contains(part), "{pull}");
    }
}

#[test]
fn wrong_usage_is_reported_before_anything_is_asked() {
    assert!(error_of(&["pull"], 1).contains("--latest|--all|--since"));
    assert!(error_of(&["pull", "--latest", "--all"], 1).contains("cannot be used with"));
    assert!(error_of(&["pull", "--since", "yesterday"], 1).contains("is no time"));
    assert!(error_of(&["list", "--via", "teleport"], 1).contains("--via"));
    assert!(error_of(&["pull", "--latest", "--streams", "0"], 1).contains("--streams"));
}

#[test]
fn without_a_kubeconfig_the_error_says_what_to_do() {
    let error = error_of(&["info"], 1);
    assert!(
        error.starts_with("error:") && error.contains("kubeconfig"),
        "{error}"
    );
}
