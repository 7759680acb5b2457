//! The arguments that say which files to fetch.

use std::str::FromStr;

use backup_volume::Selection;
use clap::ArgGroup;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// One way to say which.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("selection").required(true)))]
pub(super) struct SelectionArgs {
    /// Dumps, or other files on the volume, by the names that `list` shows
    #[arg(group = "selection", value_name = "DUMP")]
    files: Vec<String>,

    /// The newest dump
    #[arg(long, group = "selection")]
    latest: bool,

    /// Every dump
    #[arg(long, group = "selection")]
    all: bool,

    /// Dumps since then: 2026-11-20, 2026-11-20T23:00, 2026-11-20T23:00:00Z, or how long ago: 36h, 3d
    #[arg(long, group = "selection", value_name = "TIME")]
    since: Option<Since>,
}

/// The `--since` of the command line: a point in time; without a zone, this machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since(Timestamp);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zone = TimeZone::system();
        let local = |time: DateTime| {
            time.to_zoned(zone.clone())
                .ok()
                .map(|time| time.timestamp())
        };
        let ago = || {
            let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
            let span = match days {
                Some(days) => SignedDuration::try_from_hours(24_i64.checked_mul(days)?)?,
                None => text.parse().ok()?,
            };
            Timestamp::now().checked_sub(span).ok()
        };
        // The most exact first: a date is the beginning of a time.
        text.parse()
            .ok()
            .or_else(|| local(text.parse().ok()?))
            .or_else(|| local(text.parse::<Date>().ok()?.into()))
            .or_else(ago)
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is no time: write 2026-11-20, 2026-11-20T23:00:00Z, 36h or 3d")
            })
    }
}

impl SelectionArgs {
    /// What they say; clap sees to it that exactly one of them is given.
    pub(super) fn selection(&self) -> Selection {
        match self.since {
            Some(Since(since)) => Selection::Since(since),
            None if self.latest => Selection::Latest,
            None if self.all => Selection::All,
            None => Selection::Named(self.files.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_so_long_ago() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0);
        assert_eq!(
            since("2026-11-20T23:00:00Z").unwrap().to_string(),
            "2026-11-20T23:00:00Z"
        );
        for text in ["2026-11-20", "2026-11-20T23:00", "36h", "3d"] {
            assert!(since(text).is_ok(), "{text}");
        }
        let then = since("3d").unwrap();
        assert_eq!(Timestamp::now().duration_since(then).as_hours(), 72);
        for text in ["yesterday", "", "d", "99999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
