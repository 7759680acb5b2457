//! What becomes of a restore that stops, and which journals are believed.

use std::time::Duration;

use serde_json::{Value, json};
use wa_common::run::journal::{Procedure as _, StepRecord, WhenStopped};

use super::steps::finished;
use super::{Restore, RestorePlan, Step};

fn plan() -> Value {
    json!({
        "instance": "wa", "namespace": "cpd", "release": "5.2.1",
        "backup": {"path": "/sets/one", "dumpSha256": "00", "dumpBytes": 1, "release": "5.2.1"},
        "safety": null, "pgmig": {"path": "/pgmig", "sha256": "00", "arguments": []},
        "database": "conversation_pprd_wa", "pod": "wa-postgres-16-2", "stageDir": "/controller/tmp",
        "mapping": [], "rcForm": "service-token", "rcFormGiven": false, "orchestrate": false, "enableIcp": true,
        "log": {"host": "laptop", "directory": "/sets"},
    })
}

fn steps() -> Vec<Step> {
    vec![
        Step::Stage,
        Step::StopStore {
            name: "wa-store".to_owned(),
            replicas: 2,
        },
        Step::CopyDatabase,
        Step::Migrate,
        Step::Check,
        Step::StartStore {
            name: "wa-store".to_owned(),
            replicas: 2,
        },
    ]
}

/// The steps, of which so many are done and the next one is started.
fn records(done: usize) -> Vec<StepRecord<Restore>> {
    let at = "2026-11-27T02:00:00Z";
    let records = steps().into_iter().enumerate().map(|(index, step)| {
        let mut record = match index {
            index if index < done => {
                json!({"state": "done", "at": at, "outcome": {"kind": "done"}})
            }
            index if index == done => json!({"state": "started", "at": at}),
            _ => json!({"state": "planned"}),
        };
        record["step"] = serde_json::to_value(step).unwrap();
        serde_json::from_value(record).unwrap()
    });
    records.collect()
}

#[test]
fn everything_is_undone_until_pgmig_is_started_and_what_it_has_begun_is_left_as_it_is() {
    for done in 0..=2 {
        assert_eq!(
            Restore::when_stopped(&records(done)),
            WhenStopped::UndoAll,
            "{done}"
        );
    }
    for done in 3..=4 {
        assert_eq!(
            Restore::when_stopped(&records(done)),
            WhenStopped::KeepAll,
            "{done}"
        );
    }
    // The database is what it should be: the store comes back.
    assert_eq!(
        Restore::when_stopped(&records(5)),
        WhenStopped::Undo(vec![1])
    );
}

#[test]
fn nothing_comes_back_before_the_key_that_the_restored_data_is_read_with_is_in_place() {
    let key = Step::EncryptionKey {
        secret: "wa-auth-encryption".to_owned(),
    };
    let with_key = |state: Value| {
        let mut records = records(5);
        let mut record = state;
        record["step"] = serde_json::to_value(&key).unwrap();
        records.insert(5, serde_json::from_value(record).unwrap());
        Restore::when_stopped(&records)
    };
    let at = "2026-11-27T02:00:00Z";
    for state in [
        json!({"state": "planned"}),
        json!({"state": "started", "at": at}),
    ] {
        assert_eq!(with_key(state), WhenStopped::KeepAll);
    }
    let done = json!({"state": "done", "at": at, "outcome": {"kind": "done"}});
    assert_eq!(with_key(done), WhenStopped::Undo(vec![1]));
}

#[test]
fn production_is_down_until_the_store_is_ready_and_not_until_everything_is() {
    let record = |step: Step, second: u32| {
        let at = format!("2026-11-27T02:00:{second:02}Z");
        let mut record = json!({"state": "done", "at": at, "outcome": {"kind": "done"}});
        record["step"] = serde_json::to_value(step).unwrap();
        serde_json::from_value(record).unwrap()
    };
    let stop = Step::StopStore {
        name: "wa-store".to_owned(),
        replicas: 2,
    };
    let steps: Vec<StepRecord<Restore>> = vec![
        record(Step::Connections, 3),
        record(stop, 5),
        record(Step::Migrate, 30),
        record(Step::StoreReady, 40),
        record(Step::Settle, 50),
    ];
    // From the end of the step before the first one that stops the store.
    assert_eq!(finished(&steps, None).down_for, Duration::from_secs(37));
}

#[test]
fn a_journal_that_somebody_else_has_written_is_not_believed() {
    let validate = |plan: Value, records: &[StepRecord<Restore>]| {
        let plan: RestorePlan = serde_json::from_value(plan).unwrap();
        Restore::validate(&plan, records)
    };
    assert_eq!(validate(plan(), &records(1)), Ok(()));
    for (field, value) in [
        ("instance", "wa; rm -rf /"),
        ("pod", "-c"),
        ("stageDir", "/controller/../etc"),
        ("namespace", ""),
    ] {
        let mut changed = plan();
        changed[field] = json!(value);
        assert!(validate(changed, &[]).is_err(), "{field}");
    }
    for step in [
        Step::StopStore {
            name: "wa-store".to_owned(),
            replicas: 0,
        },
        Step::StopStore {
            name: "a b".to_owned(),
            replicas: 1,
        },
        Step::EncryptionKey {
            secret: "../other".to_owned(),
        },
    ] {
        let mut record = records(0).remove(0);
        record.step = step;
        assert!(validate(plan(), &[record]).is_err());
    }
}

#[test]
fn what_a_person_types_names_the_counts_of_before() {
    let plan: RestorePlan = serde_json::from_value(plan()).unwrap();
    let step = Step::StopOperator {
        namespace: "ops".to_owned(),
        name: "operator".to_owned(),
        replicas: 3,
    };
    assert_eq!(
        Restore::manual_commands(&plan, &step, "cpd", "wa-restore-1"),
        "kubectl scale -n ops deployment/operator --replicas=3"
    );
    assert_eq!(
        Restore::describe(&step),
        "deployment operator scaled from 3 to 0"
    );
    let staged = Restore::manual_commands(&plan, &Step::Stage, "cpd", "wa-restore-1");
    assert!(
        staged.ends_with("rm -rf /controller/tmp/wa-restore-1"),
        "{staged}"
    );
}

#[test]
fn nobody_is_told_to_take_down_what_came_back() {
    let plan: RestorePlan = serde_json::from_value(plan()).unwrap();
    let store = Step::StartStore {
        name: "wa-store".to_owned(),
        replicas: 2,
    };
    let operator = Step::StartOperator {
        namespace: "ops".to_owned(),
        name: "operator".to_owned(),
        replicas: 3,
    };
    let backups = Step::ResumeBackups {
        cron_job: "wa-store-cronjob".to_owned(),
        suspended: false,
    };
    for step in [store, operator, backups] {
        let commands = Restore::manual_commands(&plan, &step, "cpd", "wa-restore-1");
        assert_eq!(commands, "", "{step:?}");
    }
}
