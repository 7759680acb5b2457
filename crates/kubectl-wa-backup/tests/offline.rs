//! Commands that need no cluster, on what they may be pointed at.

mod plugin;

use std::fs;

use assert_cmd::Command;

use plugin::{assert_contains, backup};

/// A real archive, written by pg_dump 15.
const DUMP: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg15-gzip.dump");
const REDIRECTED: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg16-redirected.dump");
const SCHEMA_ONLY: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg16-schema-only.dump");
const INSERTS: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg16-inserts.dump");
const EXCLUDED: &[u8] = include_bytes!("../../pg-archive/tests/fixtures/pg16-excluded.dump");

#[test]
fn a_file_that_is_no_archive_is_told_apart_from_a_broken_one() {
    let scratch = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 7] = [
        ("empty", b"", "the file is empty"),
        (
            "sql",
            b"--\n-- PostgreSQL database dump\n--\n",
            "not a pg_dump custom-format archive: it is a plain SQL dump",
        ),
        ("gz", b"\x1f\x8b\x08", "`gunzip`"),
        (
            "said",
            b"\nerror: pod \x1b[2J not found\n",
            r#"it begins with "error: pod \u{1b}[2J not found""#,
        ),
        ("nuls", &[0; 100], "NUL bytes only"),
        ("base64", b"UEdETVABDgAECAEB\n", "`base64 -d`"),
        ("half", &DUMP[..DUMP.len() / 2], "truncated"),
    ];
    for (name, content, expected) in cases {
        fs::write(scratch.path().join(name), content).unwrap();
        for command in ["verify", "inspect"] {
            let said = backup(scratch.path(), &[command, name], 3).stderr;
            assert_contains(&said, expected);
            assert_eq!(said.contains("do not restore"), name == "half", "{said}");
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
fn what_cannot_be_judged_is_not_condemned() {
    let scratch = tempfile::tempdir().unwrap();
    let mut newer = DUMP.to_vec();
    newer[6] = 99;
    let mut tar = b"toc.dat".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\x0000");
    fs::write(scratch.path().join("newer"), newer).unwrap();
    fs::write(scratch.path().join("tar"), tar).unwrap();
    fs::create_dir(scratch.path().join("directory")).unwrap();
    fs::write(scratch.path().join("directory/toc.dat"), "PGDMP").unwrap();
    fs::create_dir(scratch.path().join("set")).unwrap();
    fs::write(
        scratch.path().join("set/backup.json"),
        r#"{"formatVersion": 99}"#,
    )
    .unwrap();
    for (path, expected) in [
        ("newer", "archive version 1.99"),
        ("tar", "pg_dump -Ft"),
        ("directory", "pg_dump -Fd"),
        ("set", "format version 99"),
    ] {
        for command in ["verify", "inspect"] {
            let said = backup(scratch.path(), &[command, path], 7).stderr;
            assert_contains(&said, &format!("{path} cannot be judged: "));
            assert_contains(&said, expected);
            assert!(!said.contains("do not restore"), "{said}");
        }
        let json = backup(scratch.path(), &["verify", path, "-o", "json"], 7).stdout;
        let verdict: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(verdict["verdict"], "notJudged");
    }
    let listed = backup(scratch.path(), &["list", ".", "-o", "wide"], 0).stdout;
    assert_contains(&listed, "not judged");
    assert_contains(&listed, "format version 99");
    assert_contains(
        &listed,
        "object storage (versioned skills, trained models) is not in",
    );
}

#[test]
fn a_dump_without_data_is_no_backup() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("schema"), SCHEMA_ONLY).unwrap();
    for command in ["verify", "inspect"] {
        let outcome = backup(scratch.path(), &[command, "schema"], 3);
        assert_contains(&outcome.stderr, "schema holds no data, and is no backup");
        assert_contains(&outcome.stderr, "defines 5 tables");
        assert!(!outcome.stdout.contains("intact"), "{}", outcome.stdout);
    }
}

#[test]
fn what_is_missing_from_an_intact_dump_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("inserts"), INSERTS).unwrap();
    fs::write(scratch.path().join("excluded"), EXCLUDED).unwrap();
    fs::write(scratch.path().join("line"), [DUMP, b"\n"].concat()).unwrap();
    for command in ["verify", "inspect"] {
        let said = |path: &str| backup(scratch.path(), &[command, path], 0).stdout;
        let inserts = said("inserts");
        assert_contains(&inserts, "service instances not counted");
        assert_contains(&inserts, "the rows of 5 tables were dumped as INSERTs");
        assert_contains(
            &said("excluded"),
            "no data of 1 table that is defined in it: public.workspace",
        );
        assert_contains(&said("line"), "1 byte after the end of the dump");
    }
    let inserts = backup(scratch.path(), &["verify", "inserts"], 0).stdout;
    assert_contains(&inserts, "rows not counted");
    let inspected = backup(scratch.path(), &["inspect", "excluded"], 0).stdout;
    assert_contains(
        &inspected,
        "object storage (versioned skills, trained models)",
    );
}

#[test]
fn what_is_said_to_repair_a_dump_does() {
    let scratch = tempfile::tempdir().unwrap();
    let notice = b"Defaulted container \"postgres\" out of: postgres, init\n";
    fs::write(scratch.path().join("a notice"), [notice, DUMP].concat()).unwrap();
    fs::write(scratch.path().join("two"), [DUMP, REDIRECTED].concat()).unwrap();
    for (name, expected, repaired, content) in [
        (
            "a notice",
            "54 bytes stand in front",
            "a notice.repaired",
            DUMP,
        ),
        (
            "two",
            "two dumps stand one after the other",
            "two.second",
            REDIRECTED,
        ),
    ] {
        let said = backup(scratch.path(), &["verify", name], 3).stderr;
        assert_contains(&said, expected);
        assert!(!said.contains("do not restore"), "{said}");
        let command = said.lines().last().unwrap();
        let status = Command::new("sh")
            .args(["-c", command])
            .current_dir(scratch.path())
            .assert();
        status.success();
        assert_eq!(fs::read(scratch.path().join(repaired)).unwrap(), content);
        backup(scratch.path(), &["verify", repaired], 0);
    }
}

#[test]
fn of_several_backups_all_are_read_and_the_worst_decides() {
    let scratch = tempfile::tempdir().unwrap();
    let mut newer = DUMP.to_vec();
    newer[6] = 99;
    for (name, content) in [
        ("whole", DUMP),
        ("redirected", REDIRECTED),
        ("cut", &DUMP[..300]),
        ("newer", &newer),
    ] {
        fs::write(scratch.path().join(name), content).unwrap();
    }
    for command in ["verify", "inspect"] {
        for (paths, code, summary) in [
            (&["whole", "redirected"][..], 0, "2 backups: 2 intact\n"),
            (
                &["newer", "whole"],
                7,
                "2 backups: 1 intact, 1 cannot be judged\n",
            ),
            (
                &["absent", "newer", "whole"],
                1,
                "3 backups: 1 intact, 1 cannot be judged, 1 could not be read\n",
            ),
            (
                &["cut", "absent", "newer", "whole"],
                3,
                "4 backups: 1 intact, 1 not intact, 1 cannot be judged, 1 could not be read\n",
            ),
        ] {
            let arguments = [&[command], paths].concat();
            let outcome = backup(scratch.path(), &arguments, code);
            assert!(outcome.stdout.ends_with(summary), "{}", outcome.stdout);
            assert_contains(&outcome.stdout, "whole");
            for path in paths
                .iter()
                .filter(|path| !["whole", "redirected"].contains(path))
            {
                assert_contains(&outcome.stderr, path);
            }
            let json = [&arguments[..], &["-o", "json"]].concat();
            let json = backup(scratch.path(), &json, code).stdout;
            let document: serde_json::Value = serde_json::from_str(&json).unwrap();
            let listed: Vec<_> = document["items"].as_array().unwrap().iter().collect();
            let listed: Vec<_> = listed.iter().map(|item| &item["path"]).collect();
            assert_eq!(listed, paths);
        }
    }
    assert_contains(&backup(scratch.path(), &["verify"], 1).stderr, "BACKUP");
}

#[test]
fn a_directory_of_sets_is_told_from_a_set() {
    let scratch = tempfile::tempdir().unwrap();
    let set = scratch.path().join("wa-backups/wa-cpd-20261122T205500Z");
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join("backup.json"), "{}").unwrap();
    let said = backup(scratch.path(), &["verify", "wa-backups"], 3).stderr;
    assert_contains(&said, "such as wa-backups/wa-cpd-20261122T205500Z");
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
        // It becomes the plugin, with a Ctrl-C that is not ignored, as this process may have been started to.
        let mut running = Command::new("env")
            .args([
                "--default-signal=INT",
                env!("CARGO_BIN_EXE_kubectl-wa-backup"),
            ])
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
                "users": [{{"name": "u", "user": {{"exec": {{"apiVersion": "client.authentication.k8s.io/v1",
                    "command": "{plugin}", "interactiveMode": "Never",
                    "env": [{{"name": "PASSWORD", "value": "hunter2"}}]}}}}}}]}}"#
        );
        fs::write(scratch.path().join("config"), kubeconfig).unwrap();
        let arguments = ["check", "--kubeconfig", "config", "-v=9"];
        let outcome = backup(scratch.path(), &arguments, 1);
        assert_contains(&outcome.stdout, expected);
        for said in [&outcome.stdout, &outcome.stderr] {
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

/// A thread of the process has that name.
fn has_thread(process: u32, name: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    let names = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.into_iter().any(|comm| comm.trim() == name)
}

#[test]
fn a_file_that_cannot_be_read_yet_does_not_keep_a_signal_from_ending_the_command() {
    let directory = tempfile::tempdir().unwrap();
    // Opening it blocks for ever, as opening a file on a server that is away does.
    let pipe = directory.path().join("config");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-wa-backup"))
        .args(["check", "-o", "json", "--kubeconfig"])
        .arg(&pipe)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It blocks, or is about to.
    while !has_thread(check.id(), "command") {
        assert!(check.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = check.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    let output = check.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("interrupted by SIGTERM"), "{stderr}");
}

#[test]
fn the_latest_backup_is_meant_by_that_word_unless_something_has_the_name() {
    let scratch = tempfile::tempdir().unwrap();
    let outcome = backup(scratch.path(), &["verify", "latest"], 1);
    assert_contains(&outcome.stderr, "latest backup in wa-backups");
    fs::create_dir(scratch.path().join("sets")).unwrap();
    let outcome = backup(scratch.path(), &["inspect", "sets/latest"], 1);
    assert_contains(&outcome.stderr, "is no complete backup set in sets");
    assert_contains(&outcome.stderr, "`kubectl wa-backup list sets`");
    fs::write(scratch.path().join("sets/latest"), DUMP).unwrap();
    backup(scratch.path(), &["verify", "sets/latest"], 0);
}
