//! What `kubectl wa-restore` offers beside the plain restore, and how what is not over is ended.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use end_to_end::{Outcome, Restored, World, binary};
use kube_sandbox::faults::{Effect, Matcher};
use wa_sandbox::world::Profile;

/// `run` with these arguments, beside those that every restore here takes.
fn run_within(restored: &Restored, timeout: &str, arguments: &[&str]) -> Outcome {
    let pgmig = binary("pgmig").display().to_string();
    let own = [
        "run",
        "sets/latest",
        "--mapping",
        "mapping.yaml",
        "--yes=wa",
        "--pgmig",
        &pgmig,
        "--timeout",
        timeout,
    ];
    restored.restore(&[&own, arguments].concat())
}

/// Keeps Redis from becoming ready, or no longer.
fn keep_redis_away(restored: &Restored, away: bool) {
    let node = if away { r#""no-such-node""# } else { "null" };
    let patch = format!(
        r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"kubernetes.io/hostname":{node}}}}}}}}}}}"#
    );
    restored.world().kubectl(&[
        "patch",
        "statefulset",
        "wa-redis-server",
        "--type=merge",
        "-p",
        &patch,
    ]);
    if !away {
        // A StatefulSet waits for a pod that cannot start, also when its template has changed.
        let pods = restored.world().kubectl(&["get", "pods", "-o", "name"]);
        let redis = pods.lines().filter(|pod| pod.contains("redis-server"));
        for pod in redis {
            restored.world().kubectl(&["delete", pod, "--now"]);
        }
    }
}

fn copies(restored: &Restored) -> Vec<String> {
    restored
        .world()
        .lines("SELECT datname FROM pg_database WHERE datname LIKE 'wa-restore-%-copy'")
}

#[test]
fn a_restore_that_is_not_ready_in_time_keeps_the_copy_until_it_is_resumed_or_rolled_back() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    for goes_back in [true, false] {
        keep_redis_away(&restored, true);
        let late = run_within(&restored, "2s", &[]).expect_code(5);
        for part in [
            "not ready everything runs",
            "wa-redis-server: ",
            "kubectl wa-restore resume -n cpd -i wa",
        ] {
            assert!(late.stdout.contains(part), "no {part} in {late:?}");
        }
        assert!(!late.stdout.contains("wa-retrain"), "{late:?}");
        restored.assert_new();
        restored.assert_counts(&[2], 1);
        assert_eq!(copies(&restored).len(), 1);
        // What holds secrets does not wait.
        let pod = "wa-postgres-16-2";
        let find = ["exec", pod, "-c", "postgres", "--", "find", "/controller"];
        let staged = restored.world().kubectl(&find);
        assert!(!staged.contains("wa-restore-"), "{staged}");
        let status = restored.restore(&["status", "-o", "json"]).expect_code(6);
        let status = status.json();
        assert_eq!(status["database"], "as in the backup");
        let waits_for = status["notReady"][0].as_str().unwrap();
        assert!(waits_for.starts_with("wa-redis-server: "), "{status:#}");
        let other = run_within(&restored, "2s", &[]).expect_code(4);
        assert!(other.stderr.contains("is not over"), "{other:?}");
        let again = restored.restore(&["resume", "--timeout", "1s"]);
        again.expect_code(5);
        assert_eq!(copies(&restored).len(), 1);
        keep_redis_away(&restored, false);
        if goes_back {
            restored.restore(&["rollback", "--yes=wa"]).expect_code(0);
            restored.assert_old();
        } else {
            let ended = restored
                .restore(&["resume", "--timeout", "2m"])
                .expect_code(0);
            assert!(ended.stdout.contains("kubectl wa-retrain run"), "{ended:?}");
            restored.assert_new();
        }
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
    }
}

#[test]
fn a_finished_restore_is_taken_back_by_restoring_the_safety_backup_that_it_names() {
    let restored = Restored::prepare(Profile::V5_2_1);
    run_within(&restored, "2m", &[]).expect_code(0);
    let refused = restored.restore(&["rollback", "--yes=wa"]).expect_code(4);
    assert!(refused.stderr.contains("was dropped"), "{refused:?}");
    let (_, named) = refused.stderr.split_once("kubectl wa-restore ").unwrap();
    let (command, _) = named.split_once(" --pgmig").unwrap();
    let mut arguments: Vec<&str> = command.split(' ').collect();
    assert_eq!(arguments[0], "run");
    let pgmig = binary("pgmig").display().to_string();
    arguments.extend(["--pgmig", &pgmig, "--yes=wa", "--no-safety-backup"]);
    restored.restore(&arguments).expect_code(0);
    restored.assert_old();
    restored.assert_nothing_left();
    let refused = restored.restore(&["rollback", "--yes=wa"]).expect_code(4);
    assert!(
        refused.stderr.contains("restore another backup"),
        "{refused:?}"
    );
}

/// The lines of the mapping that every restore here takes: what each instance of the backup becomes.
fn pairs_in(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.contains('#'));
    let pairs = lines.filter_map(|line| line.trim().split_once(": "));
    pairs
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .collect()
}

/// `run --interactive` on a terminal of its own, on which `typed` is typed.
fn run_on_a_terminal(restored: &Restored, typed: &str) -> Outcome {
    let restore = binary("kubectl-wa-restore").display().to_string();
    let pgmig = binary("pgmig").display().to_string();
    let command = format!(
        "'{restore}' run sets/latest --interactive --pgmig '{pgmig}' --no-safety-backup --timeout 2m"
    );
    let mut terminal = restored.world().on_terminal(&command);
    terminal
        .current_dir(restored.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = terminal.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

#[test]
fn the_mapping_is_asked_for_while_everything_runs_and_kept_beside_the_log() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let wanted = pairs_in(&restored.directory().join("mapping.yaml"));
    let proposed = restored.restore(&["mapping", "sets/latest", "-o", "json"]);
    let proposed = proposed.json();
    let sources = proposed["pairs"].as_array().unwrap().iter();
    let sources = sources.map(|pair| &pair["source"]);
    let left = proposed["sourcesLeft"].as_array().unwrap();
    let mut sources: Vec<(Option<&str>, &str)> = sources
        .chain(left)
        .map(|one| (one["name"].as_str(), one["id"].as_str().unwrap()))
        .collect();
    sources.sort_unstable();
    let answers = sources.iter().map(|(_, id)| {
        let (_, target) = wanted.iter().find(|(from, _)| from == id).unwrap();
        format!("{target}\n")
    });
    let answers: String = answers.collect();
    let declined = run_on_a_terminal(&restored, &answers[..37]);
    assert_eq!(declined.code, 4, "{declined:?}");
    assert!(restored.journal().is_none());
    let restored_by_hand = run_on_a_terminal(&restored, &format!("0\n{answers}wa\n"));
    assert_eq!(restored_by_hand.code, 0, "{restored_by_hand:?}");
    let told = &restored_by_hand.stdout;
    for part in [
        "\"Customer Care\", us-south becomes",
        "\"0\" is neither a number from 1 to 5",
        "wa-backups/enteredMapping.yaml",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let asked = told.find("5 of 5:").unwrap();
    assert!(asked < told.find("is down from").unwrap(), "{told}");
    restored.assert_new();
    let entered = restored.directory().join("wa-backups/enteredMapping.yaml");
    let mut kept = pairs_in(&entered);
    kept.sort();
    assert_eq!(kept, wanted);
    // As a file it says the same.
    let entered = entered.display().to_string();
    let valid = ["mapping", "sets/latest", "--mapping", &entered];
    restored.restore(&valid).expect_code(0);
}

#[test]
fn nobody_is_asked_for_a_mapping_without_a_terminal_or_with_one_given() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let before = restored.world().sandbox().requests().len();
    let refused = restored.restore(&["run", "sets/latest", "--interactive", "--yes=wa"]);
    let refused = refused.expect_code(4);
    refused.expect_error(&["terminal", "mapping BACKUP --to FILE"]);
    let both = run_within(&restored, "2m", &["--interactive"]).expect_code(1);
    both.expect_error(&["--mapping"]);
    assert_eq!(restored.world().sandbox().requests().len(), before);
}

/// Everything that a restore changes, as it is.
fn objects(restored: &Restored) -> String {
    let kinds = "configmaps,deployments,statefulsets,cronjobs,jobs,secrets,leases,pods";
    ["cpd", "cpd-operators"]
        .map(|namespace| {
            let get = ["get", kinds, "-n", namespace, "-o", "yaml"];
            restored.world().kubectl(&get)
        })
        .concat()
}

#[test]
fn a_dry_run_by_the_server_sends_every_change_and_makes_none() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let before = objects(&restored);
    let requests = restored.world().sandbox().requests().len();
    let accepted = restored.run(&["--dry-run=server"]).expect_code(0);
    for line in [
        "# accepted create configmap wa-restore-wa in cpd",
        "# accepted create lease wa-restore-wa in cpd",
        "# accepted create lease kubectl-wa-ibm-watson-assistant-operator in cpd-operators",
        "# accepted suspend cronjob wa-store-cronjob in cpd",
        "# accepted scale deployment ibm-watson-assistant-operator to 0 in cpd-operators",
        "# accepted scale deployment wa-store to 0 in cpd",
        "# accepted scale deployment wa-store to 2 in cpd",
        "# accepted create secret wa-restore-dry-run-key in cpd",
        "# accepted replace the key in secret wa-auth-encryption in cpd",
        "# accepted restart statefulset wa-redis-server in cpd",
        "would be accepted.",
        // As `plan` does.
        "# Step 1 of ",
    ] {
        assert!(
            accepted.stdout.contains(line),
            "no {line} in {}",
            accepted.stdout
        );
    }
    for request in restored.world().sandbox().requests().split_off(requests) {
        let changes = request.agent.starts_with("kubectl-wa-restore")
            && request.method != "GET"
            && !request.uri.contains("selfsubjectaccessreviews");
        assert!(
            !changes || request.uri.contains("dryRun=All"),
            "{request:?}"
        );
    }
    assert_eq!(objects(&restored), before);
}

#[test]
fn a_dry_run_by_the_server_tells_everything_that_would_be_refused_and_why() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let world = restored.world();
    let patch = |resource: &str, name: &str| Matcher {
        method: Some("PATCH".to_owned()),
        resource: Some(resource.to_owned()),
        name: Some(name.to_owned()),
        ..Matcher::default()
    };
    let denied = |message: &str| Effect::Status {
        code: 403,
        message: message.to_owned(),
        retry_after: None,
    };
    // By admission, which no question for permissions finds.
    let why = "admission webhook \"freeze.example.com\" denied the request: change freeze";
    world.fault(patch("deployments", "wa-store"), None, denied(why));
    world.fault(patch("cronjobs", "wa-store-cronjob"), None, denied("no"));
    let before = objects(&restored);
    let refused = restored.run(&["--dry-run=server", "-o", "json"]);
    let refused = refused.expect_code(4);
    let report = refused.expect_shape("kubectl wa-restore plan").json();
    assert_eq!(report["ok"], false);
    assert_eq!(
        report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["result"] == "failed")
            .count(),
        0,
        "{report:#}"
    );
    let server = report["server"].as_array().unwrap();
    let refused: Vec<(&str, &str)> = server
        .iter()
        .filter_map(|one| Some((one["change"].as_str()?, one["refusal"].as_str()?)))
        .collect();
    let changes: Vec<&str> = refused.iter().map(|(change, _)| *change).collect();
    assert_eq!(
        changes,
        [
            "suspend cronjob wa-store-cronjob",
            "scale deployment wa-store to 0",
            "scale deployment wa-store to 2"
        ]
    );
    assert!(refused[1].1.contains("change freeze"), "{refused:?}");
    world.sandbox().faults().clear();
    // By missing permission, which is found both ways.
    let forbidden = Effect::Forbid {
        verb: "patch".to_owned(),
        group: "apps".to_owned(),
        resource: "deployments".to_owned(),
        subresource: "scale".to_owned(),
    };
    world.fault(Matcher::default(), None, forbidden);
    let refused = restored.run(&["--dry-run=server"]).expect_code(4);
    for part in [
        "STANDS IN THE WAY: permissions",
        "# REFUSED  scale deployment wa-store to 0 in cpd: Error from server (Forbidden)",
        "# REFUSED  scale deployment ibm-watson-assistant-operator to 0 in cpd-operators: ",
        "# accepted suspend cronjob",
    ] {
        assert!(refused.stdout.contains(part), "no {part} in {refused:?}");
    }
    world.sandbox().faults().clear();
    assert_eq!(objects(&restored), before);
}

#[test]
fn a_table_of_the_same_name_in_another_schema_is_not_the_stores_neither_here_nor_there() {
    let world = World::start(Profile::V5_2_1);
    let environment = world.store_environment();
    let owner = environment.iter().find(|(name, _)| name == "PGUSER");
    let owner = &owner.unwrap().1;
    let database = world.sandbox().names().database();
    world.sql(&format!(
        "SET ROLE \"{owner}\"; CREATE SCHEMA archive; \
         CREATE TABLE archive.tenant AS SELECT * FROM public.tenant LIMIT 0; \
         INSERT INTO archive.tenant (tenant_id, name, region) \
         VALUES ('00000000-0000-0000-0000-00000000dead', 'Long gone', 'us-south'); \
         CREATE TABLE archive.workspace (workspace_id text); RESET ROLE; \
         ALTER DATABASE \"{database}\" SET search_path = archive, public"
    ));
    let directory = tempfile::tempdir().unwrap();
    let create = ["create", "--to", "sets"];
    world.backup(directory.path(), &create).expect_code(0);
    let mapping = ["mapping", "sets/latest", "-o", "json"];
    let mapping = world.restore(directory.path(), &mapping).expect_code(0);
    let mapping = mapping.json();
    let pairs = mapping["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 5, "{mapping:#}");
    for pair in pairs {
        assert_eq!(pair["by"], "same-id", "{mapping:#}");
    }
    let diff = ["diff", "sets/latest", "live", "-o", "json"];
    let diff = world.backup(directory.path(), &diff).expect_code(0).json();
    assert_eq!(diff["instances"], serde_json::json!([]), "{diff:#}");
}

#[test]
fn an_archive_that_the_pods_pg_restore_is_too_old_for_is_refused_by_each_before_anything_is_made() {
    let world = World::start(Profile::V5_2_1);
    let directory = tempfile::tempdir().unwrap();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/pg-archive/tests/fixtures/pg17-zstd.dump"
    );
    let requests = world.sandbox().requests().len();
    let pgmig = binary("pgmig").display().to_string();
    let target = ["--from-release", "5.2.1", "--pgmig", &pgmig];
    let why = "archive version 1.16 is read from PostgreSQL 17 on";
    for (command, more) in [
        ("check", &target[..]),
        ("run", &[&target[..], &["--yes=wa"]].concat()),
        ("rehearse", &[]),
    ] {
        let arguments = [&[command, fixture], more].concat();
        let refused = world.restore(directory.path(), &arguments).expect_code(4);
        assert!(refused.everything().contains(why), "{refused:?}");
    }
    // One that is newer than the plugin itself is judged by nobody: a condition that does not hold, and no rehearsal.
    let mut newer = fs::read(fixture).unwrap();
    newer[6] = 99;
    let newer_dump = directory.path().join("newer.dump");
    fs::write(&newer_dump, newer).unwrap();
    for (command, code) in [("check", 4), ("run", 4), ("rehearse", 7)] {
        let told = world.restore(directory.path(), &[command, "newer.dump"]);
        let told = told.expect_code(code);
        assert!(told.everything().contains("1.99"), "{told:?}");
    }
    for request in world.sandbox().requests().split_off(requests) {
        let changes = request.method != "GET" && !request.uri.contains("selfsubjectaccessreviews");
        let own = request.agent.starts_with("kubectl-wa-restore");
        assert!(!(own && changes), "{request:?}");
    }
}

#[test]
fn a_rehearsal_counts_the_large_objects_too() {
    let world = World::start(Profile::V5_2_1);
    let environment = world.store_environment();
    let owner = environment.iter().find(|(name, _)| name == "PGUSER");
    let owner = &owner.unwrap().1;
    // Beside the three of the product, one of more than a page, and one that is empty.
    world.sql(&format!(
        "SET ROLE \"{owner}\"; SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex')), lo_from_bytea(0, '')"
    ));
    let directory = tempfile::tempdir().unwrap();
    let create = ["create", "--to", "sets"];
    world.backup(directory.path(), &create).expect_code(0);
    let rehearsed = world.restore(directory.path(), &["rehearse", "sets/latest"]);
    let rehearsed = rehearsed.expect_code(0);
    assert!(
        rehearsed
            .stdout
            .contains("rows and 5 large objects, as in the archive"),
        "{rehearsed:?}"
    );
}
