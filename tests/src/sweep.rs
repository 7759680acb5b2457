//! Sweeps: many faults at random places.

#![expect(
    clippy::print_stdout,
    reason = "a test that fails shows what it printed"
)]

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Random numbers from a seed that is printed: `SWEEP_SEED` has a sweep that failed once more.
pub fn sweep_random() -> StdRng {
    let seed: u64 =
        std::env::var("SWEEP_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SWEEP_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How many rounds a sweep has: `few`, or `all` when `WA_FULL_SWEEP` is `1`.
pub fn sweep_rounds(few: usize, all: usize) -> usize {
    if std::env::var_os("WA_FULL_SWEEP").is_some_and(|value| value == "1") {
        all
    } else {
        few
    }
}
