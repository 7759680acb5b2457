//! A Lease that is renewed in time, however slow the API server is.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::VALID_FOR;
use super::tests::{Made, World, record_of};

/// How long a request takes that is answered too late for any renewal.
const AN_HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn two_renewals_that_are_not_answered_do_not_lose_a_living_run() {
    // Not served, or served and not answered.
    for slow in [[AN_HOUR, Duration::ZERO], [Duration::ZERO, AN_HOUR]] {
        let world = World::new();
        let run = world.begin().await;
        let mut left = 2;
        world.api.delay(move |method, _| {
            let delayed = method == Method::PUT && left > 0;
            left -= i32::from(delayed);
            if delayed { slow } else { [Duration::ZERO; 2] }
        });
        let lease = format!("leases/{}", run.run_name());
        let version = || world.api.state().objects[&lease]["metadata"]["resourceVersion"].clone();
        let began = tokio::time::Instant::now();
        let mut renewed = began;
        let mut last = version();
        while began.elapsed() < VALID_FOR * 5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if version() != last {
                (last, renewed) = (version(), tokio::time::Instant::now());
            }
            assert!(renewed.elapsed() < VALID_FOR, "{:?}", renewed.elapsed());
        }
        run.record(Made("a".to_owned())).await.unwrap();
        assert_eq!(record_of(&world.lease(&run))["changes"], json!(["a"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_not_recorded_in_time_is_sent_again_and_recorded_once() {
    for slow in [[AN_HOUR, Duration::ZERO], [Duration::ZERO, AN_HOUR]] {
        let world = World::new();
        let run = world.begin().await;
        let mut left = 2;
        world.api.delay(move |method, _| {
            let delayed = method == Method::PUT && left > 0;
            left -= i32::from(delayed);
            if delayed { slow } else { [Duration::ZERO; 2] }
        });
        let began = tokio::time::Instant::now();
        run.record(Made("a".to_owned())).await.unwrap();
        assert!(began.elapsed() < VALID_FOR, "{:?}", began.elapsed());
        assert_eq!(record_of(&world.lease(&run))["changes"], json!(["a"]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_undoing_does_not_wait_for_a_renewal() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    let (renewing, mut renews) = tokio::sync::mpsc::unbounded_channel();
    world.api.delay(move |method, _| {
        let renewal = method == Method::PUT;
        if renewal {
            renewing.send(()).unwrap();
        }
        [if renewal { AN_HOUR } else { Duration::ZERO }; 2]
    });
    renews.recv().await.unwrap();
    let began = tokio::time::Instant::now();
    run.finish().await.unwrap();
    // The time is the tests', and stands still while something can be done.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(world.api.state().objects.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_while_a_change_takes_long_to_undo() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "a").await;
    let lease = format!("leases/{}", run.run_name());
    let version = || world.api.state().objects[&lease]["metadata"]["resourceVersion"].clone();
    let before = version();
    world.api.delay(|method, path| {
        let undoing = method == Method::DELETE && path.starts_with("configmaps");
        [
            if undoing { VALID_FOR } else { Duration::ZERO },
            Duration::ZERO,
        ]
    });
    let mut undoing = Box::pin(run.finish());
    let half = tokio::time::timeout(VALID_FOR / 2, undoing.as_mut()).await;
    assert!(half.is_err(), "it takes longer");
    assert_ne!(version(), before);
    undoing.await.unwrap();
    assert_eq!(world.api.state().objects.len(), 0);
}
