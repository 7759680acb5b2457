//! Scaling for retraining, starting it, and undoing both, beside patches of other people.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::time::Duration;

use end_to_end::{Objects, World};
use serde_json::{Value, json};
use wa_sandbox::world::{OtherPatch, Profile};

/// A world in which patches take effect within seconds, with the patches of other people.
fn world(profile: Profile) -> World {
    World::start_as(|config| {
        config.profile = profile;
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.patches = OtherPatch::ALL.to_vec();
    })
}

#[test]
fn scaling_changes_five_deployments_and_reverting_leaves_everything_as_it_was() {
    let world = world(Profile::V5_2_1);
    let before = Objects::of(&world);
    let outcome = world.retrain(&["scale", "--replicas", "4"]).expect_code(0);
    assert_eq!(
        world.replicas(),
        [4, 2, 2, 1, 1],
        "{}",
        outcome.everything()
    );
    for part in ["wa-clu-training", "undo all"] {
        assert!(outcome.stdout.contains(part), "{}", outcome.stdout);
    }
    // Nothing more is to be done.
    world.retrain(&["scale", "--replicas", "4"]).expect_code(0);
    world.retrain(&["scale", "--revert"]).expect_code(0);
    assert_eq!(world.replicas(), [1; 5]);
    before.assert_same_as(&Objects::of(&world));
}
