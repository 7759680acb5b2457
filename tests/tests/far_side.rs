//! What the look at the far side sees, so that a test that finds nothing there has looked.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use end_to_end::{FarSide, World, wait_until};

/// What the look complains of.
#[track_caller]
fn complaint(far_side: &mut FarSide<'_>) -> String {
    let look = AssertUnwindSafe(|| far_side.expect_as_before());
    let complaint = catch_unwind(look).expect_err("it finds nothing");
    *complaint.downcast::<String>().unwrap()
}

/// Runs a script in a pod as the plugins do.
#[track_caller]
fn exec(world: &World, pod: &str, script: &str) -> String {
    world.kubectl(&["exec", pod, "-c", "postgres", "--", "sh", "-c", script])
}

#[test]
fn it_sees_nothing_where_nothing_was_done() {
    let world = World::shared();
    let mut far_side = world.far_side();
    exec(
        &world,
        &world.sandbox().names().primary_pod(),
        "psql -c 'select 1'",
    );
    far_side.expect_as_before();
}

#[test]
fn it_sees_a_process_that_was_left_in_the_databases_pod() {
    let world = World::shared();
    let database = world.sandbox().names().primary_pod();
    let mut far_side = world.far_side();
    exec(&world, &database, "sleep 12345 >/dev/null 2>&1 & echo $!");
    let seen = complaint(&mut far_side);
    assert!(seen.contains("sleep 12345"), "{seen}");
}

#[test]
fn it_sees_a_process_that_was_left_in_another_pod_and_the_zombie_of_it() {
    let world = World::shared();
    let replica = format!("{}-2", world.sandbox().names().postgres_cluster);
    let mut far_side = world.far_side();
    let left = exec(&world, &replica, "sleep 12345 >/dev/null 2>&1 & echo $!");
    let seen = complaint(&mut far_side);
    assert!(seen.contains("sleep 12345"), "{seen}");
    exec(&world, &replica, &format!("kill {left}"));
    let seen = complaint(&mut far_side);
    assert!(seen.contains("(parent 1, Z) sleep"), "{seen}");
}

#[test]
fn it_sees_a_session_that_was_left() {
    let world = World::shared();
    let mut far_side = world.far_side();
    let _bystander = world.far_side();
    let seen = complaint(&mut far_side);
    assert!(seen.contains("a session is left"), "{seen}");
}

#[test]
fn it_sees_that_the_server_has_crashed() {
    // Its own cluster: the others are to be looked at whole.
    let world = World::start(wa_sandbox::world::Profile::default());
    let mut far_side = world.far_side();
    let database = world.sandbox().names().primary_pod();
    let killed_as_an_orphan = "sh -c 'until read -r pid name state parent rest </proc/$$/stat && [ $parent = 1 ]; do sleep 0.02; done; kill $$' \
         >/dev/null 2>&1 & exit 0";
    exec(&world, &database, killed_as_an_orphan);
    wait_until("the server has noticed", || {
        world
            .kubectl(&["logs", &database, "-c", "postgres"])
            .contains("automatic recovery")
    });
    let seen = complaint(&mut far_side);
    assert!(seen.contains("terminated by signal 15"), "{seen}");
}
