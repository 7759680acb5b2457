//! Trying again what broke during a transfer.
//!
//! What counts are attempts in a row that brought next to nothing: a line that breaks every minute and brings much in
//! between may break as often as it likes. So a transfer counts itself, and is told how often and how fast.

use std::time::Duration;

use tokio::time::sleep;

/// How often attempts in a row may fail, and how long is waited before the next one: each time twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    count: u32,
    first_pause: Duration,
    longest_pause: Duration,
}

impl Retries {
    /// So many attempts after the first, with pauses from one second to twenty.
    pub const fn new(count: u32) -> Self {
        Self {
            count,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(20),
        }
    }

    /// The same number, with other pauses.
    #[must_use]
    pub const fn with_pauses(self, first: Duration, longest: Duration) -> Self {
        Self {
            first_pause: first,
            longest_pause: longest,
            ..self
        }
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Makes an attempt until one ends well, or with an error that another attempt does not mend; `observe` is told how many
    /// have failed in a row, and why.
    pub(crate) async fn patiently<T, E, F: Future<Output = Result<T, E>>>(
        self,
        is_transient: impl Fn(&E) -> bool,
        mut observe: impl FnMut(u32, E),
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, E> {
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Err(error) if is_transient(&error) => error,
                ended => return ended,
            };
            failures += 1;
            let Some(pause) = self.pause_after(failures) else {
                return Err(error);
            };
            observe(failures, error);
            sleep(pause).await;
        }
    }

    /// How long to wait when `failures` attempts in a row have failed; `None` when those were all.
    pub fn pause_after(self, failures: u32) -> Option<Duration> {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.first_pause.saturating_mul(doubled);
        (failures <= self.count).then_some(pause.min(self.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_number_of_retries() {
        let seconds = Duration::from_secs;
        let retries = Retries::new(4).with_pauses(seconds(1), seconds(5));
        let pauses: Vec<_> = (1..=5).map(|failed| retries.pause_after(failed)).collect();
        let expected = [Some(1), Some(2), Some(4), Some(5), None].map(|pause| pause.map(seconds));
        assert_eq!(pauses, expected);
        assert_eq!(Retries::new(0).pause_after(1), None);
        let endless = Retries::new(u32::MAX);
        assert_eq!(endless.pause_after(u32::MAX), Some(seconds(20)));
    }
}
