//! What `kubectl wa-restore` offers beside the plain restore, and how what is not over is ended.

use end_to_end::{Outcome, Restored, binary};
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
fn one_that_is_not_ready_in_time_keeps_the_copy_until_it_is_gone_on_with_or_gone_back_from() {
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
        assert_eq!(status.json()["database"], "as in the backup");
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
fn one_that_is_over_is_gone_back_from_by_a_restore_of_its_safety_backup_which_it_names() {
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
