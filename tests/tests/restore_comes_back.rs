//! What a restore waits for before anything stops, and what must be as before when it has ended.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;

use end_to_end::{Restored, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

fn text_of(file: &tempfile::NamedTempFile) -> String {
    fs::read_to_string(file.path()).unwrap()
}

#[test]
fn stores_come_back_to_their_counts_where_the_operator_does_not_know_them() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.store_replicas = vec![3, 2];
        config.variant.operator_replicas = 2;
        config.variant.operator_keeps_counts = true;
    });
    restored.run(&["--no-safety-backup"]).expect_code(0);
    restored.assert_new();
    restored.assert_counts(&[3, 2], 2);
    restored.assert_nothing_left();
}

#[test]
fn a_backup_that_somebody_has_started_by_hand_ends_before_anything_stops() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let world = restored.world();
    let cron_job = world.sandbox().names().cron_job();
    // Once as `kubectl create job --from` makes it, and once as a copy that nobody owns.
    let template = world.kubectl(&["get", "cronjob", &cron_job, "-o", "json"]);
    let cron_job_object: Value = serde_json::from_str(&template).unwrap();
    for owned in [true, false] {
        let name = if owned {
            "before-the-restore"
        } else {
            "a-copy"
        };
        let mut job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": "cpd"},
            "spec": cron_job_object["spec"]["jobTemplate"]["spec"],
        });
        if owned {
            job["metadata"]["annotations"] = json!({"cronjob.kubernetes.io/instantiate": "manual"});
            job["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
                "name": cron_job, "uid": cron_job_object["metadata"]["uid"],
            }]);
        }
        // It dumps when it is told to.
        let gate = "until [ -e /store-backups/go ]; do sleep 0.1; done; rm /store-backups/go";
        let command = &mut job["spec"]["template"]["spec"]["containers"][0]["command"][2];
        *command = format!("{gate}\n{}", command.as_str().unwrap()).into();
        world.create(&job);
        let pod = format!("job-name={name}");
        world.kubectl(&["wait", "pod", "-l", &pod, "--for=condition=Ready"]);

        let said = tempfile::NamedTempFile::new().unwrap();
        let mut run = restored.start(&["--no-safety-backup"], &said);
        wait_until("it waits for the backup", || {
            let told = text_of(&said);
            let waits = told
                .lines()
                .filter(|line| line.contains("backups that are at work"));
            let ended = run.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before: {told}");
            waits.into_iter().any(|line| line.contains(name))
        });
        restored.assert_counts(&[2], 1);
        if owned {
            restored.assert_old();
        }
        let pods = world.kubectl(&["get", "pod", "-l", &pod, "-o", "name"]);
        let touch = ["exec", pods.trim(), "--", "touch", "/store-backups/go"];
        world.kubectl(&touch);
        assert!(run.wait().unwrap().success(), "{}", text_of(&said));
        let condition = "jsonpath={.status.conditions[?(@.type==\"Complete\")].status}";
        let complete = world.kubectl(&["get", "job", name, "-o", condition]);
        assert_eq!(complete, "True");
        restored.assert_new();
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
    }
}

#[test]
fn the_targets_key_stays_where_the_user_wants_that() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let world = restored.world();
    let key = || {
        let template = "go-template={{.data.authorization_encryption_key}}";
        world.kubectl(&["get", "secret", "wa-auth-encryption", "-o", template])
    };
    let own = key();
    let kept = restored
        .run(&["--no-safety-backup", "--keep-encryption-key"])
        .expect_code(0);
    assert!(
        kept.stderr.contains("kept, though the backup's differs"),
        "{kept:?}"
    );
    assert_eq!(key(), own);
    restored.assert_new();
    restored.run(&["--no-safety-backup"]).expect_code(0);
    assert_ne!(key(), own);
}

#[test]
fn a_check_that_was_killed_or_has_failed_is_made_again() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    restored.signal_when(
        "the database is held against the backup",
        Signal::KILL,
        |restored| {
            restored
                .state_of("check")
                .is_some_and(|state| state == "started")
        },
    );
    let resumed = restored.restore(&["resume"]).expect_code(0);
    assert!(!resumed.stderr.contains(": migrate"), "{resumed:?}");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
    restored.reset();

    // What differs is not taken for restored, however often that is asked; when it is mended it is.
    restored.pgmig_faults("lose-workspace");
    restored.run(&["--no-safety-backup"]).expect_code(6);
    for resume in [&["resume"][..], &["resume", "--accept-row-differences"]] {
        let again = restored.restore(resume).expect_code(6);
        assert!(again.stderr.contains("1 workspace is missing"), "{again:?}");
        restored.assert_counts(&[0], 0);
    }
    restored.pgmig_faults("");
    restored.restore(&["rollback", "--yes=wa"]).expect_code(0);
    restored.assert_old();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();

    // What was checked and has come back is rolled back without the backup, as on another machine.
    let stopped = restored.signal_when("the check is done", Signal::INT, |restored| {
        restored.state_of("check").as_deref() == Some("done")
    });
    assert_eq!(stopped.code, 6, "{stopped:?}");
    restored.assert_counts(&[2], 1);
    restored.assert_new();
    fs::rename(
        restored.directory().join("sets"),
        restored.directory().join("away"),
    )
    .unwrap();
    restored.restore(&["rollback", "--yes=wa"]).expect_code(0);
    restored.assert_old();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn rows_that_pgmig_has_written_itself_are_accepted_by_who_says_so() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.pgmig_faults("add-row");
    let told = restored.run(&["--no-safety-backup"]).expect_code(6);
    let differs = "the table public.schema_version has";
    assert!(told.stderr.contains(differs), "{told:?}");
    assert!(
        told.stderr.contains("resume --accept-row-differences"),
        "{told:?}"
    );
    restored.assert_counts(&[0], 0);
    let accepted = restored
        .restore(&["resume", "--accept-row-differences"])
        .expect_code(0);
    assert!(accepted.stderr.contains(differs), "{accepted:?}");
    let journal = restored.journal().unwrap().to_string();
    assert!(
        journal.contains("rowsAccepted") && journal.contains(differs),
        "{journal}"
    );
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn of_two_that_begin_in_the_same_moment_one_restores_and_the_other_changes_nothing() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let said = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    let mut runs = said
        .each_ref()
        .map(|said| restored.start(&["--no-safety-backup"], said));
    let mut codes = runs
        .each_mut()
        .map(|run| run.wait().unwrap().code().unwrap());
    let told = said.each_ref().map(text_of);
    let loser = usize::from(codes[0] == 0);
    assert!(
        ["holds the lease", "is not over", "is scaled to 0"]
            .iter()
            .any(|why| told[loser].contains(why)),
        "{told:#?}"
    );
    codes.sort_unstable();
    assert_eq!(codes, [0, 4], "{told:#?}");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}
