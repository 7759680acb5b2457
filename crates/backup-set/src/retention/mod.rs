//! Which sets of one installation stay, and which go: the rules alone, without a store.
//!
//! The rules are those of the CronJob: of the sets of the weekly day the newest few stay, and of those of the other days the
//! newest few. Where it has one file a day, there may be several sets here: the newest verified one stands for its day. Days
//! are those of UTC, as in the names of sets.
//!
//! What keeps a set from going whatever the rules say is told as a reason too. An unverified set never takes the place of a
//! verified one: the places of a rule are counted for both apart.

mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};

use crate::Protected;

/// How long a set that is not complete is left alone: it may be being written.
pub const INCOMPLETE_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Which sets stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: usize,
    /// The newest ones of as many days.
    pub daily: usize,
    /// Of as many weekly days; none where these are days like the others.
    pub weekly: Option<usize>,
    /// Which day that is.
    pub weekly_day: Weekday,
    /// The newest ones of as many months.
    pub monthly: usize,
    /// Whatever is younger.
    pub older_than: Option<SignedDuration>,
}

impl Policy {
    /// Whether it keeps nothing, which nobody means.
    pub fn is_empty(&self) -> bool {
        let places = self.last + self.daily + self.weekly.unwrap_or_default() + self.monthly;
        places == 0 && self.older_than.is_none()
    }
}

impl Default for Policy {
    /// An empty one, with the CronJob's own weekly day.
    fn default() -> Self {
        Self {
            last: 0,
            daily: 0,
            weekly: None,
            weekly_day: Weekday::Sunday,
            monthly: 0,
            older_than: None,
        }
    }
}

/// What a set is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is complete, its dump was verified, and no trial to restore it has failed.
    Verified,
    /// It is complete.
    Unverified,
    /// It has no manifest: it was interrupted, or is being written.
    Incomplete,
    /// It stays, for this reason: what it is cannot be told well enough to delete it.
    Unclear(String),
}

/// A set that stays or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// When its data was dumped.
    pub time: Option<Timestamp>,
    /// When anything in it was last changed.
    pub changed: Option<Timestamp>,
    /// What it is worth.
    pub standing: Standing,
    /// Whether somebody has protected it.
    pub protected: Protected,
}

/// What becomes of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for these reasons.
    Stays(Vec<Reason>),
    /// No rule keeps it.
    Goes,
    /// It was never finished, and is older than [`INCOMPLETE_FOR`].
    GoesIncomplete,
}

impl Fate {
    /// Whether it stays.
    pub fn stays(&self) -> bool {
        matches!(self, Self::Stays(_))
    }
}

impl fmt::Display for Fate {
    /// `daily 2, newest verified`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stays(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                f.write_str(&reasons.join(", "))
            }
            Self::Goes => f.write_str("no rule keeps it"),
            Self::GoesIncomplete => f.write_str("never finished, older than a day"),
        }
    }
}

/// Why a set stays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A rule keeps it.
    Rule {
        /// The rule: `daily`.
        rule: &'static str,
        /// Which of its places it has, from 1.
        place: usize,
    },
    /// It is younger than what goes.
    Young,
    /// There is nothing newer that is known to be good.
    NewestVerified,
    /// It is protected.
    Protected(Option<Timestamp>),
    /// It is not complete, and may be being written.
    MayBeWritten,
    /// How old it is cannot be told.
    NoTime,
    /// Its time has not come: the clock was wrong when it was made, or is now.
    FromTheFuture,
    /// What it is cannot be told well enough.
    Unclear(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule, place } => write!(f, "{rule} {place}"),
            Self::Young => f.write_str("too young"),
            Self::NewestVerified => f.write_str("newest verified"),
            Self::Protected(None) => f.write_str("protected"),
            Self::Protected(Some(until)) => {
                write!(f, "protected until {}", until.strftime("%Y-%m-%d %H:%MZ"))
            }
            Self::MayBeWritten => f.write_str("incomplete, for less than a day"),
            Self::NoTime => f.write_str("its age cannot be told"),
            Self::FromTheFuture => f.write_str("its time lies in the future"),
            Self::Unclear(why) => f.write_str(why),
        }
    }
}

/// What becomes of each of the sets of one installation, in their order. An empty policy lets nothing go.
pub fn decide(policy: &Policy, sets: &[Candidate], now: Timestamp) -> Vec<Fate> {
    let mut kept = rules::kept(policy, sets, now);
    let fates = sets.iter().zip(&mut kept).map(|(set, reasons)| {
        let mut reasons = std::mem::take(reasons);
        match set.protected {
            Protected::No => {}
            Protected::ForGood => reasons.push(Reason::Protected(None)),
            Protected::Until(until) => reasons.push(Reason::Protected(Some(until))),
        }
        reasons.extend(of_itself(set, now));
        if !reasons.is_empty() || policy.is_empty() {
            return Fate::Stays(reasons);
        }
        match set.standing {
            Standing::Incomplete => Fate::GoesIncomplete,
            _ => Fate::Goes,
        }
    });
    fates.collect()
}

/// Why a set stays, whatever the others are.
fn of_itself(set: &Candidate, now: Timestamp) -> Option<Reason> {
    match (&set.standing, set.time) {
        (Standing::Unclear(why), _) => Some(Reason::Unclear(why.clone())),
        (_, None) => Some(Reason::NoTime),
        (Standing::Incomplete, Some(time)) => {
            let touched = set.changed.map_or(time, |changed| changed.max(time));
            (now.duration_since(touched) <= INCOMPLETE_FOR).then_some(Reason::MayBeWritten)
        }
        (_, Some(time)) if rules::is_from_the_future(time, now) => Some(Reason::FromTheFuture),
        _ => None,
    }
}
