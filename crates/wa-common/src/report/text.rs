//! Errors and times as a person reads them.

use std::time::Duration;

use jiff::Timestamp;

/// An error with its causes, outermost first, none of them reported twice: typed errors tell their cause in their own
/// sentence.
pub fn error_text(error: &anyhow::Error) -> String {
    causes_text(error.as_ref())
}

/// As [`error_text`], for an error of a type of its own.
pub fn causes_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// How long something took: `350ms`, `4.2s`, `3m12s`, `2h5m`, `3d4h`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}.{}s", duration.subsec_millis() / 100),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long ago `then` was, as kubectl's AGE column: `45s`, `12m`, `5h`, `3d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_ages_keep_two_units_at_most() {
        assert_eq!(elapsed(Duration::from_millis(350)), "350ms");
        assert_eq!(elapsed(Duration::from_millis(4250)), "4.2s");
        assert_eq!(elapsed(Duration::from_secs(192)), "3m12s");
        assert_eq!(elapsed(Duration::from_secs(86_399)), "23h59m");
        assert_eq!(elapsed(Duration::from_hours(24)), "1d0h");
        assert_eq!(elapsed(Duration::from_hours(3 * 24 + 4)), "3d4h");
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
        assert_eq!(
            [ago(-5), ago(45), ago(7199), ago(7200), ago(172_800)],
            ["0s", "45s", "119m", "2h", "2d"]
        );
    }
}
