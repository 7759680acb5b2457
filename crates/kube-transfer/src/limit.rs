//! Arithmetic with limits that are the caller's, up to [`Duration::MAX`], which stands for none.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process lives, and short enough to be added to a moment.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// When `limit` is over that begins at `start`.
pub(crate) fn deadline(start: Instant, limit: Duration) -> Instant {
    start + limit.min(FOR_EVER)
}

/// A period in which something can be done again and again.
pub(crate) fn period(every: Duration) -> Duration {
    // A period of zero panics.
    every.clamp(Duration::from_millis(1), FOR_EVER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_limit_is_too_long_or_too_short(seconds in any::<u64>(), nanos in 0..1_000_000_000_u32) {
            let limit = Duration::new(seconds, nanos);
            let start = Instant::now();
            prop_assert!(deadline(start, limit) >= start);
            prop_assert!(!period(limit).is_zero());
            // As what waits for periods adds them up.
            prop_assert!(deadline(start, period(limit)) > start);
        }
    }

    #[test]
    fn the_longest_and_the_shortest_limits_have_a_deadline() {
        let start = Instant::now();
        assert_eq!(deadline(start, Duration::ZERO), start);
        assert!(deadline(start, Duration::MAX) > start);
        assert!(period(Duration::MAX) < Duration::MAX);
    }
}
