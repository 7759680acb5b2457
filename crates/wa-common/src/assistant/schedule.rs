//! When a CronJob runs, as Kubernetes' controller reads its schedule.
//!
//! A library for cron expressions does not do: this controller has five fields and no `L`, `W` or `#`, no day 7, counts a
//! time that summer time skips as no run, and one that comes twice as two.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use thiserror::Error;

/// How far ahead a run is looked for, as the controller does.
const YEARS: i64 = 5;
/// More than clocks are ever set back by.
const CLOCK_CHANGE: SignedDuration = SignedDuration::from_hours(3);
/// How many runs are looked at for how far apart they are: two weeks of a daily one.
const LOOKED_AT: usize = 15;

/// A schedule with its time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must fit both of its fields: where one is `*`, the other decides alone.
    both_days: bool,
    zone: TimeZone,
    zone_name: Option<String>,
}

/// Why a schedule cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// It is not what Kubernetes takes.
    #[error(
        "`{schedule}` is no schedule: {why}; write minute, hour, day of month, month and day of week (0 is Sunday), such as \"0 23 * * *\""
    )]
    Cron {
        /// The schedule.
        schedule: String,
        /// What is wrong with it.
        why: String,
    },
    /// This machine does not know the time zone.
    #[error("the time zone `{zone}` is not known here")]
    Zone {
        /// Its name.
        zone: String,
    },
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field::numbers("minute", 0, 59),
    Field::numbers("hour", 0, 23),
    Field::numbers("day of month", 1, 31),
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        least: 0,
        most: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl Schedule {
    /// Reads a schedule that stands in `time_zone`, else in the one that it names with `TZ=` or `CRON_TZ=`, else in the
    /// cluster's, which is taken for UTC.
    pub fn parse(schedule: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        let (prefix, fields) = prefixed(schedule);
        let zone_name = time_zone.or(prefix);
        let zone = match zone_name {
            Some(name) => TimeZone::get(name).map_err(|_| ScheduleError::Zone {
                zone: name.to_owned(),
            })?,
            None => TimeZone::UTC,
        };
        let wrong = |why: String| ScheduleError::Cron {
            schedule: schedule.to_owned(),
            why,
        };
        let named = by_name(fields);
        let fields: Vec<&str> = named.unwrap_or(fields).split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(wrong(format!("it has {} fields, not 5", fields.len())));
        };
        let read = |field: usize, text| FIELDS[field].bits(text).map_err(wrong);
        Ok(Self {
            minutes: read(0, minute)?,
            hours: read(1, hour)?,
            days: read(2, day)?,
            months: read(3, month)?,
            weekdays: read(4, weekday)?,
            both_days: is_any(day) || is_any(weekday),
            zone,
            zone_name: zone_name.map(str::to_owned),
        })
    }

    /// The zone in which it runs.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The name of that zone, where one is named.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone_name.as_deref()
    }

    /// The first `count` runs after `now`; fewer where the schedule has no more within five years.
    pub fn next(&self, now: Timestamp, count: usize) -> Vec<Timestamp> {
        let local = |time: Timestamp| self.zone.to_datetime(time);
        // A time that comes twice may be earlier on the clock.
        let from = local(now).saturating_sub(CLOCK_CHANGE);
        let mut runs: Vec<Timestamp> = Vec::new();
        for time in self.times_from(from) {
            let enough = runs.get(count.saturating_sub(1)).copied();
            if enough.is_some_and(|last| time > local(last).saturating_add(CLOCK_CHANGE)) {
                break;
            }
            runs.extend(
                self.instants(time)
                    .into_iter()
                    .flatten()
                    .filter(|run| *run > now),
            );
            runs.sort_unstable();
        }
        runs.truncate(count);
        runs
    }

    /// The last run not after `now`; `None` where there was none for five years.
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        // A clock that is set back at midnight shows times of the day before again.
        let today = self.zone.to_datetime(now).date().tomorrow().ok()?;
        let first = today.saturating_sub(YEARS.years());
        let days = std::iter::successors(Some(today), |day| day.yesterday().ok());
        let mut days = days.take_while(|day| *day >= first);
        let on = |day: Date| {
            let times = self.times_from(day.to_datetime(Time::midnight()));
            let times = times.take_while(move |time| time.date() == day);
            let runs = times.flat_map(|time| self.instants(time)).flatten();
            runs.filter(|run| *run <= now).max()
        };
        let newest = days.by_ref().find_map(on)?;
        let before = days.next().and_then(on);
        Some(before.map_or(newest, |before| before.max(newest)))
    }

    /// The longest time between two runs from `now` on, as far as they are looked at.
    pub fn longest_pause(&self, now: Timestamp) -> Option<SignedDuration> {
        let runs = self.next(now, LOOKED_AT);
        let pauses = runs.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        pauses.max()
    }

    /// Times on the clock that fit, in order.
    fn times_from(&self, from: DateTime) -> impl Iterator<Item = DateTime> {
        let last = from.saturating_add(YEARS.years()).date();
        let days = std::iter::successors(Some(from.date()), |day| day.tomorrow().ok());
        let fitting = days
            .take_while(move |day| *day <= last)
            .filter(|day| self.has_day(*day));
        let times = fitting.flat_map(move |day| {
            let hours = (0..24).filter(|hour| has(self.hours, *hour));
            hours.flat_map(move |hour| {
                let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
                minutes.filter_map(move |minute| {
                    let time =
                        Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
                    Some(day.to_datetime(time.ok()?))
                })
            })
        });
        times.filter(move |time| *time >= from)
    }

    fn has_day(&self, date: Date) -> bool {
        let number = |number: i8| u32::try_from(number).unwrap_or_default();
        let day = has(self.days, number(date.day()));
        let weekday = has(
            self.weekdays,
            number(date.weekday().to_sunday_zero_offset()),
        );
        let fits = if self.both_days {
            day && weekday
        } else {
            day || weekday
        };
        fits && has(self.months, number(date.month()))
    }

    /// When the clock shows that time: never, once or twice.
    fn instants(&self, time: DateTime) -> [Option<Timestamp>; 2] {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(time).ok();
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => [at(before), at(after)],
        }
    }
}

/// The zone that a schedule names itself, and the rest of it.
fn prefixed(schedule: &str) -> (Option<&str>, &str) {
    let schedule = schedule.trim();
    let named = ["CRON_TZ=", "TZ="]
        .iter()
        .find_map(|prefix| schedule.strip_prefix(prefix));
    match named.and_then(|rest| rest.split_once(char::is_whitespace)) {
        Some((zone, fields)) => (Some(zone), fields),
        None => (None, schedule),
    }
}

fn by_name(schedule: &str) -> Option<&'static str> {
    Some(match schedule.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

/// Whether a field of days says nothing. One with a step, such as `*/2`, does.
fn is_any(field: &str) -> bool {
    field
        .split(',')
        .any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"))
}

fn has(bits: u64, number: u32) -> bool {
    bits & (1 << number) != 0
}

impl Field {
    const fn numbers(name: &'static str, least: u32, most: u32) -> Self {
        Self {
            name,
            least,
            most,
            names: &[],
        }
    }

    fn bits(&self, text: &str) -> Result<u64, String> {
        let mut parts = text.split(',').map(|part| self.part(part));
        parts.try_fold(0, |bits, part| Ok(bits | part?))
    }

    /// `*`, `5`, `1-5`, each with or without a step; `5/15` goes on to the end.
    fn part(&self, text: &str) -> Result<u64, String> {
        let wrong = || format!("`{text}` is no {}", self.name);
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.least, self.most),
            Some((from, to)) => (
                self.number(from).ok_or_else(wrong)?,
                self.number(to).ok_or_else(wrong)?,
            ),
            None => {
                let from = self.number(range).ok_or_else(wrong)?;
                (from, if step.is_some() { self.most } else { from })
            }
        };
        let step = step.unwrap_or(1);
        if from < self.least || to > self.most || from > to || step == 0 {
            return Err(format!(
                "`{text}` is no {}, which is from {} to {}",
                self.name, self.least, self.most
            ));
        }
        Ok((from..=to)
            .step_by(step)
            .fold(0, |bits, number| bits | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self
            .names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        match named {
            Some(at) => Some(self.least + u32::try_from(at).ok()?),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: Option<&str>, now: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let runs = schedule.next(now.parse().unwrap(), count);
        let local = |run: &Timestamp| run.to_zoned(schedule.zone().clone());
        runs.iter()
            .map(|run| local(run).strftime("%m-%d %H:%M%:z").to_string())
            .collect()
    }

    const BERLIN: Option<&str> = Some("Europe/Berlin");

    #[test]
    fn runs_follow_the_clock_when_summer_time_begins_and_ends() {
        let eleven = "0 23 * * *";
        assert_eq!(
            next(eleven, BERLIN, "2027-03-26T12:00:00Z", 3),
            [
                "03-26 23:00+01:00",
                "03-27 23:00+01:00",
                "03-28 23:00+02:00"
            ]
        );
        // Half past two is no time on that day, as the controller has it.
        assert_eq!(
            next("30 2 * * *", BERLIN, "2027-03-26T12:00:00Z", 3),
            [
                "03-27 02:30+01:00",
                "03-29 02:30+02:00",
                "03-30 02:30+02:00"
            ]
        );
        // And is twice in autumn.
        assert_eq!(
            next("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 3),
            [
                "10-25 02:30+02:00",
                "10-25 02:30+01:00",
                "10-26 02:30+01:00"
            ]
        );
        assert_eq!(
            next("*/30 * * * *", BERLIN, "2026-10-25T00:45:00Z", 3),
            [
                "10-25 02:00+01:00",
                "10-25 02:30+01:00",
                "10-25 03:00+01:00"
            ]
        );
    }

    #[test]
    fn the_zone_stands_beside_the_schedule_or_in_front_of_it() {
        for (schedule, zone) in [
            ("0 23 * * *", Some("America/New_York")),
            ("TZ=America/New_York 0 23 * * *", None),
            ("CRON_TZ=America/New_York 0 23 * * *", None),
        ] {
            assert_eq!(
                next(schedule, zone, "2026-11-27T00:00:00Z", 1),
                ["11-26 23:00-05:00"],
                "{schedule}"
            );
        }
        let error = Schedule::parse("0 23 * * *", Some("Middle/Earth")).unwrap_err();
        assert!(error.to_string().contains("Middle/Earth"), "{error}");
    }

    #[test]
    fn days_of_month_and_of_week_are_either_unless_one_is_any() {
        let first = |schedule| next(schedule, None, "2026-11-27T00:00:00Z", 2);
        // The 27th is a Friday.
        assert_eq!(
            first("0 1 1 * 6"),
            ["11-28 01:00+00:00", "12-01 01:00+00:00"]
        );
        assert_eq!(
            first("0 1 * * 6"),
            ["11-28 01:00+00:00", "12-05 01:00+00:00"]
        );
        assert_eq!(
            first("0 1 1 * *"),
            ["12-01 01:00+00:00", "01-01 01:00+00:00"]
        );
        assert_eq!(first("@weekly"), ["11-29 00:00+00:00", "12-06 00:00+00:00"]);
        assert_eq!(first("0 0 30 feb *"), [""; 0]);
        assert_eq!(
            first("0 0 * DEC mon-tue"),
            ["12-01 00:00+00:00", "12-07 00:00+00:00"]
        );
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for wrong in [
            "",
            "now and then",
            "0 23 * *",
            "0 23 * * * *",
            "60 * * * *",
            "* 24 * * *",
            "0 0 0 * *",
            "0 0 * 13 *",
            "0 23 * * 7",
            "0 23 L * *",
            "0 23 * * 5#1",
            "0 23 15W * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "+5 * * * *",
            "@every 1h",
            "1,,2 * * * *",
        ] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(Schedule::parse("5/15 */2 1-15,20 ? 0-6", None).is_ok());
    }

    #[test]
    fn the_last_run_is_the_one_before_though_clocks_were_set() {
        let last = |schedule, now: &str| {
            let schedule = Schedule::parse(schedule, BERLIN).unwrap();
            let run = schedule.last(now.parse().unwrap());
            run.map(|run| run.to_string())
        };
        for (schedule, now, expected) in [
            ("0 23 * * *", "2026-11-27T12:00:00Z", "2026-11-26T22:00:00Z"),
            ("0 23 * * *", "2026-11-27T22:00:00Z", "2026-11-27T22:00:00Z"),
            ("0 23 * * *", "2026-11-27T21:59:59Z", "2026-11-26T22:00:00Z"),
            // Half past two came twice that day, and not at all in spring.
            ("30 2 * * *", "2026-10-25T01:29:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "2026-10-25T12:00:00Z", "2026-10-25T01:30:00Z"),
            ("30 2 * * *", "2026-03-29T12:00:00Z", "2026-03-28T01:30:00Z"),
            ("0 1 29 2 *", "2026-11-27T12:00:00Z", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(
                last(schedule, now).as_deref(),
                Some(expected),
                "{schedule} {now}"
            );
        }
        assert_eq!(last("0 0 30 2 *", "2026-11-27T12:00:00Z"), None);
    }

    #[test]
    fn the_longest_pause_is_that_of_a_weekend() {
        let schedule = Schedule::parse("0 23 * * 1-5", None).unwrap();
        let pause = schedule.longest_pause("2026-11-27T00:00:00Z".parse().unwrap());
        assert_eq!(pause, Some(SignedDuration::from_hours(72)));
    }
}
