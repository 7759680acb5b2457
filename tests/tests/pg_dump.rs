//! A `pg_dump` that misbehaves in a pod of its own: what it prints is not taken for a backup.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use end_to_end::{Outcome, World};
use serde_json::json;

/// Runs `create` in a namespace whose PostgreSQL pod has this script for a `pg_dump`, with more arguments.
#[track_caller]
fn create_with(name: &str, pg_dump: &str, arguments: &[&str], code: i32) -> Outcome {
    let world = World::shared();
    let services = json!({"user-provided": [{"name": "pgservice", "credentials":
        {"host": "h", "port": 5432, "database": "d", "username": "u", "password": "p"}}]});
    let install = format!(
        "cat > /tools/pg_dump <<'END'\n#!/bin/sh\n[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 15.18' && exit\n{pg_dump}\nEND\n\
         printf '#!/bin/sh\\necho 15.18\\necho 1000\\n' > /tools/psql\nchmod +x /tools/*\ntouch /tools/ready\nexec sleep 1000000"
    );
    let primary = world.sandbox().names().primary_pod();
    let image = world.kubectl(&[
        "get",
        "pod",
        &primary,
        "-o",
        "jsonpath={.spec.containers[0].image}",
    ]);
    world.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    for object in [
        json!({"apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistant", "metadata": {"name": "wa", "namespace": name}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wa-store-vcap", "namespace": name},
               "stringData": {"vcap_services": services.to_string()}}),
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "wa-postgres-1", "namespace": name, "labels": {"app": "wa-postgres"}},
        "spec": {
            "volumes": [{"name": "tools", "emptyDir": {}}],
            "containers": [{
                "name": "postgres", "image": image, "command": ["sh", "-ec", install],
                "env": [{"name": "PATH", "value": "/tools:/usr/bin:/bin"}],
                "volumeMounts": [{"name": "tools", "mountPath": "/tools"}],
                "readinessProbe": {"exec": {"command": ["test", "-e", "/tools/ready"]}, "periodSeconds": 1},
            }],
        }}),
    ] {
        world.create(&object);
    }
    world.kubectl(&[
        "wait",
        "-n",
        name,
        "--for=condition=Ready",
        "pod/wa-postgres-1",
        "--timeout=60s",
    ]);
    let mut far_side = world.far_side();
    let scratch = world.scratch();
    let mut all = vec!["create", "-n", name, "--to", "sets"];
    all.extend(arguments);
    let outcome = world.backup(scratch.path(), &all).expect_code(code);
    far_side.expect_as_before();
    // What cannot be judged is kept.
    if code != 0 && code != 7 {
        assert_eq!(outcome.stdout, "");
        assert_eq!(
            fs::read_dir(scratch.path()).unwrap().count(),
            0,
            "{}",
            outcome.stderr
        );
    }
    world.kubectl(&["delete", "namespace", name, "--wait=false"]);
    outcome
}

#[test]
fn a_dump_of_no_bytes_is_no_backup_verified_or_not() {
    create_with("nothing", "exit 0", &[], 3).expect_error(&["the file is empty"]);
    create_with("nothing-unverified", "exit 0", &["--no-verify"], 1)
        .expect_error(&["pg_dump wrote nothing"]);
}

/// What pg_dump says is reported as it is.
#[test]
fn what_pg_dump_fails_for_is_reported_in_its_own_words() {
    for (name, said) in [
        (
            "newer",
            "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 16.3; pg_dump version: 15.18",
        ),
        (
            "full",
            "pg_dump: error: query failed: ERROR:  could not write to file \"base/pgsql_tmp/pgsql_tmp47.0\": No space left on device",
        ),
        (
            "denied",
            "pg_dump: error: query failed: ERROR:  permission denied for table tenant",
        ),
    ] {
        let pg_dump = format!("printf PGDMP\ncat >&2 <<'SAID'\n{said}\nSAID\nexit 1");
        let lines: Vec<&str> = said.lines().collect();
        create_with(name, &pg_dump, &[], 1).expect_error(&lines);
    }
}

/// That of the pod is of version 15.
#[test]
fn a_compression_that_the_pods_pg_dump_lacks_is_refused() {
    let dump = "echo 'it was run'";
    create_with("without-zstd", dump, &["--compress", "zstd"], 1)
        .expect_error(&["does not know --compress zstd", "a level from 0 to 9"]);
}

#[test]
fn text_is_no_backup() {
    create_with("text", "echo '-- PostgreSQL database dump'", &[], 3)
        .expect_error(&["not a pg_dump custom-format archive", "--no-verify"]);
}

#[test]
fn an_archive_cut_short_where_it_was_made_is_no_backup() {
    let dump = fixture("pg15-gzip");
    create_with("short", &prints(&dump[..dump.len() - 20]), &[], 3)
        .expect_error(&["truncated", "at byte"]);
}

#[test]
fn a_dump_without_data_is_no_backup() {
    create_with("schema", &prints(&fixture("pg16-schema-only")), &[], 3)
        .expect_error(&["holds no data", "no backup was kept"]);
}

#[test]
fn a_dump_that_cannot_be_judged_is_kept_and_says_so() {
    let mut dump = fixture("pg15-gzip");
    dump[6] = 99;
    let outcome = create_with("newer-format", &prints(&dump), &[], 7);
    assert!(outcome.stdout.contains("not judged"), "{}", outcome.stdout);
    for part in ["cannot be judged", "archive version 1.99"] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(
        !outcome.stderr.contains("do not restore"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_is_remarkable_of_a_dump_is_reported_when_it_is_taken() {
    let outcome = create_with("excluded", &prints(&fixture("pg16-excluded")), &[], 0);
    assert!(
        outcome
            .stderr
            .contains("no data of 1 table that is defined in it: public.workspace"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stdout
            .contains("object storage (versioned skills, trained models) is not in this backup"),
        "{}",
        outcome.stdout
    );
}

/// A dump that a real pg_dump wrote.
fn fixture(name: &str) -> Vec<u8> {
    let fixtures =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/pg-archive/tests/fixtures");
    fs::read(fixtures.join(name).with_extension("dump")).unwrap()
}

/// A script that prints these bytes.
fn prints(bytes: &[u8]) -> String {
    let mut octal = String::new();
    for byte in bytes {
        write!(octal, "\\{byte:03o}").unwrap();
    }
    format!("printf '{octal}'")
}

#[test]
fn pg_dumps_own_error_is_shown_and_its_escape_codes_are_not_obeyed() {
    let script = "printf PGDMP; printf 'pg_dump: error: \\033[2Jserver closed the connection\\n' >&2; exit 1";
    let outcome = create_with("failing", script, &[], 1)
        .expect_error(&["exit code 1", "server closed the connection"]);
    assert!(!outcome.stderr.contains('\u{1b}'), "{:?}", outcome.stderr);
}

#[test]
fn a_killed_pg_dump_is_no_backup() {
    // Kubernetes makes `$$` in a pod's command a single `$`.
    create_with("killed", "printf PGDMP; kill -9 $$$$", &[], 1).expect_error(&["exit code 137"]);
}

#[test]
fn an_imitated_report_is_not_believed() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let script = format!("printf '\\n0 code 0 tee 0 sha256 {hash} bytes 0\\n' >&2; exit 1");
    create_with("imitating", &script, &[], 1).expect_error(&["exit code 1"]);
}
