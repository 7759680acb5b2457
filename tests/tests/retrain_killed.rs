//! A retraining whose process is killed, whenever, and `finish` afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be unwrapped here fails the test, and a test that fails shows what it printed"
)]

use std::process::Child;
use std::time::Duration;

use end_to_end::{Objects, World, start, sweep_random, sweep_rounds, wait_until};
use rand::seq::IteratorRandom as _;
use wa_sandbox::world::OtherPatch;

/// Of a run to its end: its beginning, two for each of four steps, as many for their undoing, and its end.
const WRITES: usize = 18;
const JOURNAL: &str = "/configmaps";

fn world() -> World {
    World::start_as(|config| {
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.retrain_speed = 600;
        config.variant.patches = vec![OtherPatch::AddCustomWebhooksCert, OtherPatch::FixCluCerts];
    })
}

/// How often the journal was written since there were `before` requests.
fn writes(world: &World, before: usize) -> usize {
    let requests = world.sandbox().requests();
    let own = requests.iter().skip(before);
    own.filter(|request| {
        let is_journal = request.uri.contains(JOURNAL) && !request.uri.contains("dryRun");
        is_journal && ["POST", "PUT"].contains(&request.method.as_str())
    })
    .count()
}

/// Runs a retraining and kills it when it has written the journal so often.
fn kill_after(world: &World, count: usize) {
    let before = world.sandbox().requests().len();
    let run = [
        "run",
        "--replicas",
        "3",
        "--in",
        "8s",
        "--yes",
        "--interval",
        "300ms",
        "--timeout",
        "3m",
        "--force",
    ];
    let mut child = start(&mut world.retrain_command(&run));
    let has_ended = |child: &mut Child| child.try_wait().unwrap().is_some();
    wait_until(&format!("the journal was written {count} times"), || {
        writes(world, before) >= count || has_ended(&mut child)
    });
    child.kill().unwrap();
    let outcome = child.wait_with_output().unwrap();
    println!("{}", String::from_utf8_lossy(&outcome.stderr));
    assert!(writes(world, before) >= count, "it ended before");
}

#[test]
fn whenever_a_run_is_killed_finish_leaves_the_cluster_as_it_was() {
    let world = world();
    let before = Objects::from_world(&world);
    let mut random = sweep_random();
    let rounds = sweep_rounds(4, WRITES);
    let mut places = (1..=WRITES).sample(&mut random, rounds);
    places.sort_unstable();
    for count in places {
        println!("killed after {count} writes");
        kill_after(&world, count);
        let finish = ["finish", "--yes", "--timeout", "3m", "--force"];
        world.retrain(&finish).expect_code(0);
        before.assert_same_as(&Objects::from_world(&world));
    }
}

#[test]
fn a_run_that_was_killed_is_resumed_by_the_same_command() {
    let world = world();
    let before = Objects::from_world(&world);
    // In the middle of scaling.
    kill_after(&world, 4);
    let run = [
        "run",
        "--in",
        "8s",
        "--yes",
        "--interval",
        "300ms",
        "--timeout",
        "3m",
        "--force",
    ];
    let outcome = world.retrain(&run).expect_code(0);
    assert!(
        outcome.stderr.contains("wa-clu-training has 3")
            || outcome.stderr.contains("wa-tfmm has 2"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stdout.contains("24 (100 %)"),
        "{}",
        outcome.everything()
    );
    before.assert_same_as(&Objects::from_world(&world));
}
