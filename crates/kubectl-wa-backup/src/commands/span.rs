//! Ages as a user writes them.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// An age: `26h`, `30d`, `2w 3d`. Days have 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(pub(super) SignedDuration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span: Option<Span> = text.parse().ok();
        let age = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        age.filter(SignedDuration::is_positive)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not an age: write 26h, 30d or 2w"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit_and_is_more_than_nothing() {
        let hours = |text: &str| text.parse::<Age>().map(|Age(age)| age.as_hours());
        assert_eq!(hours("26h"), Ok(26));
        assert_eq!(hours("30d"), Ok(720));
        assert_eq!(hours("2w 1d"), Ok(360));
        for bad in ["", "30", "0h", "-3d", "3 months", "soon", "1h ago"] {
            assert!(hours(bad).is_err(), "{bad}");
        }
    }
}
