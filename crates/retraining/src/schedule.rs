//! When the job starts, as the Quartz expression that store-admin reads.
//!
//! Seven fields: seconds, minutes, hours, day of the month, month, day of the week, year, in UTC. Exactly one of the two
//! day fields is `?`. A date in the past never fires. Expressions that fire more than once are not of this type: a job
//! that retrains everything is started once.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

/// The years that Quartz knows.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
/// Quartz counts days of the week from Sunday, which is 1.
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One second in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    time: DateTime,
    day: DayField,
}

/// Which of the day fields says the day; the other one is `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayField {
    /// `11`
    OfMonth,
    /// `2#2`: the second Monday.
    OfWeek,
}

/// Why a text is no schedule of one start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Another number of fields.
    #[error(
        "{found} fields instead of 7: seconds minutes hours day-of-month month day-of-week year"
    )]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// Neither day field is `?`.
    #[error("both the day of the month and the day of the week are given; one of them must be `?`")]
    BothDays,
    /// Both day fields are `?`.
    #[error(
        "neither the day of the month nor the day of the week is given; only one of them may be `?`"
    )]
    NoDay,
    /// A field that fires more than once, or is no such field.
    #[error("the field for the {field}, {text:?}, is not one value from {from} to {to}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it is.
        text: String,
        /// The smallest value.
        from: i16,
        /// The largest value.
        to: i16,
    },
    /// A day of the week without its place in the month fires every week.
    #[error(
        "the day of the week {text:?} does not say which of the month, such as `2#3` for the third Monday"
    )]
    EveryWeek {
        /// The field.
        text: String,
    },
    /// 30 February, or the fifth of four Mondays.
    #[error("there is no such day in that month: {text}")]
    NoSuchDay {
        /// The whole expression.
        text: String,
    },
    /// A time whose year Quartz does not know.
    #[error("the year {year} is not one from {} to {}", YEARS.start(), YEARS.end())]
    Year {
        /// The year.
        year: i16,
    },
}

impl Schedule {
    /// The second in which `time` is, or the next one where it is not a whole second, so that it is never early.
    pub fn at(time: Timestamp) -> Result<Self, ScheduleError> {
        let whole = time
            .round(
                jiff::TimestampRound::new()
                    .smallest(Unit::Second)
                    .mode(jiff::RoundMode::Ceil),
            )
            .unwrap_or(time);
        let time = TimeZone::UTC.to_datetime(whole);
        if !YEARS.contains(&time.year()) {
            return Err(ScheduleError::Year { year: time.year() });
        }
        Ok(Self {
            time,
            day: DayField::OfMonth,
        })
    }

    /// The same second, its day said by the other field.
    #[must_use]
    pub fn with_day(self, day: DayField) -> Self {
        Self { day, ..self }
    }

    /// The time.
    pub fn time(self) -> Timestamp {
        // UTC has every time, once.
        TimeZone::UTC
            .to_timestamp(self.time)
            .unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        write!(f, "{} {} {} ", time.second(), time.minute(), time.hour())?;
        match self.day {
            DayField::OfMonth => write!(f, "{} {} ?", time.day(), time.month())?,
            DayField::OfWeek => {
                let weekday = time.weekday().to_sunday_one_offset();
                let number = (time.day() - 1) / 7 + 1;
                write!(f, "? {} {weekday}#{number}", time.month())?;
            }
        }
        write!(f, " {}", time.year())
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [second, minute, hour, of_month, month, of_week, year] = fields[..] else {
            return Err(ScheduleError::Fields {
                found: fields.len(),
            });
        };
        let month = number("month", month, &MONTHS, 1, 12)?;
        let year = number("year", year, &[], *YEARS.start(), *YEARS.end())?;
        let no_such_day = |_| ScheduleError::NoSuchDay {
            text: text.to_owned(),
        };
        let month = |day: i16| Date::new(year, small(month), small(day));
        let (date, day) = match (of_month, of_week) {
            ("?", "?") => return Err(ScheduleError::NoDay),
            ("?", of_week) => {
                let (weekday, number) = nth_weekday(of_week)?;
                let date = month(1).and_then(|first| first.nth_weekday_of_month(number, weekday));
                (date.map_err(no_such_day)?, DayField::OfWeek)
            }
            (of_month, "?") => {
                let date = month(number("day of the month", of_month, &[], 1, 31)?);
                (date.map_err(no_such_day)?, DayField::OfMonth)
            }
            _ => return Err(ScheduleError::BothDays),
        };
        let time = date.at(
            small(number("hours", hour, &[], 0, 23)?),
            small(number("minutes", minute, &[], 0, 59)?),
            small(number("seconds", second, &[], 0, 59)?),
            0,
        );
        Ok(Self { time, day })
    }
}

/// A number that was found to be small.
fn small(number: i16) -> i8 {
    i8::try_from(number).unwrap_or(i8::MAX)
}

/// One value; where it has a name, that will do, in capitals or not. Names count from `from` on.
fn number(
    field: &'static str,
    text: &str,
    names: &[&str],
    from: i16,
    to: i16,
) -> Result<i16, ScheduleError> {
    let by_name = || {
        let at = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))?;
        i16::try_from(at).ok()?.checked_add(from)
    };
    let digits = || {
        let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        only_digits.then(|| text.parse().ok()).flatten()
    };
    by_name()
        .or_else(digits)
        .filter(|value| (from..=to).contains(value))
        .ok_or_else(|| ScheduleError::Field {
            field,
            text: text.to_owned(),
            from,
            to,
        })
}

/// `2#3` or `MON#3`: the third Monday.
fn nth_weekday(text: &str) -> Result<(Weekday, i8), ScheduleError> {
    let field = "day of the week";
    let Some((weekday, nth)) = text.split_once('#') else {
        number(field, text, &WEEKDAYS, 1, 7)?;
        return Err(ScheduleError::EveryWeek {
            text: text.to_owned(),
        });
    };
    let nth = number("place of the weekday", nth, &[], 1, 5)?;
    let weekday = number(field, weekday, &WEEKDAYS, 1, 7)?;
    let weekday = Weekday::from_sunday_one_offset(small(weekday));
    weekday
        .map(|weekday| (weekday, small(nth)))
        .map_err(|_| ScheduleError::EveryWeek {
            text: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timestamp(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// First and last second of the years that Quartz knows.
    fn bounds() -> (i64, i64) {
        (
            timestamp("1970-01-01T00:00:00Z").as_second(),
            timestamp("2099-12-31T23:59:59Z").as_second(),
        )
    }

    /// Both forms of a second come back from their text, with one `?` each.
    fn round_trip(second: i64) {
        let time = Timestamp::from_second(second).unwrap();
        for day in [DayField::OfMonth, DayField::OfWeek] {
            let schedule = Schedule::at(time).unwrap().with_day(day);
            let text = schedule.to_string();
            let fields: Vec<&str> = text.split(' ').collect();
            assert_eq!(fields.len(), 7, "{text}");
            assert!((fields[3] == "?") != (fields[5] == "?"), "{text}");
            assert_eq!(text.parse(), Ok(schedule), "{text}");
            assert_eq!(schedule.time(), time, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_comes_back_from_its_text(second in bounds().0..=bounds().1) {
            round_trip(second);
        }

        #[test]
        fn no_text_is_a_panic_and_what_is_taken_is_written_the_same_way(text in "[0-9?*#/,A-Z -]{0,40}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
            }
        }
    }

    #[test]
    fn every_day_of_the_years_supported_and_every_second_of_one_come_back() {
        let (first, last) = bounds();
        (first..=last).step_by(86_400).for_each(round_trip);
        let leap_day = timestamp("2028-02-29T00:00:00Z").as_second();
        (leap_day..leap_day + 86_400).for_each(round_trip);
        round_trip(last);
    }

    #[test]
    fn the_example_of_ibms_page_is_read_and_written() {
        let schedule: Schedule = "0 40 19 11 3 ? 2024".parse().unwrap();
        assert_eq!(schedule.time(), timestamp("2024-03-11T19:40:00Z"));
        assert_eq!(schedule.to_string(), "0 40 19 11 3 ? 2024");
        for same in ["0 40 19 ? 3 2#2 2024", "00 40 19 ? MAR mon#2 2024"] {
            assert_eq!(same.parse::<Schedule>().unwrap().time(), schedule.time());
        }
    }

    #[test]
    fn a_part_of_a_second_is_rounded_up_and_the_zone_is_utc() {
        let schedule = Schedule::at(timestamp("2026-12-31T23:59:59.000000001Z")).unwrap();
        assert_eq!(schedule.to_string(), "0 0 0 1 1 ? 2027");
        let schedule = Schedule::at(timestamp("2026-03-29T02:30:00+02:00")).unwrap();
        assert_eq!(schedule.to_string(), "0 30 0 29 3 ? 2026");
    }

    #[test]
    fn what_is_not_one_start_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "0 fields instead of 7"),
            ("0 0 2 * * ?", "6 fields"),
            ("0 0 2 1 1 1 2027", "one of them must be `?`"),
            ("0 0 2 ? 1 ? 2027", "only one of them may be `?`"),
            ("0 0 2 * 1 ? 2027", "day of the month, \"*\""),
            ("0 0 2 1 * ? 2027", "month, \"*\""),
            ("0 0 2 1 1 ? *", "year, \"*\""),
            ("0 0/5 2 1 1 ? 2027", "minutes, \"0/5\""),
            ("60 0 2 1 1 ? 2027", "seconds, \"60\""),
            ("0 0 24 1 1 ? 2027", "hours, \"24\""),
            ("0 0 2 30 2 ? 2027", "no such day"),
            ("0 0 2 ? 2 2#5 2027", "no such day"),
            ("0 0 2 ? 2 MON 2027", "which of the month"),
            ("0 0 2 ? 2 8#1 2027", "day of the week, \"8\""),
            ("0 0 2 ? 2 2#6 2027", "place of the weekday, \"6\""),
            ("0 0 2 1 1 ? 2100", "year, \"2100\""),
            ("0 0 +2 1 1 ? 2027", "hours, \"+2\""),
        ] {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let late = Schedule::at(timestamp("2100-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(late, ScheduleError::Year { year: 2100 });
    }
}
