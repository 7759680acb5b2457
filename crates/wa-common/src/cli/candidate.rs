//! A value that may stand in a command line.

use clap_complete::engine::CompletionCandidate;

use crate::report::printable;

/// A value, and what a user should know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    value: String,
    help: String,
}

impl Candidate {
    /// A value of which nothing more is known.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            help: String::new(),
        }
    }

    /// The same, with what a user should know of it, in a few words.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: help.into(),
            ..self
        }
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it can be put into a command line as it is. Some shells do not quote what they are told, and the names of
    /// files on a volume are anybody's.
    pub(super) fn is_plain(&self) -> bool {
        let plain =
            |character: char| character.is_alphanumeric() || "-_./~:@%+=,".contains(character);
        let begins = |character: char| character.is_alphanumeric() || "_./".contains(character);
        self.value.starts_with(begins) && self.value.chars().all(plain)
    }
}

impl From<Candidate> for CompletionCandidate {
    fn from(Candidate { value, help }: Candidate) -> Self {
        let help = (!help.is_empty()).then(|| printable(&help).into_owned().into());
        Self::new(value).help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_not_plain() {
        for plain in ["store.dump_20261121-230004", "../a~1/b@c:6443=x", "über"] {
            assert!(Candidate::new(plain).is_plain(), "{plain}");
        }
        for other in [
            "",
            "a b",
            "$(reboot)",
            "a;b",
            "`x`",
            "a\tb",
            "a\nb",
            "\u{1b}[2J",
            "'",
            "*",
            "-n",
            "~root",
        ] {
            assert!(!Candidate::new(other).is_plain(), "{other:?}");
        }
    }
}
