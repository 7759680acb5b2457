//! What a shell is told when a user presses Tab: by the real kubectl, and in real shells.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be unwrapped here fails the test, which then shows what it printed"
)]

#[path = "completion/terminal.rs"]
mod terminal;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use end_to_end::{Outcome, Placed, World, binary, run};
use terminal::Terminal;

/// So that a machine that is busy tells all the same.
const PATIENT: (&str, &str) = ("KUBECTL_WA_COMPLETION_TIMEOUT", "60s");

/// The world's plugins with what kubectl asks for completion, as a user installs that.
fn install(world: &World) {
    for plugin in ["wa-backup", "wa-pvc", "wa-restore"] {
        let mut kubectl = world.command("kubectl");
        let outcome = run(kubectl.args([plugin, "completion", "install"])).expect_code(0);
        assert!(
            outcome.stdout.contains("kubectl_complete-wa_"),
            "{}",
            outcome.stdout
        );
    }
}

/// What kubectl tells its shells of a command line whose last word is completed: candidates, and the number.
fn completed(world: &World, directory: &Path, words: &[&str]) -> (Vec<String>, String) {
    let mut kubectl = world.command("kubectl");
    kubectl
        .arg("__complete")
        .args(words)
        .env(PATIENT.0, PATIENT.1);
    let outcome = run(kubectl.current_dir(directory)).expect_code(0);
    let mut lines: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
    let directive = lines.pop().unwrap();
    (lines, directive)
}

/// What completion could have made, by name and version.
fn objects(world: &World) -> String {
    let kinds = "pods,jobs,persistentvolumeclaims,leases,configmaps,secrets,volumesnapshots";
    let version = "custom-columns=N:.kind,A:.metadata.name,V:.metadata.resourceVersion";
    world.kubectl(&["get", kinds, "-o", version])
}

/// Only the values.
fn values(world: &World, directory: &Path, words: &[&str]) -> Vec<String> {
    let (lines, _) = completed(world, directory, words);
    let value = |line: &String| line.split('\t').next().unwrap().to_owned();
    lines.iter().map(value).collect()
}

#[test]
fn kubectl_completes_commands_flags_and_what_is_one_of_a_few() {
    let world = World::shared();
    install(&world);
    let scratch = world.scratch();
    let here = scratch.path();
    let (commands, directive) = completed(&world, here, &["wa-backup", ""]);
    assert!(
        commands[0].starts_with("create\tTake a backup"),
        "{commands:?}"
    );
    assert!(
        commands.iter().all(|line| !line.starts_with('-')),
        "{commands:?}"
    );
    assert_eq!(directive, ":36");
    for (words, expected) in [
        (&["wa-backup", "cre"][..], &["create"][..]),
        (&["wa", "backup", "cre"], &["create"]),
        (&["wa-backup", "create", "--comp"], &["--compress"]),
        (&["wa-pvc", "pull", "--via", "s"], &["snapshot"]),
        // Of a flag with its value, kubectl's scripts want the value alone.
        (&["wa-pvc", "pull", "--via=s"], &["snapshot"]),
        (&["wa-pvc", "pull", "--via=s", "--color", "al"], &["always"]),
        (
            &["wa-pvc", "pull", "--dry-run="],
            &["none", "client", "server"],
        ),
        (&["wa-pvc", "pull", "--dry-run", "--la"], &["--latest"]),
        (&["wa-backup", "list", "-o", "js"], &["json", "jsonpath="]),
        (&["wa-backup", "create", "--compress", "z"], &["zstd"]),
        (&["wa-restore", "upgrade-path", "4.8"], &["4.8.x"]),
        (&["wa-backup", "completion", "f"], &["fish"]),
        // Nothing is known of what is free.
        (&["wa-pvc", "pull", "--image", ""], &[]),
    ] {
        assert_eq!(values(&world, here, words), expected, "{words:?}");
    }
    // A command's own flags come first.
    assert_eq!(
        values(&world, here, &["wa-pvc", "pull", "--"])[0],
        "--latest"
    );
    // Files and directories are the shell's to find.
    let files = completed(&world, here, &["wa-restore", "plan", "x", "--mapping", ""]);
    assert_eq!(files, (Vec::new(), ":32".to_owned()));
    let directories = completed(&world, here, &["wa-backup", "create", "--to", ""]);
    assert_eq!(directories, (Vec::new(), ":16".to_owned()));
}

#[test]
fn kubectl_completes_what_the_cluster_and_this_machine_tell_and_changes_nothing() {
    let world = World::shared();
    install(&world);
    let scratch = world.scratch();
    let here = scratch.path();
    let namespace = world.kubectl(&["config", "view", "--minify", "-o", "jsonpath={..namespace}"]);
    let context = world.kubectl(&["config", "current-context"]);
    let context = context.trim();
    let dumps = world.dumps();
    let before = objects(&world);
    let (namespaces, _) = completed(&world, here, &["wa-backup", "-n", ""]);
    assert!(
        namespaces[0].starts_with(&format!("{namespace}\tinstance wa, release ")),
        "{namespaces:?}"
    );
    assert!(namespaces.len() > 1, "{namespaces:?}");
    let operators = format!("{namespace}-operators");
    let typed = format!("--namespace={namespace}-");
    assert_eq!(values(&world, here, &["wa-backup", &typed]), [&*operators]);
    assert_eq!(
        values(&world, here, &["wa-backup", "check", "-i", ""]),
        ["wa"]
    );
    // In the namespace that was named.
    assert_eq!(
        values(&world, here, &["wa-backup", "-n", "kube-system", "-i", ""]),
        [""; 0]
    );
    assert_eq!(
        values(&world, here, &["wa-pvc", "list", "--context", ""]),
        [context]
    );
    let claims = values(&world, here, &["wa-pvc", "list", "--pvc", ""]);
    assert!(
        claims.iter().any(|claim| claim.ends_with("-pvc")),
        "{claims:?}"
    );

    for (flag, kind) in [
        ("--snapshot-class", "volumesnapshotclasses"),
        ("--storage-class", "storageclasses"),
    ] {
        let classes = world.kubectl(&["get", kind, "-o", "jsonpath={.items[*].metadata.name}"]);
        let classes: Vec<&str> = classes.split(' ').collect();
        let found = values(&world, here, &["wa-pvc", "pull", flag, ""]);
        assert_eq!(found, classes, "{flag}");
    }

    // No pod has the volume mounted, and none is made.
    assert_eq!(values(&world, here, &["wa-pvc", "pull", ""]), [""; 0]);
    assert_eq!(objects(&world), before);
    world.start_pod_on_volume("reader");
    let found = values(&world, here, &["wa-pvc", "pull", ""]);
    assert_eq!(found.len(), dumps.len(), "{found:?}");
    assert!(dumps.iter().all(|dump| found.contains(dump)), "{found:?}");
    // One that is there already is not offered again.
    let rest = values(&world, here, &["wa-pvc", "pull", &dumps[0], "store"]);
    assert_eq!(rest.len(), dumps.len() - 1, "{rest:?}");
    world.delete_pod("reader");
    world.expect_nothing_left();

    // Sets are offered where there are some, and the words that stand for them.
    assert_eq!(
        completed(&world, here, &["wa-restore", "check", ""]),
        (Vec::new(), ":32".to_owned())
    );
    world.backup(here, &["create"]).expect_code(0);
    let set = world.only_set(&here.join("wa-backups"));
    let name = set.file_name().unwrap().to_str().unwrap();
    let relative = format!("wa-backups/{name}");
    let (sets, _) = completed(&world, here, &["wa-backup", "verify", ""]);
    assert_eq!(sets[0], format!("latest\t{name}"));
    assert!(
        sets[1].starts_with(&format!("{relative}\t")) && sets[1].contains("complete"),
        "{sets:?}"
    );
    assert_eq!(
        completed(&world, here, &["wa-restore", "check", ""]).0,
        sets
    );
    assert_eq!(
        values(&world, here, &["wa-backup", "diff", ""]),
        ["latest", &*relative]
    );
    assert_eq!(
        values(&world, here, &["wa-backup", "diff", "latest", ""]),
        ["live", "latest", &*relative]
    );
    assert_eq!(
        values(&world, here, &["wa-restore", "check", "wa-b"]),
        [&*relative]
    );
    let there = format!("{}/wa-backups/", here.display());
    let found = values(&world, here, &["wa-backup", "verify", &there]);
    assert_eq!(found, [format!("{there}latest"), format!("{there}{name}")]);
}

#[test]
fn names_that_a_shell_would_run_are_not_offered() {
    let world = World::shared();
    install(&world);
    let scratch = world.scratch();
    let dump = world.newest_dump();
    let placed = ["store.dump_$(reboot)", "store.dump_a b", "store.dump_good"]
        .map(|name| Placed::file(&world, name, &dump));
    world.start_pod_on_volume("reader");
    let found = values(&world, scratch.path(), &["wa-pvc", "pull", ""]);
    assert!(found.contains(&"store.dump_good".to_owned()), "{found:?}");
    assert!(
        !found.iter().any(|name| name.contains(['$', ' '])),
        "{found:?}"
    );
    world.delete_pod("reader");
    drop(placed);
}

/// What a plugin answers kubectl, by itself.
fn asked(directory: &Path, kubeconfig: &Path, words: &[&str]) -> Outcome {
    let link = directory.join("kubectl_complete-wa_backup");
    if !link.exists() {
        std::os::unix::fs::symlink(binary("kubectl-wa-backup"), &link).unwrap();
    }
    run(Command::new(link)
        .args(words)
        .env("KUBECONFIG", kubeconfig)
        .current_dir(directory))
}

#[test]
fn whatever_goes_wrong_nothing_is_said_and_nobody_waits() {
    let scratch = tempfile::tempdir().unwrap();
    // Takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let cluster = |user: &str| {
        format!(
            "clusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {user}}}]\ncurrent-context: c\n"
        )
    };
    let noisy = "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, \
                 command: sh, args: [-c, 'echo log in please >&2; cat; exit 1']}}";
    for (case, kubeconfig) in [
        ("silent", cluster("{}")),
        ("noisy", cluster(noisy).replace("http:", "https:")),
        ("garbage", "\t{".to_owned()),
        ("absent", String::new()),
    ] {
        let path = scratch.path().join(case);
        if case != "absent" {
            fs::write(&path, kubeconfig).unwrap();
        }
        for words in [&["-n", ""][..], &["check", "--instance="]] {
            let started = Instant::now();
            let outcome = asked(scratch.path(), &path, words);
            assert_eq!(
                (outcome.code, &*outcome.stderr),
                (0, ""),
                "{case} {words:?}"
            );
            // Of an empty answer kubectl would make that the shell offers files.
            assert_eq!(outcome.stdout, ":36\n", "{case} {words:?}");
            // Far less than a request may take otherwise, and more than on a machine that is busy.
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{case} {words:?}"
            );
        }
    }
    // Command lines that are no good.
    let nowhere = scratch.path().join("absent");
    for words in [
        &["--no-such-flag", ""][..],
        &["no-such-command", ""],
        &["--help", ""],
        &[],
    ] {
        let outcome = asked(scratch.path(), &nowhere, words);
        assert_eq!((outcome.code, &*outcome.stderr), (0, ""), "{words:?}");
        assert!(
            outcome.stdout.ends_with(":36\n"),
            "{words:?}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn oc_is_answered_as_kubectl_is() {
    let scratch = tempfile::tempdir().unwrap();
    let link = scratch.path().join("oc_complete-wa_pvc");
    std::os::unix::fs::symlink(binary("kubectl-wa-pvc"), &link).unwrap();
    let outcome = run(Command::new(link).args(["pull", "--via=p"])).expect_code(0);
    assert_eq!(outcome.stdout, "pod\nportworx\n:36\n");
}

#[test]
fn the_scripts_in_the_repository_are_those_that_are_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let renew = std::env::var_os("UPDATE_COMPLETIONS").is_some();
    for plugin in ["backup", "pvc", "restore", "retrain"] {
        let plugin = format!("kubectl-wa-{plugin}");
        let programs = binary(&plugin);
        for (shell, file) in [
            ("bash", format!("{plugin}.bash")),
            ("zsh", format!("_{plugin}")),
            ("fish", format!("{plugin}.fish")),
            ("powershell", format!("{plugin}.ps1")),
        ] {
            // By its bare name, as a user whose PATH has it.
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("exec {plugin} completion {shell}")])
                .env(
                    "PATH",
                    format!("{}:/usr/bin:/bin", programs.parent().unwrap().display()),
                );
            let script = run(&mut command).expect_code(0).stdout;
            let path = root.join("completions").join(file);
            if renew {
                fs::write(&path, &script).unwrap();
            }
            let kept = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                kept == script,
                "{} is old: run this test with UPDATE_COMPLETIONS=1",
                path.display()
            );
            // For its own name, and never for kubectl.
            assert!(!script.contains("kubectl "), "{script}");
        }
    }
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    if found.is_err() {
        println!("skipped: {program} is not installed");
    }
    found.is_ok()
}

/// Presses Tab after what begins a word, through kubectl and with the plugin's own script.
fn press_tab_in(shell: &str, setup: &str, clear: &str) {
    let world = World::shared();
    install(&world);
    let scratch = world.scratch();
    let mut terminal = Terminal::start(&world, scratch.path(), shell, setup);
    for program in ["kubectl wa-backup", "kubectl-wa-backup"] {
        for (typed, whole) in [
            ("ins", "inspect "),
            ("create --compr", "create --compress "),
            ("create --color=al", "create --color=always "),
            ("-i w", "-i wa "),
        ] {
            // What is typed is shown too: what follows tells that Tab was answered.
            terminal.press(&format!("{program} {typed}\t."));
            terminal.expect(&format!("{whole}."));
            terminal.press(clear);
        }
    }
}

const BASH_COMPLETION: &str = "/usr/share/bash-completion/bash_completion";
const CLEAR_LINE: &str = "\u{15}";

#[test]
fn bash_completes_when_tab_is_pressed() {
    if !Path::new(BASH_COMPLETION).exists() {
        println!("skipped: {BASH_COMPLETION} is not installed");
        return;
    }
    let setup = format!(
        "PS1='$ '; . {BASH_COMPLETION}; . <(kubectl completion bash); . <(kubectl-wa-backup completion bash)"
    );
    press_tab_in("bash --norc --noprofile -i", &setup, CLEAR_LINE);
}

#[test]
fn zsh_completes_when_tab_is_pressed() {
    if !is_installed("zsh") {
        return;
    }
    let setup = "PS1='$ '; autoload -U compinit; compinit -u -D; . <(kubectl completion zsh); \
                 compdef _kubectl kubectl; . <(kubectl-wa-backup completion zsh)";
    press_tab_in("zsh -f -i", setup, CLEAR_LINE);
}

#[test]
fn fish_completes_what_is_typed() {
    if !is_installed("fish") {
        return;
    }
    let world = World::shared();
    install(&world);
    let scratch = world.scratch();
    for program in ["kubectl wa-backup", "kubectl-wa-backup"] {
        for (typed, whole) in [
            ("ins", "inspect\tShow what is"),
            ("create --compr", "--compress\tpg_dump"),
            ("create --color=al", "--color=always\tAlways"),
            ("-i w", "wa\trelease"),
        ] {
            let script = format!(
                "kubectl completion fish | source; kubectl-wa-backup completion fish | source; complete -C '{program} {typed}'"
            );
            let mut fish = world.command("fish");
            fish.args(["--no-config", "-c", &script])
                .env(PATIENT.0, PATIENT.1)
                .env("HOME", scratch.path())
                .current_dir(scratch.path());
            let outcome = run(&mut fish).expect_code(0);
            assert!(
                outcome.stdout.starts_with(whole),
                "{program} {typed}: {}",
                outcome.everything()
            );
        }
    }
}
