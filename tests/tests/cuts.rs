//! A dump whose connection is cut at any byte, or whose client is killed: never a backup, and nothing of it stays in the
//! pod, whatever process 1 of the pod is.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be unwrapped here fails the test, which then shows what it printed"
)]

use std::fs;
use std::path::Path;

use end_to_end::{Outcome, World, dump_requests, start, sweep_random, sweep_rounds, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rand::RngExt as _;
use rand::rngs::StdRng;
use wa_sandbox::world::ProcessOne;

const CREATE: [&str; 5] = ["create", "--to", "sets", "--retries", "0"];

/// What breaks in a round, and how.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// The dump's stream.
    Dump(Cut),
    /// Whatever asks the pod first, which is tried again.
    Question(Cut),
    /// The client is killed when so many milliseconds have passed since the dump began.
    Client(u64),
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    WithoutWord(u64),
    WithoutStatus(u64),
}

impl Cut {
    fn effect(self) -> Effect {
        match self {
            Self::WithoutWord(bytes) => Effect::CutAfter { bytes },
            Self::WithoutStatus(after_bytes) => Effect::CloseWithoutStatus { after_bytes },
        }
    }
}

/// What breaks in that round of a dump of so many bytes.
fn choose(round: usize, size: u64, random: &mut StdRng) -> Break {
    let cut = |bytes| {
        if round.is_multiple_of(2) {
            Cut::WithoutWord(bytes)
        } else {
            Cut::WithoutStatus(bytes)
        }
    };
    match round {
        0 => Break::Dump(cut(0)),
        1 => Break::Dump(cut(1)),
        2 => Break::Dump(cut(size - 1)),
        3 => Break::Dump(cut(size)),
        _ if round % 8 == 5 => Break::Client(random.random_range(0..200)),
        _ if round % 8 == 6 => Break::Question(cut(random.random_range(0..40))),
        _ => Break::Dump(cut(random.random_range(0..=size))),
    }
}

/// The size of the dump, by taking it once.
fn dump_bytes(world: &World) -> u64 {
    let scratch = world.scratch();
    world.backup(scratch.path(), &CREATE).expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));
    fs::metadata(set.join("store.dump")).unwrap().len()
}

/// Takes a backup that a fault meets.
#[track_caller]
fn meet(world: &World, one: Break) {
    let scratch = world.scratch();
    match one {
        Break::Dump(cut) => {
            world.fault(dump_requests(), Some(1), cut.effect());
            let outcome = world.backup(scratch.path(), &CREATE).expect_code(1);
            outcome.expect_error(&["the dump failed"]);
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
        Break::Question(cut) => {
            let execs = Matcher {
                subresource: Some("exec".to_owned()),
                ..Matcher::default()
            };
            world.fault(execs, Some(1), cut.effect());
            let outcome = world.backup(scratch.path(), &CREATE);
            let sets = fs::read_dir(scratch.path()).unwrap().count();
            assert!(
                matches!((outcome.code, sets), (0, 1) | (1, 0)),
                "{outcome:?}"
            );
        }
        Break::Client(milliseconds) => kill(world, scratch.path(), milliseconds),
    }
    world.sandbox().faults().clear();
}

/// Starts a backup over a slow line and kills it in the middle of the dump.
#[track_caller]
fn kill(world: &World, directory: &Path, milliseconds: u64) {
    let bytes_per_second = 20_000;
    world.fault(dump_requests(), None, Effect::Throttle { bytes_per_second });
    let dumps = || {
        let requests = world.sandbox().requests();
        let is_dump = |uri: &str| uri.contains("--format%3Dcustom");
        requests.iter().filter(|one| is_dump(&one.uri)).count()
    };
    let before = dumps();
    let mut create = start(&mut world.backup_command(directory, &CREATE));
    wait_until("the dump has begun", || dumps() > before);
    // Where in its work it dies is to differ.
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    create.kill().unwrap();
    let outcome: Outcome = create.wait_with_output().unwrap().into();
    outcome.expect_code(-1);
}

fn sweep(process_one: ProcessOne) {
    let world = World::start_as(|config| config.process_one = process_one);
    let size = dump_bytes(&world);
    let mut random = sweep_random();
    let mut far_side = world.far_side();
    for round in 0..sweep_rounds(24, 200) {
        let one = choose(round, size, &mut random);
        println!("round {round}: {one:?}");
        meet(&world, one);
        far_side.expect_as_before();
    }
}

#[test]
fn postgres_as_process_1_lives_through_every_cut() {
    sweep(ProcessOne::Postgres);
}

#[test]
fn nothing_stays_in_a_pod_whose_process_1_is_a_shell() {
    sweep(ProcessOne::Shell);
}

#[test]
fn nothing_stays_in_a_pod_whose_process_1_is_an_init() {
    sweep(ProcessOne::Init);
}

#[test]
fn no_zombie_stays_in_a_pod_whose_process_1_reaps_no_strangers() {
    sweep(ProcessOne::InstanceManager);
}

/// Each takes up to a minute, in which nothing else is to see.
#[test]
fn nothing_stays_after_a_line_fell_silent_whatever_process_1_is() {
    let kinds = ProcessOne::ALL;
    let some = sweep_rounds(1, kinds.len());
    // The last is the one that forgives the least but for the first, which has its test with the other faults.
    for process_one in kinds.into_iter().rev().take(some) {
        println!("{process_one:?}");
        let world = World::start_as(|config| config.process_one = process_one);
        let mut far_side = world.far_side();
        let scratch = world.scratch();
        world.fault(dump_requests(), None, Effect::StallAfter { bytes: 20_000 });
        world.backup(scratch.path(), &CREATE).expect_code(1);
        far_side.expect_as_before_after_silence();
    }
}
