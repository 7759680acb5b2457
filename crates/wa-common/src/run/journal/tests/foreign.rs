//! Objects that somebody else has made or changed.

use http::Method;

use super::*;

#[tokio::test]
async fn a_journal_that_somebody_changed_is_noticed_and_not_overwritten() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    change_journal(&api, |object| {
        object["data"]["plan"] = "\"another plan\"".into();
        object["metadata"]["managedFields"] =
            json!([{"manager": "kubectl-edit", "time": "2026-11-22T20:00:00Z"}]);
    });
    let before = journal(&api);
    let error = process.make_next(&mut run).await.unwrap_err();
    assert!(matches!(error, JournalError::Changed { .. }), "{error}");
    assert!(error.to_string().contains("kubectl-edit"), "{error}");
    assert_eq!(journal(&api), before);
    assert_eq!(replicas(&api, "store"), "3", "nothing more was changed");
}

#[tokio::test]
async fn a_label_that_somebody_put_on_the_journal_is_kept_and_disturbs_nothing() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    change_journal(&api, |object| {
        object["metadata"]["labels"]["note"] = "mine".into();
    });
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_eq!(journal(&api)["metadata"]["labels"]["note"], "mine");
    assert_done(&api, "with a label");
}

#[tokio::test]
async fn a_journal_that_is_gone_stops_the_run() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    api.state().objects.remove(&format!("configmaps/{JOURNAL}"));
    let error = process.make_next(&mut run).await.unwrap_err();
    assert!(matches!(error, JournalError::Gone { .. }), "{error}");
    assert_eq!(replicas(&api, "operator"), "2");
}

type Forge = fn(&mut Value);

#[tokio::test]
async fn what_cannot_be_read_as_a_journal_is_refused_and_left_as_it_is() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    run.release().await.unwrap_err();
    let written = journal(&api);
    let forged: [(Forge, &str); 9] = [
        (
            |object| object["data"]["formatVersion"] = "4".into(),
            "has format version 4, and this plugin knows up to 3",
        ),
        (
            |object| object["metadata"]["labels"] = json!({}),
            "configmap wa-test-wa is not one that this plugin made",
        ),
        (
            |object| object["data"] = json!(null),
            "it has no formatVersion",
        ),
        (
            |object| object["metadata"]["labels"]["kubectl-wa/run"] = "wa-test-00000000".into(),
            "name different runs",
        ),
        (
            |object| object["data"]["plan"] = "\"forged\"".into(),
            "the plan is forged",
        ),
        (
            |object| object["data"]["state"] = "half\u{1b}[2J".into(),
            "half\\u{1b}[2J",
        ),
        (
            |object| object["data"]["steps"] = "[{\"state\":\"done\"}]".into(),
            "missing field",
        ),
        (
            |object| object["data"]["plan"] = format!("\"{}\"", "x".repeat(1 << 20)).into(),
            "may be 1048576 at most",
        ),
        (
            |object| {
                let step = json!({"step": {"Make": {"name": "a"}}, "state": "planned"});
                object["data"]["steps"] = Value::from(vec![step; 129]).to_string().into();
            },
            "the number of steps of the journal is 129",
        ),
    ];
    for (forge, expected) in forged {
        api.put("configmaps", written.clone());
        change_journal(&api, forge);
        let before = api.state().objects.clone();
        let found = JournaledRun::<Scaling>::find(&process.cluster, INSTANCE).await;
        let begun = process.begin().await;
        for text in [
            found.err().unwrap().to_string(),
            begun.unwrap_err().to_string(),
        ] {
            assert!(text.contains(expected), "{expected:?} is not in: {text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
        assert_eq!(api.state().objects, before, "{expected}");
    }
}

#[tokio::test]
async fn a_lease_of_somebody_else_under_the_name_of_a_lock_is_not_taken() {
    for name in [JOURNAL, OPERATOR_LOCK] {
        let api = world();
        let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": "operator"}});
        api.put("leases", lease);
        let before = api.state().objects.clone();
        let process = Process::here(&api);
        let error = process.begin().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("lease {name} is not one")),
            "{error}"
        );
        assert_eq!(api.state().objects, before, "{name}");
    }
}

#[tokio::test]
async fn an_object_of_a_fixed_name_is_this_runs_only_with_its_id() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    let theirs =
        json!({"metadata": {"name": "staged", "labels": {"kubectl-wa/run": "wa-test-00000000"}}});
    api.put("configmaps", theirs);
    for _ in 0..2 {
        process.make_next(&mut run).await.unwrap();
    }
    let Next::Step(step) = run.next_step() else {
        panic!("a step is left");
    };
    let started = step.start().await.unwrap();
    let create = |permit: Permit| make(permit, process.cluster.clone(), steps().remove(2));
    let error = started.change(create).await.unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("configmap staged is there already"),
        "{error}"
    );
    let left = run.roll_back().await.unwrap_err();
    assert!(left.to_string().contains("was not deleted"), "{left}");
    assert!(api.names("configmaps").contains(&"staged".to_owned()));

    // With the run's id it is what was created before the process died.
    let id = journal(&api)["data"]["run"].clone();
    api.put(
        "configmaps",
        json!({"metadata": {"name": "staged", "labels": {"kubectl-wa/run": id}}}),
    );
    let mut run = process.resume().await.unwrap();
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_done(&api, "as it was there already");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_sent_again_and_made_once() {
    for object in ["configmaps/wa-test-wa", "leases/wa-test-wa", "leases"] {
        let api = world();
        let mut left = 2;
        api.delay(move |method, path| {
            let lost = *method != Method::GET && path == object && left > 0;
            left -= i32::from(lost);
            [
                Duration::ZERO,
                if lost {
                    Duration::from_hours(1)
                } else {
                    Duration::ZERO
                },
            ]
        });
        let process = Process::here(&api);
        let mut run = process.begin().await.unwrap();
        process.make_all(&mut run).await.unwrap();
        commit(&mut run).await.unwrap();
        assert_done(&api, object);
    }
}

#[tokio::test]
async fn a_journal_is_written_once_a_transition() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    let changes = api.state().changes.clone();
    let writes = changes
        .iter()
        .filter(|one| one.ends_with(JOURNAL) && one.starts_with("PUT configmaps"));
    assert_eq!(
        writes.count(),
        2 * 3 + 1,
        "started and done, and the end: {changes:?}"
    );
}

#[tokio::test]
async fn a_plan_and_an_outcome_have_their_limits_before_anything_is_written() {
    let api = world();
    let process = Process::here(&api);
    let before = api.state().objects.clone();
    let begun = JournaledRun::begin(
        process.context(),
        NewRun::<Scaling> {
            plan: "x".repeat(300_000),
            ..process.new_run(steps())
        },
    );
    let error = begun.await.unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    assert_eq!(api.state().objects, before);

    let mut run = process.begin().await.unwrap();
    let Next::Step(step) = run.next_step() else {
        panic!("a step is left");
    };
    let started = step.start().await.unwrap();
    let error = started.done("x".repeat(5_000)).await.unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    assert_eq!(states(&api)[0], "started");
}
