//! Which sets the rules of a policy keep.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Candidate, Policy, Reason, Standing};

/// How far clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Whether it is later than clocks that are apart can explain.
pub(super) fn is_from_the_future(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > SKEW
}

/// A set that rules count.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Its place in what was given.
    at: usize,
    time: Timestamp,
    date: Date,
    is_verified: bool,
}

/// For each of the sets, why the rules keep it.
pub(super) fn kept(policy: &Policy, sets: &[Candidate], now: Timestamp) -> Vec<Vec<Reason>> {
    let counted = counted(sets, now);
    let mut reasons = vec![Vec::new(); sets.len()];
    let mut keep = |rule, picked: Vec<(usize, usize)>| {
        for (at, place) in picked {
            reasons[at].push(Reason::Rule { rule, place });
        }
    };
    keep("last", newest_of_each(&counted, policy.last, |one| one.at));
    let is_weekly = |one: &Counted| one.date.weekday() == policy.weekly_day;
    let (weekly, other): (Vec<_>, Vec<_>) = match policy.weekly {
        Some(_) => counted.iter().partition(|one| is_weekly(one)),
        None => (Vec::new(), counted.clone()),
    };
    keep(
        "daily",
        newest_of_each(&other, policy.daily, |one| one.date),
    );
    let places = policy.weekly.unwrap_or_default();
    keep("weekly", newest_of_each(&weekly, places, |one| one.date));
    let month = |one: &Counted| (one.date.year(), one.date.month());
    keep("monthly", newest_of_each(&counted, policy.monthly, month));
    if let Some(older_than) = policy.older_than {
        for one in &counted {
            if now.duration_since(one.time) <= older_than {
                reasons[one.at].push(Reason::Young);
            }
        }
    }
    if let Some(newest) = counted.iter().find(|one| one.is_verified) {
        reasons[newest.at].push(Reason::NewestVerified);
    }
    reasons
}

/// The complete sets, newest first.
fn counted(sets: &[Candidate], now: Timestamp) -> Vec<Counted> {
    let mut counted: Vec<Counted> = sets
        .iter()
        .enumerate()
        .filter_map(|(at, set)| {
            let time = set.time.filter(|time| !is_from_the_future(*time, now))?;
            let is_verified = match set.standing {
                Standing::Verified => true,
                Standing::Unverified => false,
                Standing::Incomplete | Standing::Unclear(_) => return None,
            };
            Some(Counted {
                at,
                time,
                date: TimeZone::UTC.to_datetime(time).date(),
                is_verified,
            })
        })
        .collect();
    counted.sort_by(|a, b| b.time.cmp(&a.time).then(a.at.cmp(&b.at)));
    counted
}

/// The set that stands for each of the newest `places` periods, with the number of its place. The newest verified one of a
/// period stands for it. A period without a verified one has its newest set kept, and takes no place from one that has.
fn newest_of_each<K: PartialEq>(
    sets: &[Counted],
    places: usize,
    period: impl Fn(&Counted) -> K,
) -> Vec<(usize, usize)> {
    let (mut verified, mut unverified) = (0, 0);
    let mut picked = Vec::new();
    for sets in sets.chunk_by(|a, b| period(a) == period(b)) {
        if verified == places {
            break;
        }
        let good = sets.iter().find(|one| one.is_verified);
        let taken = if good.is_some() {
            &mut verified
        } else {
            &mut unverified
        };
        if *taken < places {
            *taken += 1;
            let stands = good.unwrap_or(&sets[0]);
            picked.push((stands.at, *taken));
        }
    }
    picked
}
