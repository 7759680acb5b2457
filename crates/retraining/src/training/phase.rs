//! Where a retraining is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::progress::Progress;

/// Where a retraining is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing asks for one.
    NotStarted,
    /// The patch is there; store-admin does not run with its variables yet.
    Patched,
    /// store-admin runs with them, and its time is not there yet.
    WaitingForSchedule,
    /// It runs with them, its time is past, and it has not logged any training yet.
    RolledOut,
    /// It trains.
    Training,
    /// Everything is trained.
    Done,
    /// Nearly everything is, and nothing was for as long as the rest is waited for.
    Gap,
    /// Nothing was trained for as long as that may take.
    Stalled,
}

/// How long is waited without a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the rest, where it is small.
    pub settle: Duration,
    /// For anything else.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            settle: Duration::from_mins(30),
            stall: Duration::from_mins(30),
        }
    }
}

/// What tells the phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Whether a patch asks for retraining.
    pub(super) patched: bool,
    /// Whether store-admin's Deployment has it switched on.
    pub(super) enabled: bool,
    /// Whether all of its pods are made from that Deployment as it is.
    pub(super) rolled_out: bool,
    /// When it is to start; `None` where the schedule is not one time.
    pub(super) schedule: Option<Timestamp>,
    /// The last start of a pod that counts.
    pub(super) started: Option<Timestamp>,
    pub(super) progress: Option<&'a Progress>,
    pub(super) now: Timestamp,
}

impl Phase {
    pub(super) fn from_facts(facts: &Facts<'_>, patience: Patience) -> Self {
        if !facts.enabled {
            return if facts.patched {
                Self::Patched
            } else {
                Self::NotStarted
            };
        }
        if let Some(progress) = facts.progress {
            return Self::of_progress(progress, facts.now, patience);
        }
        if !facts.rolled_out {
            return Self::Patched;
        }
        if facts.schedule.is_some_and(|time| time > facts.now) {
            return Self::WaitingForSchedule;
        }
        // Silent since the later of its start and its time.
        let since = facts.schedule.max(facts.started);
        if since.is_some_and(|since| is_over(facts.now.duration_since(since), patience.stall)) {
            return Self::Stalled;
        }
        Self::RolledOut
    }

    fn of_progress(progress: &Progress, now: Timestamp, patience: Patience) -> Self {
        if progress.is_done() {
            return Self::Done;
        }
        let unchanged = progress.unchanged_for(now);
        if progress.gap_is_small() && !progress.newer_line_unknown {
            return if is_over(unchanged, patience.settle) {
                Self::Gap
            } else {
                Self::Training
            };
        }
        if is_over(unchanged, patience.stall) {
            Self::Stalled
        } else {
            Self::Training
        }
    }

    /// Whether it has come to an end, good or bad.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Gap | Self::Stalled)
    }

    /// Whether it is on the way.
    pub fn is_under_way(self) -> bool {
        !self.has_ended() && self != Self::NotStarted
    }

    /// For a person.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Patched => "patched",
            Self::WaitingForSchedule => "waiting for schedule",
            Self::RolledOut => "rolled out",
            Self::Training => "training",
            Self::Done => "done",
            Self::Gap => "ended with a gap",
            Self::Stalled => "stalled",
        }
    }
}

fn is_over(passed: SignedDuration, limit: Duration) -> bool {
    Duration::try_from(passed).is_ok_and(|passed| passed >= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + minutes * 60).unwrap()
    }

    fn progress(affected: u64, retrained: u64, unchanged_since: i64) -> Progress {
        Progress {
            pod: "pod".to_owned(),
            affected,
            retrained,
            unchanged_since: at(unchanged_since),
            newer_line_unknown: false,
            per_hour: None,
            history: Vec::new(),
        }
    }

    fn phase(
        patched: bool,
        enabled: bool,
        rolled_out: bool,
        progress: Option<&Progress>,
        now: i64,
    ) -> Phase {
        let facts = Facts {
            patched,
            enabled,
            rolled_out,
            schedule: Some(at(0)),
            started: Some(at(-10)),
            progress,
            now: at(now),
        };
        Phase::from_facts(&facts, Patience::default())
    }

    #[test]
    fn a_retraining_goes_from_patch_to_rollout_to_its_time_to_training() {
        assert_eq!(phase(false, false, true, None, -30), Phase::NotStarted);
        assert_eq!(phase(true, false, true, None, -30), Phase::Patched);
        assert_eq!(phase(true, true, false, None, -20), Phase::Patched);
        assert_eq!(phase(true, true, true, None, -5), Phase::WaitingForSchedule);
        assert_eq!(phase(true, true, true, None, 1), Phase::RolledOut);
        let some = progress(100, 3, 1);
        assert_eq!(phase(true, true, true, Some(&some), 2), Phase::Training);
        let all = progress(100, 100, 9);
        assert_eq!(phase(true, true, true, Some(&all), 9), Phase::Done);
    }

    #[test]
    fn half_an_hour_without_a_change_is_a_stall_and_for_a_small_rest_a_gap() {
        let far = progress(100, 50, 10);
        assert_eq!(phase(true, true, true, Some(&far), 39), Phase::Training);
        assert_eq!(phase(true, true, true, Some(&far), 40), Phase::Stalled);
        let near = progress(100, 97, 10);
        assert_eq!(phase(true, true, true, Some(&near), 39), Phase::Training);
        assert_eq!(phase(true, true, true, Some(&near), 40), Phase::Gap);
    }

    #[test]
    fn a_job_that_never_tells_anything_is_stalled_half_an_hour_after_its_time_or_its_restart() {
        assert_eq!(phase(true, true, true, None, 29), Phase::RolledOut);
        assert_eq!(phase(true, true, true, None, 30), Phase::Stalled);
        let restarted = Facts {
            patched: true,
            enabled: true,
            rolled_out: true,
            schedule: Some(at(0)),
            started: Some(at(20)),
            progress: None,
            now: at(30),
        };
        assert_eq!(
            Phase::from_facts(&restarted, Patience::default()),
            Phase::RolledOut
        );
    }

    #[test]
    fn numbers_behind_which_an_unreadable_line_stands_are_no_small_gap() {
        let mut near = progress(100, 97, 10);
        near.newer_line_unknown = true;
        assert_eq!(phase(true, true, true, Some(&near), 40), Phase::Stalled);
    }
}
