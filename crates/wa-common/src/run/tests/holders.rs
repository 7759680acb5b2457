//! A run that others hold, have held, or take over.

use super::*;

#[tokio::test]
async fn a_run_that_somebody_took_over_notices_and_leaves_everything_to_them() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    world.change_lease(&run, hold_by(&Holder::elsewhere()));
    let waited = run.guard(async {
        run.lease.renew().await;
        std::future::pending::<()>().await;
    });
    let waited = tokio::time::timeout(LIMIT, waited).await;
    let error = waited.expect("it notices").unwrap_err();
    assert!(error.to_string().contains("@elsewhere"), "{error}");
    let error = run.record(Made("b".to_owned())).await.unwrap_err();
    assert!(matches!(error, RunError::Lost { .. }), "{error}");
    run.finish().await.unwrap();
    assert_eq!(world.api.names("configmaps"), [run.name("a")]);
    assert_eq!(world.api.names("leases"), [run.run_name()]);
}

#[tokio::test]
async fn a_run_whose_lease_is_gone_notices_and_undoes_what_it_did() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    let lease = format!("leases/{}", run.run_name());
    world.api.state().objects.remove(&lease);
    let error = run.record(Made("b".to_owned())).await.unwrap_err();
    assert!(error.to_string().contains("it is gone"), "{error}");
    run.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn a_run_that_was_only_asleep_goes_on() {
    let world = World::new();
    let run = world.begin().await;
    world.change_lease(&run, |lease| {
        lease["spec"]["renewTime"] = "2020-01-01T00:00:00.000000Z".into();
    });
    run.lease.renew().await;
    run.record(Made("a".to_owned())).await.unwrap();
    assert_ne!(
        world.lease(&run)["spec"]["renewTime"],
        "2020-01-01T00:00:00.000000Z"
    );
}

#[tokio::test]
async fn the_run_of_a_dead_process_is_found_and_undone() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    assert_eq!(world.others().await.len(), 0, "its own");
    world.change_lease(&run, hold_by(&Holder::dead_here()));
    let found = world.others().await.pop().unwrap().unwrap();
    assert_eq!(found.state, RunState::Dead);
    assert_eq!(found.purpose, "a test");
    assert_eq!(found.changes, [Made(run.name("a"))]);
    let taken = found
        .take_over(&world.exit_hooks, &world.reporter(), &world.cluster)
        .await
        .unwrap();
    taken.finish().await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test]
async fn a_run_that_lives_elsewhere_is_left_alone_whatever_this_machines_clock_says() {
    let world = World::new();
    world.api.state().ahead = jiff::SignedDuration::from_hours(3);
    let run = world.begin().await;
    world.change_lease(&run, hold_by(&Holder::elsewhere()));
    let found = world.others().await.pop().unwrap().unwrap();
    assert!(matches!(found.state, RunState::Alive { .. }));
    let refused = found
        .take_over(&world.exit_hooks, &world.reporter(), &world.cluster)
        .await;
    assert!(refused.unwrap_err().to_string().contains("@elsewhere"));

    world.api.state().ahead += jiff::SignedDuration::from_secs(61);
    let found = world.others().await.pop().unwrap().unwrap();
    assert_eq!(found.state, RunState::Dead);
}

#[tokio::test]
async fn a_run_that_shows_life_while_it_is_taken_over_is_left_alone() {
    let world = World::new();
    let run = world.begin().await;
    world.change_lease(&run, hold_by(&Holder::dead_here()));
    let found = world.others().await.pop().unwrap().unwrap();
    world.change_lease(&run, |_| ());
    let refused = found
        .take_over(&world.exit_hooks, &world.reporter(), &world.cluster)
        .await;
    assert!(matches!(refused.unwrap_err(), RunError::Owned { .. }));
}

#[tokio::test]
async fn who_was_faster_to_take_over_a_run_is_named() {
    let world = World::new();
    let run = world.begin().await;
    world.change_lease(&run, hold_by(&Holder::dead_here()));
    let found = world.others().await.pop().unwrap().unwrap();
    world.change_lease(&run, hold_by(&Holder::elsewhere()));
    let refused = found
        .take_over(&world.exit_hooks, &world.reporter(), &world.cluster)
        .await;
    assert!(refused.unwrap_err().to_string().contains("@elsewhere"));
}

#[tokio::test]
async fn a_record_of_another_version_is_an_error_and_hides_no_other_run() {
    let world = World::new();
    let (old, run) = (world.begin().await, world.begin().await);
    world.change_lease(&old, |lease| {
        set_record(lease, |record| record["changes"] = json!([{"unknown": 1}]));
    });
    world.change_lease(&run, hold_by(&Holder::dead_here()));
    let others = world.others().await;
    let unreadable = others.iter().filter_map(|found| found.as_ref().err());
    assert_eq!(unreadable.count(), 1);
    assert_eq!(others.iter().flatten().count(), 1);
}
