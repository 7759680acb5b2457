//! What the rules keep.

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};

use super::*;

const NOW: &str = "2026-11-27T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

fn set(time: Timestamp, standing: Standing) -> Candidate {
    Candidate {
        time: Some(time),
        changed: Some(time),
        standing,
        protected: Protected::No,
    }
}

fn verified(days: i64) -> Candidate {
    set(days_ago(days), Standing::Verified)
}

fn unverified(days: i64) -> Candidate {
    set(days_ago(days), Standing::Unverified)
}

/// The places of the sets that stay.
fn staying(policy: &Policy, sets: &[Candidate]) -> Vec<usize> {
    let fates = decide(policy, sets, now());
    (0..sets.len()).filter(|at| fates[*at].stays()).collect()
}

fn last(last: usize) -> Policy {
    Policy {
        last,
        ..Policy::default()
    }
}

#[test]
fn a_set_a_day_is_kept_as_the_cron_job_keeps_its_files() {
    let policy = Policy {
        daily: 6,
        weekly: Some(4),
        ..Policy::default()
    };
    let sets: Vec<Candidate> = (0..60).map(verified).collect();
    let fates = decide(&policy, &sets, now());
    let kept: Vec<i64> = (0..60)
        .filter(|at| fates[usize::try_from(*at).unwrap()].stays())
        .collect();
    // The 27th is a Friday: Sundays are 5, 12, 19, 26 days ago.
    assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 12, 19, 26]);
    assert_eq!(fates[0].to_string(), "daily 1, newest verified");
    assert_eq!(fates[6].to_string(), "daily 6");
    assert_eq!(fates[5].to_string(), "weekly 1");
    assert_eq!(fates[7].to_string(), "no rule keeps it");
    let monday = Policy {
        weekly_day: Weekday::Monday,
        ..policy
    };
    assert_eq!(staying(&monday, &sets), [0, 1, 2, 3, 4, 5, 6, 11, 18, 25]);
}

#[test]
fn without_weekly_ones_every_day_is_a_day() {
    let sets: Vec<Candidate> = (0..20).map(verified).collect();
    let daily = Policy {
        daily: 7,
        ..Policy::default()
    };
    assert_eq!(staying(&daily, &sets), [0, 1, 2, 3, 4, 5, 6]);
    let none = Policy {
        weekly: Some(0),
        ..daily
    };
    assert_eq!(staying(&none, &sets), [0, 1, 2, 3, 4, 6, 7]);
}

#[test]
fn of_a_day_and_of_a_month_the_newest_verified_one_stands() {
    let hour = |hours| {
        set(
            now() - SignedDuration::from_hours(hours),
            Standing::Verified,
        )
    };
    let sets = [hour(1), hour(2), hour(3), hour(24), hour(25)];
    let daily = Policy {
        daily: 2,
        ..Policy::default()
    };
    assert_eq!(staying(&daily, &sets), [0, 3]);
    let months: Vec<Candidate> = (0..100).map(verified).collect();
    let monthly = Policy {
        monthly: 3,
        ..Policy::default()
    };
    // 27 November, 31 October, 30 September.
    assert_eq!(staying(&monthly, &months), [0, 27, 58]);
}

#[test]
fn no_verified_set_goes_for_one_that_is_not() {
    let sets = [
        unverified(0),
        unverified(1),
        verified(2),
        verified(3),
        verified(4),
        unverified(5),
    ];
    assert_eq!(staying(&last(2), &sets), [0, 1, 2, 3]);
    let daily = Policy {
        daily: 1,
        ..Policy::default()
    };
    assert_eq!(staying(&daily, &sets), [0, 2]);
    // The day's newest set is not verified; one of the same day is, and stands for it.
    let later = set(
        days_ago(2) + SignedDuration::from_hours(2),
        Standing::Unverified,
    );
    assert_eq!(staying(&daily, &[later, verified(2)]), [1]);
    // None is verified: they are counted among themselves.
    let all: Vec<Candidate> = (0..5).map(unverified).collect();
    assert_eq!(staying(&last(2), &all), [0, 1]);
}

#[test]
fn the_newest_verified_set_stays_whatever_the_rules() {
    let sets = [unverified(1), verified(100), verified(101)];
    let older = Policy {
        older_than: Some(SignedDuration::from_hours(24 * 30)),
        ..Policy::default()
    };
    assert_eq!(staying(&older, &sets), [0, 1]);
    assert_eq!(decide(&older, &sets, now())[0].to_string(), "too young");
}

#[test]
fn an_empty_policy_lets_nothing_go() {
    assert!(Policy::default().is_empty() && !last(1).is_empty());
    let nothing = Policy {
        weekly: Some(0),
        ..Policy::default()
    };
    assert!(nothing.is_empty());
    assert_eq!(staying(&nothing, &[verified(1), verified(2)]), [0, 1]);
}

#[test]
fn what_is_protected_unclear_or_of_the_future_stays() {
    let protected = Candidate {
        protected: Protected::ForGood,
        ..verified(50)
    };
    let unclear = set(
        days_ago(60),
        Standing::Unclear("of a newer format".to_owned()),
    );
    let future = set(now() + SignedDuration::from_hours(48), Standing::Verified);
    let sets = [future, verified(1), protected, unclear, verified(70)];
    // What comes from the future takes no place from the others.
    assert_eq!(staying(&last(1), &sets), [0, 1, 2, 3]);
    let fates = decide(&last(1), &sets, now());
    assert_eq!(fates[0].to_string(), "its time lies in the future");
    assert_eq!(fates[2].to_string(), "protected");
    assert_eq!(fates[3].to_string(), "of a newer format");
}

#[test]
fn an_incomplete_set_goes_a_day_after_its_last_change() {
    let incomplete = |days, changed| Candidate {
        changed: Some(changed),
        ..set(days_ago(days), Standing::Incomplete)
    };
    let sets = [
        verified(0),
        incomplete(0, days_ago(0)),
        incomplete(3, days_ago(3)),
        incomplete(3, days_ago(0)),
        Candidate {
            time: None,
            ..incomplete(3, days_ago(3))
        },
    ];
    let fates = decide(&last(1), &sets, now());
    assert_eq!(staying(&last(1), &sets), [0, 1, 3, 4]);
    assert_eq!(fates[2], Fate::GoesIncomplete);
}

#[test]
fn what_stays_does_not_depend_on_the_order_and_pruning_again_changes_nothing() {
    let mut sets: Vec<Candidate> = (0..90)
        .map(|day| {
            if day % 3 == 1 {
                unverified(day)
            } else {
                verified(day)
            }
        })
        .collect();
    let policy = Policy {
        last: 3,
        daily: 5,
        weekly: Some(2),
        monthly: 3,
        ..Policy::default()
    };
    let times = |sets: &[Candidate]| {
        let mut times: Vec<_> = staying(&policy, sets)
            .iter()
            .map(|at| sets[*at].time)
            .collect();
        times.sort();
        times
    };
    let once = times(&sets);
    sets.reverse();
    assert_eq!(times(&sets), once);
    sets.retain(|set| once.contains(&set.time));
    assert_eq!(times(&sets), once);
}
