//! What the plugin does without a cluster.

use assert_cmd::Command;

/// The plugin, with no kubeconfig to find.
fn plugin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wa-restore"));
    command
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .args(arguments);
    command
}

fn printed(arguments: &[&str], code: i32) -> String {
    let output = plugin(arguments).assert().code(code).get_output().clone();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let whole = printed(&["--help"], 0);
    for part in [
        "check",
        "plan",
        "mapping",
        "config",
        "upgrade-path",
        "Exit codes:",
    ] {
        assert!(whole.contains(part), "{whole}");
    }
}

#[test]
fn upgrade_paths_are_reported_with_the_shortest_way() {
    let table = printed(&["upgrade-path"], 0);
    assert!(
        table.contains("4.6.4 and earlier: first to 4.6.5"),
        "{table}"
    );
    assert!(table.contains("4.8.x          5.0.x, 5.1.x"), "{table}");
    let row = printed(&["upgrade-path", "4.8.8"], 0);
    assert!(
        row.contains("5.0.x, 5.1.x") && !row.contains("4.7.x"),
        "{row}"
    );
    assert!(printed(&["upgrade-path", "4.8.8", "5.1.0"], 0).starts_with("yes"));
    let route = printed(&["upgrade-path", "4.6.4", "5.1.0"], 4);
    assert!(route.starts_with("no:"), "{route}");
    assert!(route.contains("4.6.4 → 4.6.5 → 4.8.x → 5.1.0"), "{route}");
    let json = printed(&["upgrade-path", "5.1.0", "4.8.8", "-o", "json"], 4);
    assert!(json.contains("\"supported\": false"), "{json}");
    assert!(printed(&["upgrade-path", "five"], 1).contains("is no release"));
}

#[test]
fn wrong_usage_is_reported_before_the_cluster_is_asked() {
    let staged = printed(&["check", "x", "--stage-dir", "tmp"], 1);
    assert!(staged.contains("absolute path"), "{staged}");
    let latest = printed(&["check", "latest"], 1);
    assert!(latest.contains("wa-backups"), "{latest}");
    let mapping = printed(&["mapping", "x", "--mapping", "/nonexistent/map.yaml"], 1);
    assert!(mapping.contains("/nonexistent/map.yaml"), "{mapping}");
    assert!(printed(&["config", "--to", "x"], 1).contains("kubeconfig"));
}
