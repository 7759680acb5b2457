//! Who may change something, where several want to.

use http::{Method, StatusCode};
use tokio::runtime::Builder;

use super::*;

#[tokio::test]
async fn a_run_that_somebody_holds_is_refused_and_its_holder_named() {
    let api = world();
    let other = Process::elsewhere(&api);
    let mut theirs = other.begin().await.unwrap();
    other.make_next(&mut theirs).await.unwrap();
    let before = journal(&api);
    let process = Process::here(&api);
    for refused in [process.begin().await, process.resume().await] {
        let error = refused.unwrap_err();
        assert_eq!(error.exit(), Some(Exit::Refused));
        let text = error.to_string();
        for part in [
            "@elsewhere (process",
            "wa-test-wa",
            "kubectl wa-test run",
            "since 20",
        ] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
    assert_eq!(journal(&api), before);
    other.make_all(&mut theirs).await.unwrap();
    commit(&mut theirs).await.unwrap();
    assert_done(&api, "undisturbed");
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_does() {
    let api = world();
    let processes = [Process::here(&api), Process::elsewhere(&api)];
    let (one, other) = tokio::join!(processes[0].begin(), processes[1].begin());
    let begun: Vec<_> = [one, other].into_iter().flatten().collect();
    assert_eq!(begun.len(), 1);
    let id = begun[0].run_id().to_owned();
    assert_eq!(journal(&api)["data"]["run"], id.as_str());
    assert_eq!(api.names("leases"), [OPERATOR_LOCK, JOURNAL]);
}

#[tokio::test]
async fn of_two_that_go_on_at_once_one_does() {
    let api = world();
    let dead = Process::elsewhere(&api);
    let mut run = dead.begin().await.unwrap();
    dead.make_next(&mut run).await.unwrap();
    later(&api);
    let processes = [Process::here(&api), Process::elsewhere(&api)];
    let (one, other) = tokio::join!(processes[0].resume(), processes[1].resume());
    let (mut resumed, mut at) = (Vec::new(), Vec::new());
    for (number, outcome) in [one, other].into_iter().enumerate() {
        if let Ok(run) = outcome {
            resumed.push(run);
            at.push(number);
        }
    }
    assert_eq!(at.len(), 1);
    processes[at[0]].make_all(&mut resumed[0]).await.unwrap();
    commit(&mut resumed[0]).await.unwrap();
    assert_done(&api, "by the one");
}

/// A process elsewhere that has started a step, and then sleeps: nothing of it is polled while another one goes on.
#[test]
fn a_holder_that_slept_while_another_went_on_changes_nothing_any_more() {
    for finished in [false, true] {
        let api = world();
        let build = || {
            Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap()
        };
        let (asleep, awake) = (build(), build());
        let sleeper = asleep.block_on(async { Process::elsewhere(&api) });
        let mut run = asleep.block_on(async {
            let mut run = sleeper.begin().await.unwrap();
            sleeper.make_next(&mut run).await.unwrap();
            run
        });
        let Next::Step(step) = run.next_step() else {
            panic!("a step is left");
        };
        let started = asleep.block_on(step.start()).unwrap();
        later(&api);
        let process = awake.block_on(async { Process::here(&api) });
        let other = awake.block_on(async {
            let mut other = process.resume().await.unwrap();
            if finished {
                process.make_all(&mut other).await.unwrap();
                commit(&mut other).await.unwrap();
            }
            other
        });
        let before = api.state().objects.clone();
        asleep.block_on(async {
            let changed = started
                .change(|_| async { panic!("it must not change anything") })
                .await;
            let error = changed.unwrap_err();
            assert!(matches!(error, JournalError::LockLost { .. }), "{error}");
            let waited = started.guard(std::future::pending::<()>()).await;
            assert!(matches!(waited, Err(JournalError::LockLost { .. })));
            let error = started.done("of the sleeper".to_owned()).await.unwrap_err();
            assert!(matches!(error, JournalError::Changed { .. }), "{error}");
            assert_eq!(sleeper.exit_hooks.run().await, []);
            let warning = sleeper.log.warnings().pop().unwrap();
            assert!(warning.contains("was taken over by"), "{warning}");
        });
        assert_eq!(api.state().objects, before, "finished: {finished}");
        drop((run, other));
    }
}

#[tokio::test]
async fn one_that_is_dead_is_taken_over_and_its_epoch_ended() {
    let api = world();
    let dead = Process::elsewhere(&api);
    let _theirs = dead.begin().await.unwrap();
    let process = Process::here(&api);
    assert!(matches!(
        process.find().await.unwrap().state(),
        FoundState::Running { holder, .. } if holder.contains("@elsewhere")
    ));
    later(&api);
    assert_eq!(*process.find().await.unwrap().state(), FoundState::Stopped);
    let run = process.resume().await.unwrap();
    for name in [JOURNAL, OPERATOR_LOCK] {
        let lease = api.state().objects[&format!("leases/{name}")].clone();
        assert_eq!(lease["spec"]["leaseTransitions"], 1, "{name}");
    }
    let holding: Value =
        serde_json::from_str(journal(&api)["data"]["holding"].as_str().unwrap()).unwrap();
    assert_eq!(holding["epoch"], 1);
    assert_eq!(holding["command"], "kubectl wa-test resume");
    run.roll_back().await.unwrap();
    assert_undone(&api, "taken over");
}

#[tokio::test]
async fn looking_at_a_run_writes_nothing() {
    let api = world();
    let other = Process::elsewhere(&api);
    let mut run = other.begin().await.unwrap();
    other.make_next(&mut run).await.unwrap();
    let writes = api.state().changes.len();
    let process = Process::here(&api);
    let found = process.find().await.unwrap();
    assert_eq!(found.run_id(), run.run_id());
    assert_eq!(found.steps()[0].state.outcome().unwrap(), "as it should be");
    assert_eq!(api.state().changes.len(), writes);
}

#[tokio::test]
async fn what_a_stopped_run_of_another_instance_has_stopped_is_not_begun_on() {
    let api = world();
    let other = Process::elsewhere(&api);
    let theirs = JournaledRun::<Scaling>::begin_as(
        other.holder.clone(),
        other.context(),
        NewRun {
            instance: "wb".to_owned(),
            ..other.new_run(steps())
        },
    );
    let mut theirs = theirs.await.unwrap();
    other.make_all(&mut theirs).await.unwrap();
    let id = theirs.run_id().to_owned();
    theirs.release().await.unwrap_err();

    let process = Process::here(&api);
    let refused = process.begin().await.unwrap_err();
    assert_eq!(refused.exit(), Some(Exit::Refused));
    let text = refused.to_string();
    for part in [&*id, "wa-test-wb", "kubectl wa-test status -n cpd"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(
        api.names("leases"),
        [OPERATOR_LOCK, "wa-test-wb"],
        "nothing stays of ours"
    );
    assert!(process.find().await.is_none());

    // Nor where nobody may see whether it is over.
    api.intercept(|method, path, _| {
        let hidden = method == Method::GET && path == "configmaps/wa-test-wb";
        hidden.then_some(StatusCode::FORBIDDEN)
    });
    let refused = process.begin().await.unwrap_err().to_string();
    assert!(refused.contains("cannot be seen"), "{refused}");
    api.intercept(|_, _, _| None);

    let found = JournaledRun::<Scaling>::find(&process.cluster, "wb").await;
    let found = found.unwrap().unwrap();
    let run = found.resume(process.context(), "kubectl wa-test rollback");
    run.await.unwrap().roll_back().await.unwrap();
    process.begin().await.unwrap();
}

#[tokio::test]
async fn a_run_that_has_stopped_is_not_begun_anew() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    let id = run.run_id().to_owned();
    run.release().await.unwrap_err();
    let text = process.begin().await.unwrap_err().to_string();
    for part in [&*id, "go on with `kubectl wa-test resume plan -n cpd`"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn a_run_whose_lock_somebody_deleted_changes_nothing_more_and_says_what_stands() {
    let api = world();
    let process = Process::here(&api);
    let mut run = process.begin().await.unwrap();
    process.make_next(&mut run).await.unwrap();
    api.state()
        .objects
        .remove(&format!("leases/{OPERATOR_LOCK}"));
    let error = process.make_next(&mut run).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("lease kubectl-wa-operator of this run was lost: it is gone"),
        "{error}"
    );
    let left = process.exit_hooks.run().await.remove(0);
    assert_eq!(left.leftovers.len(), 2, "{left}");
    assert_eq!(replicas(&api, "store"), "3");

    let mut run = process.resume().await.unwrap();
    process.make_all(&mut run).await.unwrap();
    commit(&mut run).await.unwrap();
    assert_done(&api, "resumed");
}
