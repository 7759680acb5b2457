//! A restore that is interrupted: nothing is left half-done without a word, and it is picked up from elsewhere.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use end_to_end::{Outcome, Restored, binary, run, sweep_random, sweep_rounds, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rand::RngExt as _;
use rustix::process::Signal;
use serde_json::json;
use wa_sandbox::world::Profile;

/// A restore writes its journal about so often.
const JOURNAL_WRITES: usize = 35;

/// A command by another user, in another directory.
fn elsewhere(restored: &Restored, directory: &Path, arguments: &[&str]) -> Outcome {
    let mut command = restored.world().command(binary("kubectl-wa-restore"));
    command
        .args(arguments)
        .env("USER", "night-shift")
        .current_dir(directory);
    run(&mut command)
}

#[test]
fn a_killed_restore_is_found_and_resumed_from_elsewhere() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.pgmig_faults("silence=5");
    restored.signal_when("pgmig is started", Signal::KILL, Restored::pgmig_is_started);
    let directory = tempfile::tempdir().unwrap();
    let status = elsewhere(&restored, directory.path(), &["status"]).expect_code(6);
    for part in [
        "HAS STOPPED",
        "DOWN for",
        "perhaps erased",
        "resume -n cpd -i wa",
    ] {
        assert!(status.stdout.contains(part), "no {part} in {status:?}");
    }
    let other = restored.run(&[]).expect_code(4);
    assert!(other.stderr.contains("is not over"), "{other:?}");
    let check = restored.restore(&["check", "sets/latest"]).expect_code(4);
    let line = check
        .stdout
        .lines()
        .find(|line| line.contains("other restores"));
    assert!(
        line.is_some_and(|line| line.contains("FAILED")),
        "{check:?}"
    );
    let resumed = elsewhere(&restored, directory.path(), &["resume"]).expect_code(0);
    assert!(!resumed.stderr.contains("quiesce"), "{resumed:?}");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
    let status = elsewhere(&restored, directory.path(), &["status", "-o", "json"]);
    assert_eq!(status.expect_code(0).json()["state"], "done");
    let over = elsewhere(&restored, directory.path(), &["resume"]).expect_code(4);
    assert!(over.stderr.contains("is over"), "{over:?}");
}

#[test]
fn a_pod_that_goes_with_everything_staged_in_it_is_staged_anew_in_the_one_that_comes() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.pgmig_faults("silence=60");
    let outcome = restored.signal_when("pgmig is started", Signal::INT, |restored| {
        restored.pgmig_is_started()
    });
    assert_eq!(outcome.code, 6, "{outcome:?}");
    let world = restored.world();
    let staged_in = "wa-postgres-16-2";
    pgmig_in_a_pod_that_is_not_ready_is_ended_before_anything_is_exchanged(&restored, staged_in);
    let before = pgmigs(&restored);
    let outcome = restored.signal_when("pgmig is started", Signal::INT, |restored| {
        pgmigs(restored) > before
    });
    assert_eq!(outcome.code, 6, "{outcome:?}");
    let uid = ["get", "pod", staged_in, "-o", "jsonpath={.metadata.uid}"];
    let before = world.kubectl(&uid);
    world.kubectl(&["delete", "pod", staged_in, "--now"]);
    wait_until("the pod is there again", || {
        let pod = [
            "get",
            "pod",
            staged_in,
            "--ignore-not-found",
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        let now = world.kubectl(&pod);
        !now.is_empty() && now != before
    });
    world.kubectl(&[
        "wait",
        "pod",
        staged_in,
        "--for=condition=Ready",
        "--timeout=60s",
    ]);
    let status = restored.restore(&["status"]).expect_code(6);
    assert!(
        status.stdout.contains("gone with an earlier pod"),
        "{status:?}"
    );
    let resumed = restored.restore(&["resume"]).expect_code(0);
    assert!(resumed.stderr.contains("is staged again"), "{resumed:?}");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

/// How often pgmig was started.
fn pgmigs(restored: &Restored) -> usize {
    let requests = restored.world().sandbox().requests();
    let starts = requests.iter().filter(|one| one.uri.contains("--mapping"));
    starts.count()
}

/// Rolls the restore back whose pgmig is at work in that pod.
fn pgmig_in_a_pod_that_is_not_ready_is_ended_before_anything_is_exchanged(
    restored: &Restored,
    pod: &str,
) {
    let world = restored.world();
    let ready = |status: &str| {
        let condition = json!({"type": "Ready", "status": status});
        let patch = json!({"status": {"conditions": [condition]}}).to_string();
        let on = ["patch", "pod", pod, "--subresource=status"];
        world.kubectl(&[&on[..], &["--type=merge", "-p", &patch]].concat());
    };
    ready("Unknown");
    // As one whose node nobody hears of.
    let on = Matcher {
        subresource: Some("exec".to_owned()),
        name: Some(pod.to_owned()),
        ..Matcher::default()
    };
    let away = Effect::Status {
        code: 500,
        message: "error dialing backend".to_owned(),
        retry_after: None,
    };
    world.fault(on, None, away);
    let refused = restored.restore(&["rollback", "--yes=wa"]).expect_code(6);
    for part in ["cannot be asked about pgmig", "run `rollback` again"] {
        assert!(refused.stderr.contains(part), "no {part} in {refused:?}");
    }
    world.sandbox().faults().clear();
    let back = restored.restore(&["rollback", "--yes=wa"]).expect_code(0);
    assert!(back.stderr.contains("at work, and is ended"), "{back:?}");
    restored.assert_old();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
    ready("True");
}

#[test]
fn a_restore_killed_after_any_write_of_the_journal_is_resumed_or_rolled_back() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    let mut random = sweep_random();
    let all: Vec<usize> = (1..=JOURNAL_WRITES).collect();
    let rounds = sweep_rounds(4, 2 * JOURNAL_WRITES);
    for round in 0..rounds {
        let at = if rounds > JOURNAL_WRITES {
            all[round / 2]
        } else {
            random.random_range(1..=JOURNAL_WRITES)
        };
        let before = restored.journal_writes();
        restored.signal_when(
            &format!("it has written the journal {at} times"),
            Signal::KILL,
            |restored| {
                restored.journal_writes() >= before + at
                    || restored.journal().is_some_and(|journal| {
                        restored.journal_writes() > before && journal["data"]["state"] == "done"
                    })
            },
        );
        let directory = tempfile::tempdir().unwrap();
        let is_over = restored
            .journal()
            .is_some_and(|journal| journal["data"]["state"] == "done");
        let goes_on = round % 2 == 0;
        println!("killed after write {at}; goes on: {goes_on}; over: {is_over}");
        if goes_on || is_over {
            let code = if is_over { 4 } else { 0 };
            elsewhere(&restored, directory.path(), &["resume"]).expect_code(code);
            restored.assert_new();
        } else {
            elsewhere(&restored, directory.path(), &["rollback", "--yes=wa"]).expect_code(0);
            restored.assert_old();
        }
        restored.assert_counts(&[2], 1);
        if !is_over {
            restored.assert_nothing_left();
        }
        restored.reset();
    }
}

#[test]
fn ctrl_c_before_pgmig_is_started_leaves_everything_as_it_was() {
    let restored = Restored::prepare(Profile::V5_1);
    for step in ["stage", "stopOperator", "stopStore"] {
        let outcome = restored.signal_when(step, Signal::INT, |restored| {
            restored.state_of(step).as_deref() == Some("started")
        });
        assert_eq!(outcome.code, 130, "{step}: {outcome:?}");
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        restored.assert_old();
        let again = restored.restore(&["status", "-o", "json"]).expect_code(0);
        assert_eq!(again.json()["state"], "undone", "{step}");
    }
}

#[test]
fn ctrl_c_while_pgmig_is_at_work_leaves_it_at_work_and_says_how_to_go_on() {
    let restored = Restored::prepare(Profile::V5_1);
    restored.pgmig_faults("silence=3");
    let outcome = restored.signal_when("pgmig is started", Signal::INT, |restored| {
        restored.pgmig_is_started()
    });
    assert_eq!(outcome.code, 6, "{outcome:?}");
    for part in [
        "database erased and restored by pgmig: begun, and not ended",
        "kubectl wa-restore resume -n cpd -i wa",
        "kubectl wa-restore rollback -n cpd -i wa",
        "kubectl scale -n cpd deployment/wa-store --replicas=2",
    ] {
        assert!(outcome.stderr.contains(part), "no {part} in {outcome:?}");
    }
    restored.assert_counts(&[0], 0);
    let log = restored.restore(&["logs", "-f"]).expect_code(0);
    assert!(log.stdout.contains("The restore is complete"), "{log:?}");
    // pgmig's text is no JSON, whatever is asked for.
    let again = restored.restore(&["logs", "-o", "json"]).expect_code(0);
    assert_eq!(again.stdout, log.stdout);
    let resumed = restored.restore(&["resume", "-o", "json"]).expect_code(0);
    resumed.expect_shape("kubectl wa-restore resume");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn a_failed_pgmig_is_run_again_or_rolled_back_from_the_copy_or_the_safety_backup() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    for (fault, back) in [
        ("crash-after-clearing", None),
        ("crash-in-restore slow-restore=60000", None),
        ("lose-workspace", Some(&["rollback", "--yes=wa"][..])),
        (
            "crash-before-mapping",
            Some(&["rollback", "--yes=wa", "--safety"]),
        ),
    ] {
        println!("{fault}");
        restored.pgmig_faults(fault);
        let failed = restored.run(&[]).expect_code(6);
        assert!(
            failed.stderr.contains("kubectl wa-restore rollback"),
            "{failed:?}"
        );
        restored.assert_counts(&[0], 0);
        restored.pgmig_faults("");
        match back {
            None => {
                let run = restored.journal().unwrap()["data"]["run"].clone();
                let log = |end: &str| {
                    let file = format!("wa-backups/{}.pgmig{end}", run.as_str().unwrap());
                    restored.directory().join(file)
                };
                let printed = fs::read_to_string(log(".log")).unwrap();
                // As on another machine, or when nobody was there to hear it fail: the log comes from the pod.
                fs::remove_file(log(".log")).unwrap();
                let resumed = restored.restore(&["resume"]).expect_code(0);
                restored.assert_new();
                let earlier = log(".1.log");
                assert_eq!(fs::read_to_string(&earlier).unwrap(), printed);
                assert!(resumed.stderr.contains(".pgmig.1.log"), "{resumed:?}");
                assert_ne!(fs::read_to_string(log(".log")).unwrap(), printed);
            }
            Some(arguments) => {
                let bare = restored.restore(&["rollback", "--yes"]).expect_code(4);
                assert!(bare.stderr.contains("--yes=wa"), "{bare:?}");
                let asked = restored.restore(&["rollback"]).expect_code(4);
                assert!(asked.stderr.contains("--yes=wa"), "{asked:?}");
                let status = restored.restore(&["status", "-o", "json"]).expect_code(6);
                let safety = status.json()["safetyBackup"].as_str().unwrap().to_owned();
                let safety = safety.split(" on ").next().unwrap();
                let run = status.json()["run"].as_str().unwrap().to_owned();
                let by_safety = arguments.ends_with(&["--safety"]);
                let mut arguments = arguments.to_vec();
                if by_safety {
                    arguments.push(safety);
                    mark(&restored, &format!("{run}-copy"));
                    kill_when_exchanged(&restored, &arguments, &run);
                } else {
                    hold(&restored);
                }
                arguments.extend(["-o", "json"]);
                let back = restored.restore(&arguments).expect_code(0);
                let told = back.stderr.clone();
                back.expect_shape("kubectl wa-restore rollback");
                restored.assert_old();
                if by_safety {
                    let marked = restored.world().sql("SELECT to_regclass('of_the_copy')");
                    assert_eq!(marked.trim(), "", "the copy was taken");
                } else {
                    let put_aside = format!("{run}-failed");
                    for part in [&put_aside, "stays in the server", "subscription"] {
                        assert!(told.contains(part), "no {part} in {told}");
                    }
                    let_go(&restored, &put_aside);
                }
            }
        }
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        restored.reset();
    }
}

/// Has the copy of the database hold what no backup does.
fn mark(restored: &Restored, copy: &str) {
    let world = restored.world();
    let open = |open: bool| {
        let sql = format!("ALTER DATABASE \"{copy}\" ALLOW_CONNECTIONS {open}");
        world.sql_in("postgres", &sql);
    };
    open(true);
    world.sql_in(copy, "CREATE TABLE of_the_copy (n int)");
    open(false);
}

/// Kills a rollback that has exchanged the database: only another one ends that.
fn kill_when_exchanged(restored: &Restored, arguments: &[&str], run: &str) {
    let world = restored.world();
    let mut command = world.command(binary("kubectl-wa-restore"));
    command.args(arguments).current_dir(restored.directory());
    let mut child = command.spawn().unwrap();
    let exchanged = format!("SELECT 1 FROM pg_database WHERE datname = '{run}-failed'");
    wait_until("the database is exchanged", || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        !world.sql_in("postgres", &exchanged).trim().is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = restored.restore(&["resume"]).expect_code(4);
    assert!(
        refused.stderr.contains("kubectl wa-restore rollback"),
        "{refused:?}"
    );
}

/// Has the database be one that cannot be dropped.
fn hold(restored: &Restored) {
    let database = restored.world().sandbox().names().database();
    restored.world().sql_in(
        &database,
        "CREATE SUBSCRIPTION held CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
    );
}

/// Undoes [`hold`] on what was put aside, and drops that.
fn let_go(restored: &Restored, put_aside: &str) {
    let world = restored.world();
    let open = format!("ALTER DATABASE \"{put_aside}\" ALLOW_CONNECTIONS true");
    world.sql_in("postgres", &open);
    for sql in [
        "ALTER SUBSCRIPTION held SET (slot_name = NONE)",
        "DROP SUBSCRIPTION held",
    ] {
        world.sql_in(put_aside, sql);
    }
    world.sql_in("postgres", &format!("DROP DATABASE \"{put_aside}\""));
}

#[test]
fn connections_that_are_cut_do_not_keep_a_restore_from_its_end() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    let mut random = sweep_random();
    for _ in 0..sweep_rounds(1, 20) {
        restored.pgmig_faults("silence=2");
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut child = restored.start(&["--no-safety-backup"], &said);
        let mut cuts = 0;
        while child.try_wait().unwrap().is_none() {
            let on = Matcher {
                subresource: Some("exec".to_owned()),
                ..Matcher::default()
            };
            let bytes = random.random_range(0..3000);
            if cuts < 10 {
                restored
                    .world()
                    .fault(on, Some(1), Effect::CutAfter { bytes });
                cuts += 1;
            }
            std::thread::sleep(Duration::from_millis(random.random_range(100..1500)));
        }
        restored.world().sandbox().faults().clear();
        let mut code = child.wait().unwrap().code();
        println!("{}", std::fs::read_to_string(said.path()).unwrap());
        if code == Some(1) {
            // It gave up before pgmig was started, and has undone everything.
            restored.assert_old();
            restored.assert_counts(&[2], 1);
            restored.assert_nothing_left();
            continue;
        }
        if code == Some(6) {
            code = Some(restored.restore(&["resume"]).code);
        }
        assert_eq!(code, Some(0));
        restored.assert_new();
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        restored.reset();
    }
}
