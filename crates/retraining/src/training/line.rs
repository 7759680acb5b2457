//! Lines of store-admin's log: the one place that reads them.
//!
//! No verbatim sample is public. IBM's page says that a line tagged `[RETRAIN-ALL-SUMMARY]` tells `Affected workspaces found`
//! and `Retrained Total`; whether both on one line, with which signs around, as plain text or inside of JSON, is not
//! known. So a number is read where it follows its words, with nothing but punctuation in between. What cannot be read is
//! kept as it is, for a person, and is never a success.

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A summary with at least one number.
    Summary(Summary),
    /// A line with the summary's tag that cannot be read.
    Unknown,
    /// Something of retraining, or a failure: a person may want to see it.
    Remark,
    /// Anything else.
    Other,
}

/// The numbers of a summary; one may stand on a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many workspaces are trained.
    pub affected: Option<u64>,
    /// How many of them are done.
    pub retrained: Option<u64>,
}

const TAG: &str = "retrain-all-summary";
const AFFECTED: &str = "affected workspaces found";
const RETRAINED: &str = "retrained total";
/// More than there can be; a longer number is something else.
const MOST_DIGITS: usize = 12;

impl Line {
    /// Reads one line, without the time that the node puts in front of it.
    pub fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if !text.contains(TAG) {
            return if is_remark(&text) {
                Self::Remark
            } else {
                Self::Other
            };
        }
        let (affected, retrained) = (
            number_after(&text, AFFECTED),
            number_after(&text, RETRAINED),
        );
        match (affected, retrained) {
            // Half of what it says cannot be read, so none of it counts.
            (Found::Unreadable, _) | (_, Found::Unreadable) | (Found::Nothing, Found::Nothing) => {
                Self::Unknown
            }
            _ => Self::Summary(Summary {
                affected: affected.number(),
                retrained: retrained.number(),
            }),
        }
    }
}

fn is_remark(text: &str) -> bool {
    let words = ["retrain", "training"];
    let bad = ["error", "warn", "exception", "fail", "fatal"];
    text.contains("retrain-all")
        || words.iter().any(|word| text.contains(word))
            && bad.iter().any(|word| text.contains(word))
}

/// What follows some words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The words are not there.
    Nothing,
    Number(u64),
    /// The words are there, and what follows is no number, or they are there twice and contradict each other.
    Unreadable,
}

impl Found {
    fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

fn number_after(text: &str, words: &str) -> Found {
    let mut found = Found::Nothing;
    for (at, _) in text.match_indices(words) {
        let next =
            leading_number(&text[at + words.len()..]).map_or(Found::Unreadable, Found::Number);
        match found {
            Found::Nothing => found = next,
            first if first == next => {}
            _ => return Found::Unreadable,
        }
    }
    found
}

/// `: 24,` `= 1,234 |` `":24}` `(24)`: signs, a whole number, and what can end one.
fn leading_number(text: &str) -> Option<u64> {
    const SIGNS: &str = " \t:=>\"'`(\\[";
    let text = text.trim_start_matches(|sign| SIGNS.contains(sign));
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let first = digits(text);
    if first == 0 {
        return None;
    }
    let (mut number, mut rest) = (text[..first].to_owned(), &text[first..]);
    // Thousands are parted as `1,234`, never as `24, 7`.
    while first <= 3 && rest.starts_with(',') && digits(&rest[1..]) == 3 {
        number.push_str(&rest[1..4]);
        rest = &rest[4..];
    }
    let ends = match rest.as_bytes() {
        // A decimal or a thousand of another country, unless it ends the sentence.
        [b'.', next, ..] => !next.is_ascii_digit(),
        // A number and something that belongs to it: 12/24, 12-24, 12%, 12k, 12_000.
        [next, ..] => !next.is_ascii_alphanumeric() && !b"/%_-+".contains(next),
        [] => true,
    };
    (ends && number.len() <= MOST_DIGITS).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(affected: impl Into<Option<u64>>, retrained: impl Into<Option<u64>>) -> Line {
        Line::Summary(Summary {
            affected: affected.into(),
            retrained: retrained.into(),
        })
    }

    #[test]
    fn plausible_forms_are_read() {
        for text in [
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 12",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found 24 Retrained Total 12",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found = 24 | Retrained Total = 12 | Failed = 3",
            "2026-12-01 INFO c.i.Retrain [RETRAIN-ALL-SUMMARY]   affected workspaces found: [24]; retrained total: [12].",
            r#"{"level":"info","message":"[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 12"}"#,
            r#"{"tag":"[RETRAIN-ALL-SUMMARY]","Affected workspaces found":24,"Retrained Total":12}"#,
            r#"{"msg":"[RETRAIN-ALL-SUMMARY] {\"Affected workspaces found\":\"24\",\"Retrained Total\":\"12\"}"}"#,
            "[RETRAIN-ALL-SUMMARY] Retrained Total => 12, Affected workspaces found => 24",
            "\u{1b}[32m[RETRAIN-ALL-SUMMARY]\u{1b}[0m Affected workspaces found: 24, Retrained Total: 12\r",
        ] {
            assert_eq!(Line::parse(text), summary(24, 12), "{text}");
        }
    }

    #[test]
    fn the_numbers_may_stand_on_two_lines() {
        let one = Line::parse("[RETRAIN-ALL-SUMMARY] Affected workspaces found: 1,234");
        assert_eq!(one, summary(1234, None));
        let other = Line::parse("[RETRAIN-ALL-SUMMARY] Retrained Total: 7");
        assert_eq!(other, summary(None, 7));
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_no_number_is_made_of_it() {
        for text in [
            "[RETRAIN-ALL-SUMMARY]",
            "[RETRAIN-ALL-SUMMARY] done",
            "[RETRAIN-ALL-SUMMARY] all 24 of 24 retrained",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: none",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: -24",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 24.5",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 24/24",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 24%",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 0x18",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: ${count}",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24, Retrained Total: 24 Retrained Total: 12",
            "[RETRAIN-ALL-SUMMARY] Retrained Total: 99999999999999999999999999",
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: 24,24, Retrained Total",
        ] {
            assert_eq!(Line::parse(text), Line::Unknown, "{text}");
        }
    }

    #[test]
    fn without_the_tag_the_same_words_are_a_remark_at_most() {
        let words = "Affected workspaces found: 24, Retrained Total: 24";
        assert_eq!(Line::parse(words), Line::Other);
        for text in [
            "[RETRAIN-ALL] batch 3 begins",
            "ERROR training of workspace 7 timed out",
            "WARN could not retrain 3 workspaces",
        ] {
            assert_eq!(Line::parse(text), Line::Remark, "{text}");
        }
        assert_eq!(Line::parse("ERROR cannot reach the store"), Line::Other);
        assert_eq!(Line::parse("GET /health 200"), Line::Other);
    }

    proptest! {
        #[test]
        fn every_number_comes_back_and_no_text_breaks_it(affected in 0_u64..1_000_000_000, retrained in 0_u64..1_000_000_000, noise in ".*") {
            let text = format!("x [RETRAIN-ALL-SUMMARY] Affected workspaces found: {affected}, Retrained Total: {retrained}");
            prop_assert_eq!(Line::parse(&text), summary(affected, retrained));
            Line::parse(&noise);
            Line::parse(&format!("[RETRAIN-ALL-SUMMARY] Retrained Total{noise}"));
        }
    }
}
