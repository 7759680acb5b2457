//! What becomes of a run when its command ends.

use http::{Method, StatusCode};

use super::*;

fn scaled(name: &str) -> Step {
    Step::Scale {
        name: name.to_owned(),
        from: 1,
    }
}

#[tokio::test]
async fn a_run_of_which_every_step_is_done_leaves_its_record_and_no_lock() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_eq!(process.exit_hooks.run().await, []);
    assert_done(&api, "committed");
    let found = process.find().await.unwrap();
    assert_eq!(*found.state(), FoundState::Done);
    let error = found.resume(process.context(), "").await.unwrap_err();
    assert!(matches!(error, JournalError::Over { .. }), "{error}");
    // The next one takes its place.
    let next = process.begin().await.unwrap();
    assert_eq!(process.find().await.unwrap().run_id(), next.run_id());
}

#[tokio::test]
async fn a_command_that_ends_too_early_undoes_what_its_procedure_says() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    for _ in 0..2 {
        process.make_next(&mut run).await.unwrap();
    }
    drop(run);
    assert_eq!(process.exit_hooks.run().await, []);
    assert_undone(&api, "at the exit");
    let steps = [
        "scaled store to 3",
        "undone scale store",
        "scaled operator to 2",
        "undone scale operator",
    ];
    assert_eq!(process.log.steps(), steps);
}

#[tokio::test]
async fn a_command_that_ends_where_nothing_may_be_undone_says_what_stands_and_lets_go() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_all(&mut run).await.unwrap();
    drop(run);
    let left = process.exit_hooks.run().await.remove(0);
    let what: Vec<&str> = left.leftovers.iter().map(|left| &*left.what).collect();
    assert_eq!(what, ["make staged", "scale store", "scale operator"]);
    let text = left.to_string();
    for part in [
        "done, and kept to go on with",
        "kubectl scale store -n cpd",
        "\ngo on with `kubectl wa-test resume plan -n cpd`",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    // At once, and from any machine.
    let other = Process::elsewhere(&api);
    assert_eq!(*other.find().await.unwrap().state(), FoundState::Stopped);
    let mut run = other.resume().await.unwrap();
    assert!(
        !other.make_next(&mut run).await.unwrap(),
        "everything is done"
    );
    commit(&mut run).await.unwrap();
    assert_done(&api, "resumed");
}

#[tokio::test]
async fn a_run_that_changed_nothing_is_over_when_its_command_ends() {
    let api = world();
    let process = Process::here(&api);
    drop(process.begin().await.unwrap());
    assert_eq!(process.exit_hooks.run().await, []);
    assert_undone(&api, "nothing was done");
}

#[tokio::test]
async fn a_command_that_is_interrupted_while_its_run_begins_waits_for_it_and_ends_it() {
    let api = world();
    let process = Process::here(&api);
    let mut begin = Box::pin(process.begin());
    while api.names("leases").is_empty() {
        assert!(futures::poll!(begin.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(begin);
    assert_eq!(process.exit_hooks.run().await, []);
    assert_undone(&api, "interrupted");
}

#[tokio::test]
async fn a_step_that_is_just_being_written_down_when_the_command_is_interrupted_is_undone_too() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    let Next::Step(step) = run.next_step() else {
        panic!("there is no second step");
    };
    let mut start = Box::pin(step.start());
    assert!(futures::poll!(start.as_mut()).is_pending());
    drop(start);
    drop(run);
    assert_eq!(process.exit_hooks.run().await, []);
    assert_undone(&api, "interrupted");
}

#[tokio::test]
async fn a_run_that_cannot_begin_leaves_nothing() {
    for refused in ["POST configmaps", "POST leases"] {
        let api = world();
        api.intercept(move |method, path, body| {
            let is_journal = body["metadata"]["name"] != OPERATOR_LOCK || path == "configmaps";
            let refused =
                format!("{method} {path}") == refused && (path == "configmaps" || !is_journal);
            refused.then_some(StatusCode::FORBIDDEN)
        });
        let process = Process::here(&api);
        process.begin().await.unwrap_err();
        assert_eq!(process.exit_hooks.run().await, []);
        assert_eq!(api.names("leases"), FINISHED, "{refused}");
        assert_eq!(api.names("configmaps"), ["operator", "store"], "{refused}");
    }
}

#[tokio::test]
async fn what_stands_before_a_step_that_cannot_be_undone_stands_too_unless_that_may_stay() {
    for (stubborn, expected) in [
        ("stubborn", vec!["scale stubborn", "scale store"]),
        ("may-stay-stubborn", vec!["scale may-stay-stubborn"]),
    ] {
        let api = world();
        put_replicas(&api, stubborn, "1");
        let process = Process::here(&api);
        let steps = vec![scaled("store"), scaled(stubborn), scaled("operator")];
        let mut run = process.begin_with(steps).await.unwrap();
        process.make_all(&mut run).await.unwrap();
        let left = run.roll_back().await.unwrap_err();
        let what: Vec<&str> = left.leftovers.iter().map(|left| &*left.what).collect();
        assert_eq!(what, expected);
        assert_eq!(left.leftovers[0].why, "it does not want to");
        assert_eq!(replicas(&api, "operator"), "1");
        assert_eq!(*process.find().await.unwrap().state(), FoundState::Stopped);
    }
}

#[tokio::test]
async fn a_step_can_be_undone_in_the_middle_and_comes_again() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    for _ in 0..2 {
        process.make_next(&mut run).await.unwrap();
    }
    run.undo(0).await.unwrap();
    assert_eq!(replicas(&api, "operator"), "2");
    assert_eq!(states(&api), ["undone", "done", "planned"]);
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_done(&api, "done again");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_minutes_is_waited_for() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_mins(4);
    api.intercept(move |method, path, _| {
        let is_away = tokio::time::Instant::now() < until && *method == Method::PUT;
        (is_away && path.ends_with(JOURNAL)).then_some(StatusCode::SERVICE_UNAVAILABLE)
    });
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_done(&api, "it came back");
    assert!(
        process.log.warnings()[0].contains("trying again for up to 5"),
        "{:?}",
        process.log.warnings()
    );
}

#[tokio::test]
async fn the_locks_are_confirmed_before_each_change() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    api.state().changes.clear();
    process.make_next(&mut run).await.unwrap();
    let expected = [
        "PUT configmaps/wa-test-wa",
        "PUT leases/wa-test-wa",
        "PUT leases/kubectl-wa-operator",
        "PUT configmaps/operator",
        "PUT configmaps/wa-test-wa",
    ];
    assert_eq!(api.state().changes, expected);
}

#[tokio::test]
async fn a_command_that_has_done_its_part_leaves_the_run_to_be_resumed_and_is_no_failure() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    run.leave().await;
    assert_eq!(process.exit_hooks.run().await, []);
    let other = Process::elsewhere(&api);
    assert_eq!(*other.find().await.unwrap().state(), FoundState::Stopped);
    let run = other.resume().await.unwrap();
    run.roll_back().await.unwrap();
    assert_undone(&api, "by the next command");
}

#[tokio::test]
async fn how_long_an_undoing_may_take_is_the_commands_where_it_says_so() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    // More than the procedure's own seven seconds, which its undoing insists on.
    run.undo_within(Duration::from_mins(1));
    let error = run.undo(0).await.unwrap_err();
    assert!(matches!(error, JournalError::NotUndone { .. }), "{error}");
    run.undo_within(Duration::from_secs(5));
    run.undo(0).await.unwrap();
}
