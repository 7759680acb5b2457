//! When a retraining is to start, as the user says it.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::schedule::{Schedule, ScheduleError};

/// How long from now a retraining starts unless told otherwise: a patch may take 25 minutes until it is in force.
pub const DEFAULT_DELAY: SignedDuration = SignedDuration::from_mins(40);
/// What is too short for the patch to be in force in time.
pub const SHORTEST_DELAY: SignedDuration = SignedDuration::from_mins(30);
/// Nobody plans further ahead; a longer time is a slip.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(24 * 366);

/// A span of time such as `40m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay(pub SignedDuration);

/// A point in time in any zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Timestamp);

/// Why a retraining cannot start then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It is past.
    #[error("{0} is in the past, and a schedule in the past never fires")]
    Past(Timestamp),
    /// The patch would come too late.
    #[error(
        "the start is less than 30 minutes away; the operator may take 25 minutes until store-admin knows the schedule, and a schedule in the past never fires"
    )]
    TooSoon,
    /// It cannot be written as a schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let delay = text.parse::<SignedDuration>().ok();
        let delay = delay.filter(|delay| !delay.is_negative() && *delay <= LONGEST_DELAY);
        delay.map(Self).ok_or_else(|| {
            format!("`{text}` is not a time span of at most a year: write 40m, 2h or 1h30m")
        })
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &TimeZone::system()).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a time: write 2026-12-01T22:00 (of this machine's zone), 2026-12-01T22:00Z, \
                 2026-12-01T22:00+01:00 or 2026-12-01T22:00[Europe/Berlin]"
            )
        })
    }
}

/// A time without a zone is of `here`; one that the clocks skip or have twice is none.
fn read(text: &str, here: &TimeZone) -> Option<Timestamp> {
    let of_zone = |text: &str| text.parse::<Zoned>().map(|zoned| zoned.timestamp());
    let of_here = |text: &str| {
        let civil: DateTime = text.parse()?;
        here.to_ambiguous_timestamp(civil).unambiguous()
    };
    text.parse()
        .or_else(|_: jiff::Error| of_zone(text))
        .or_else(|_| of_here(text))
        .ok()
}

/// The schedule of a retraining that starts at `time`, seen from `now`.
pub fn schedule(time: Timestamp, now: Timestamp, force: bool) -> Result<Schedule, StartError> {
    let ahead = time.duration_since(now);
    if !ahead.is_positive() {
        return Err(StartError::Past(time));
    }
    if ahead < SHORTEST_DELAY && !force {
        return Err(StartError::TooSoon);
    }
    Ok(Schedule::at(time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_of_any_zone_are_the_same_moment() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for text in [
            "2026-12-01T21:00Z",
            "2026-12-01T22:00+01:00",
            "2026-12-01T16:00-05:00[America/New_York]",
            "2026-12-01T22:00[Europe/Berlin]",
            "2026-12-01T22:00",
            "2026-12-01 22:00:00",
        ] {
            let read = read(text, &berlin);
            assert_eq!(read, Some(timestamp("2026-12-01T21:00:00Z")), "{text}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_or_have_twice_is_refused() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for text in [
            "2026-03-29T02:30",
            "2026-10-25T02:30",
            "22:00",
            "tomorrow",
            "",
        ] {
            assert_eq!(read(text, &berlin), None, "{text}");
        }
    }

    #[test]
    fn a_start_must_leave_time_for_the_patch_unless_forced() {
        let now = timestamp("2026-12-01T12:00:00Z");
        let at = |text: &str, force| schedule(timestamp(text), now, force);
        assert!(at("2026-12-01T12:30:00Z", false).is_ok());
        assert_eq!(at("2026-12-01T12:29:59Z", false), Err(StartError::TooSoon));
        assert!(at("2026-12-01T12:00:01Z", true).is_ok());
        let past = timestamp("2026-12-01T12:00:00Z");
        assert_eq!(schedule(past, now, true), Err(StartError::Past(past)));
    }

    #[test]
    fn delays_are_read_as_people_write_them() {
        let minutes = |text: &str| text.parse::<Delay>().map(|delay| delay.0.as_mins());
        assert_eq!(minutes("40m"), Ok(40));
        assert_eq!(minutes("1h30m"), Ok(90));
        for text in ["", "40", "-5m", "9000h", "soon"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
