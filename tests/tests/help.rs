//! What `-h`, `--help` and the man pages tell, and how a plugin calls itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use end_to_end::{binary, run};

const PLUGINS: [&str; 4] = ["backup", "pvc", "restore", "retrain"];
/// Of `kubectl options`: a password does not belong on a command line, and what the others ask for is not done here.
const NOT_TAKEN: [&str; 4] = [
    "match-server-version",
    "password",
    "username",
    "warnings-as-errors",
];
/// What a terminal of today shows at once; `wa-restore run` with its twenty flags is the longest.
const SCREEN_LINES: usize = 55;

fn help(plugin: &str, words: &[&str]) -> String {
    let mut command = Command::new(binary(&format!("kubectl-wa-{plugin}")));
    command.args(words).env("COLUMNS", "80").env_remove("_");
    run(&mut command).expect_code(0).stdout
}

/// The commands that `-h` lists after `words`, by their words, and those of each.
fn commands(plugin: &str, words: &[String]) -> Vec<Vec<String>> {
    let asked: Vec<&str> = words.iter().map(String::as_str).chain(["-h"]).collect();
    let text = help(plugin, &asked);
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut all = vec![words.to_vec()];
    for line in listed.take_while(|line| !line.is_empty()) {
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        let name = name.unwrap_or_default();
        // The rest of a line that was too long; and what shows help itself.
        if !["", "help", "options"].contains(&name) {
            all.extend(commands(plugin, &[words, &[name.to_owned()]].concat()));
        }
    }
    all
}

#[test]
fn short_help_is_of_the_command_and_long_help_has_all_there_is_to_know() {
    for plugin in PLUGINS {
        for words in commands(plugin, &[]) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let called = [&["kubectl", &format!("wa-{plugin}")], &words[..]]
                .concat()
                .join(" ");
            let short = help(plugin, &[&words[..], &["-h"]].concat());
            assert!(short.contains(&format!("Usage: {called}")), "{short}");
            assert!(!short.contains("--kubeconfig"), "{called}: {short}");
            assert!(
                short.contains(&format!("Use \"kubectl wa-{plugin} options\"")),
                "{short}"
            );
            assert!(short.lines().count() <= SCREEN_LINES, "{called}: {short}");
            for line in short.lines() {
                assert!(line.chars().count() <= 80, "{called}: {line}");
            }
            let long = help(plugin, &[&words[..], &["--help"]].concat());
            let parts = ["--kubeconfig", "\nExit codes:\n", "130  interrupted"];
            for part in parts {
                assert!(long.contains(part), "no {part} in {called}: {long}");
            }
        }
        let options = help(plugin, &["options"]);
        for part in ["--kubeconfig", "--as-uid", "-i, --instance", "-o, --output"] {
            assert!(options.contains(part), "{options}");
        }
    }
    let pull = help("pvc", &["pull", "--help"]);
    let mut at = 0;
    for part in [
        "\nExamples:\n",
        "\nChanges:\n",
        "\nPermissions:\n",
        "create leases",
        "\nExit codes:\n",
    ] {
        at += pull[at..]
            .find(part)
            .unwrap_or_else(|| panic!("no {part} in {pull}"));
    }
}

/// The flags that the help tells, each with what it calls the value: `--to <DIR>`.
fn flags(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().take_while(|line| *line != "Examples:");
    // What is told of them stands further to the right.
    let lines = lines.filter(|line| !line.starts_with("        "));
    lines.filter_map(|line| {
        let line = line.trim_start();
        let flag = match line.split_once(", ") {
            Some((short, long)) if short.len() == 2 && short.starts_with('-') => long,
            _ => line,
        };
        let flag = flag
            .split("  ")
            .next()
            .filter(|flag| flag.starts_with("--"))?;
        let end = flag.find(['[', ' ']).unwrap_or(flag.len());
        Some(flag.split_at(end))
    })
}

#[test]
fn a_flag_has_one_kind_of_value_whatever_the_plugin() {
    // They write a file there, a directory here; ask for an instance's name; and go on until something has ended.
    let different = ["--to", "--yes", "--watch"];
    let mut told: BTreeMap<String, (String, String)> = BTreeMap::new();
    for plugin in PLUGINS {
        for words in commands(plugin, &[]) {
            let called = format!("wa-{plugin} {}", words.join(" "));
            let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            for (flag, value) in flags(&help(plugin, &words)) {
                let first = told
                    .entry(flag.to_owned())
                    .or_insert_with(|| (value.to_owned(), called.clone()));
                assert!(
                    first.0 == value || different.contains(&flag),
                    "{flag}{value} in {called}, {flag}{} in {}",
                    first.0,
                    first.1
                );
            }
        }
    }
    assert!(told.contains_key("--dry-run"), "{told:?}");
}

#[test]
fn usage_shows_how_the_plugin_was_called() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["kubectl-wa_pvc", "oc-wa_pvc"] {
        std::os::unix::fs::symlink(binary("kubectl-wa-pvc"), directory.path().join(name)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(directory.path().to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).unwrap();
    for (line, called) in [
        ("kubectl wa-pvc pull -h", "kubectl wa-pvc pull"),
        ("kubectl-wa_pvc pull -h", "kubectl-wa_pvc pull"),
        (
            &format!("{}/kubectl-wa_pvc pull -h", directory.path().display()),
            "kubectl-wa_pvc pull",
        ),
        (
            "exec env _=/usr/bin/oc sh -c \"exec $0 pull -h\"",
            "oc wa-pvc pull",
        ),
    ] {
        let mut bash = Command::new("bash");
        let program = directory.path().join("kubectl-wa_pvc");
        bash.args(["-c", line]).arg(program).env("PATH", &path);
        let shown = run(&mut bash).expect_code(0).stdout;
        assert!(
            shown.contains(&format!("Usage: {called} ")),
            "{line}: {shown}"
        );
    }
    // Examples too.
    let mut oc = Command::new(directory.path().join("kubectl-wa_pvc"));
    oc.args(["pull", "--help"]).env("_", "/usr/local/bin/oc");
    let shown = run(&mut oc).expect_code(0).stdout;
    assert!(shown.contains("\n  oc wa-pvc pull --latest"), "{shown}");
    assert!(!shown.contains("kubectl wa-pvc"), "{shown}");
}

#[test]
fn flags_that_scripts_pass_to_every_kubectl_command_are_taken() {
    let options = run(Command::new("kubectl").arg("options"))
        .expect_code(0)
        .stdout;
    let mut taken = 0;
    for line in options.lines() {
        let Some((_, flag)) = line.trim_end_matches(':').split_once("--") else {
            continue;
        };
        let (name, value) = flag.split_once('=').unwrap();
        let value = value.trim_matches(['\'', '[', ']']);
        let flag = format!("--{name}={value}");
        let mut plugin = Command::new(binary("kubectl-wa-backup"));
        let outcome = run(plugin.args(["check", &flag, "--help"]));
        let expected = i32::from(NOT_TAKEN.contains(&name));
        assert_eq!(outcome.code, expected, "{flag}: {}", outcome.stderr);
        taken += 1;
    }
    assert!(taken > 20, "{options}");
}

#[test]
fn every_command_has_a_man_page() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().to_str().unwrap();
    let mut pages = 0;
    for plugin in PLUGINS {
        let mut command = Command::new(binary(&format!("kubectl-wa-{plugin}")));
        run(command.args(["man", "--to", directory])).expect_code(0);
        for words in commands(plugin, &[]) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let name = [&[&*format!("kubectl-wa-{plugin}")], &words[..]]
                .concat()
                .join("-");
            let page = std::fs::read_to_string(scratch.path().join(format!("{name}.1")));
            let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(page.contains("Exit codes:"), "{name}");
            // Also of the flags of all commands it says what they are.
            assert!(
                page.contains("Namespace of the Watson Assistant operands"),
                "{name}"
            );
            pages += 1;
        }
        let options = format!("kubectl-wa-{plugin}-options.1");
        assert!(scratch.path().join(options).exists());
        pages += 1;
    }
    // And nothing else, such as a page for `help`.
    assert_eq!(
        std::fs::read_dir(Path::new(directory)).unwrap().count(),
        pages
    );
}
