//! What a file of tests prints: shown without the output of tests that passed, but for what they skipped.
//!
//! A test that lacks a program prints `skipped: NAME is not installed` and passes.

use std::fmt;

/// A test, or a part of one, that was not run for want of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Skipped {
    test: String,
    /// What is not installed.
    pub(super) program: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is not installed", self.test, self.program)
    }
}

/// What `--show-output` printed, taken apart.
pub(super) struct Output {
    /// Everything but what passed tests printed.
    pub(super) shown: String,
    pub(super) skipped: Vec<Skipped>,
}

impl Output {
    pub(super) fn parse(printed: &str) -> Self {
        let (mut shown, mut skipped) = (String::new(), Vec::new());
        let (mut of_passed, mut test) = (false, "");
        for line in printed.lines() {
            match line {
                "successes:" => of_passed = true,
                "failures:" => of_passed = false,
                _ if line.starts_with("test result: ") => of_passed = false,
                _ => {}
            }
            if let Some(name) = heading(line) {
                test = name;
            }
            if let Some(program) = missing(line) {
                skipped.push(Skipped {
                    test: test.to_owned(),
                    program: program.to_owned(),
                });
            }
            if !of_passed {
                shown.push_str(line);
                shown.push('\n');
            }
        }
        Self { shown, skipped }
    }
}

/// Of `---- a::test stdout ----`.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

fn missing(line: &str) -> Option<&str> {
    line.strip_prefix("skipped: ")?
        .strip_suffix(" is not installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "
running 3 tests
test a::fails ... FAILED
test b::skips ... ok
test c::talks ... ok

successes:

---- b::skips stdout ----
skipped: ksh is not installed
skipped: PostgreSQL 16 is not installed

---- c::talks stdout ----
much

successes:
    b::skips
    c::talks

failures:

---- a::fails stdout ----
skipped: oc is not installed
assertion failed

failures:
    a::fails

test result: FAILED. 2 passed; 1 failed
";

    #[test]
    fn what_tests_skipped_is_reported_with_their_names() {
        let skipped: Vec<_> = Output::parse(PRINTED)
            .skipped
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            skipped,
            [
                "b::skips: ksh is not installed",
                "b::skips: PostgreSQL 16 is not installed",
                "a::fails: oc is not installed"
            ]
        );
    }

    #[test]
    fn of_tests_that_passed_only_the_names_are_shown_and_of_failed_ones_everything() {
        let shown = Output::parse(PRINTED).shown;
        assert!(shown.contains("test c::talks ... ok\n"), "{shown}");
        assert!(!shown.contains("much"), "{shown}");
        assert!(shown.contains("assertion failed\n"), "{shown}");
        assert!(shown.ends_with("1 failed\n"), "{shown}");
    }
}
