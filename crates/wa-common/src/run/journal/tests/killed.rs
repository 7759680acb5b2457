//! A process that is killed at any of its writes: before the API server has served it, or after.

use std::time::Duration;

use http::Method;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::*;

/// No test takes so long.
const FOR_EVER: Duration = Duration::from_hours(1);

/// What the process that is killed was to do.
#[derive(Debug, Clone, Copy)]
enum Doing {
    /// All steps, and the commit.
    Run,
    /// All steps, and then undo them.
    RollBack,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Has a process elsewhere do it, and kills it at the write of this number, from 0; `None` where it has fewer.
fn killed_at(write: usize, served: bool, doing: Doing) -> Option<FakeApi> {
    let api = world();
    let (kill, mut killed) = mpsc::unbounded_channel();
    let mut writes = 0;
    api.delay(move |method, _| {
        let is_this = method != Method::GET && writes == write;
        writes += usize::from(method != Method::GET);
        if is_this {
            kill.send(()).unwrap();
        }
        let hangs = if is_this || writes > write {
            FOR_EVER
        } else {
            Duration::ZERO
        };
        if served {
            [Duration::ZERO, hangs]
        } else {
            [hangs, Duration::ZERO]
        }
    });
    let runtime = runtime();
    // The client has a task of its own.
    let process = runtime.block_on(async { Process::elsewhere(&api) });
    let work = async {
        let mut run = process.begin().await.unwrap();
        process.make_all(&mut run).await.unwrap();
        match doing {
            Doing::Run => commit(&mut run).await.unwrap(),
            Doing::RollBack => run.roll_back().await.unwrap(),
        }
    };
    let was_killed = runtime.block_on(async {
        tokio::select! {
            biased;
            _ = killed.recv() => true,
            () = work => false,
        }
    });
    // With every task of it.
    drop(runtime);
    api.delay(|_, _| [Duration::ZERO; 2]);
    later(&api);
    was_killed.then_some(api)
}

/// Every world that a killed process can leave behind, with what says when it was killed.
fn worlds() -> Vec<(FakeApi, String)> {
    let mut worlds = Vec::new();
    for doing in [Doing::Run, Doing::RollBack] {
        for served in [false, true] {
            let kills = (0..).map_while(|write| Some((write, killed_at(write, served, doing)?)));
            worlds.extend(kills.map(|(write, api)| {
                (
                    api,
                    format!("killed at write {write} of {doing:?}, served: {served}"),
                )
            }));
        }
    }
    assert!(worlds.len() > 80, "{}", worlds.len());
    worlds
}

#[test]
fn whenever_a_process_was_killed_another_one_goes_on_to_the_end_and_repeats_no_step_that_is_done() {
    for (api, when) in worlds() {
        runtime().block_on(async {
            let process = Process::here(&api);
            let done = match process.find().await {
                Some(found) if *found.state() == FoundState::Stopped => {
                    let done = found.steps().iter().filter(|one| one.state.is_done());
                    let done = done.map(|one| Scaling::describe(&one.step)).collect();
                    let mut run = process.resume().await.unwrap();
                    process.make_all(&mut run).await.unwrap();
                    commit(&mut run).await.unwrap();
                    done
                }
                found => {
                    // It had not begun, or had ended, and what it left is in nobody's way.
                    if found.is_some_and(|found| *found.state() == FoundState::Done) {
                        put_replicas(&api, "operator", "2");
                        put_replicas(&api, "store", "3");
                        api.state().objects.remove("configmaps/staged");
                    }
                    let mut run = process.begin().await.unwrap();
                    process.make_all(&mut run).await.unwrap();
                    commit(&mut run).await.unwrap();
                    Vec::new()
                }
            };
            let made = process.made.lock().unwrap().clone();
            assert_eq!(
                made.len() + done.len(),
                3,
                "{when}: {made:?} after {done:?}"
            );
        });
        assert_done(&api, &when);
    }
}

#[test]
fn whenever_a_process_was_killed_another_one_undoes_what_it_did() {
    for (api, when) in worlds() {
        runtime().block_on(async {
            let process = Process::here(&api);
            match process.find().await.as_ref().map(FoundRun::state) {
                Some(FoundState::Stopped) => {
                    let run = process.resume().await.unwrap();
                    run.roll_back().await.unwrap();
                    assert_undone(&api, &when);
                }
                Some(FoundState::Done) => {
                    let found = ["operator", "store"].map(|name| replicas(&api, name));
                    assert_eq!(found, ["0", "0"], "{when}");
                }
                _ => {
                    let found = ["operator", "store"].map(|name| replicas(&api, name));
                    assert_eq!(found, ["2", "3"], "{when}");
                }
            }
        });
    }
}

#[test]
fn a_step_whose_undoing_was_cut_short_is_done_again_and_not_taken_for_done() {
    let mut undoing = 0;
    for (api, when) in worlds() {
        if api
            .state()
            .objects
            .contains_key(&format!("configmaps/{JOURNAL}"))
            && states(&api).contains(&"undoing".to_owned())
        {
            undoing += 1;
            runtime().block_on(async {
                let process = Process::here(&api);
                let mut run = process.resume().await.unwrap();
                let first = run.steps().iter().position(|one| !one.state.is_done());
                let Next::Step(step) = run.next_step() else {
                    panic!("{when}: nothing is left to be done");
                };
                assert_eq!(step.position().0, first.unwrap() + 1, "{when}");
                assert!(step.state().stands(), "{when}");
            });
        }
    }
    assert!(undoing > 0);
}
