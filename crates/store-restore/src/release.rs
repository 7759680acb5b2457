//! Releases, and onto which of them a backup of another can be restored.
//!
//! IBM's table names release lines (`4.8.x`), with one exception inside a line: 4.6.4 and earlier go to 4.6.5 first.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A release such as `4.8.8`, or a line of releases such as `4.8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    line: Line,
    patch: Option<u32>,
}

type Line = (u32, u32);

/// IBM's table, newest first: what was backed up on the first can be restored onto the others.
const TABLE: [(Line, &[Line]); 9] = [
    ((5, 3), &[(5, 4)]),
    ((5, 2), &[(5, 3), (5, 4)]),
    ((5, 1), &[(5, 2), (5, 3)]),
    ((5, 0), &[(5, 1), (5, 2)]),
    ((4, 8), &[(5, 0), (5, 1)]),
    ((4, 7), &[(4, 8), (5, 0)]),
    ((4, 6), &[(4, 7), (4, 8)]),
    ((4, 5), &[(4, 6), (4, 7)]),
    ((4, 0), &[(4, 5), (4, 6)]),
];
/// The first release of its line from which the next lines can be reached.
const GATE: (Line, u32) = ((4, 6), 5);

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The release that was backed up.
    pub from: Release,
    /// Those that it can be restored onto.
    pub to: Vec<Release>,
    /// What else must be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<&'static str>,
}

/// How a backup of one release gets onto another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradePath {
    /// It is the same release.
    Same,
    /// Another release of the same line, which the table does not list, or lists without its number.
    WithinLine,
    /// In one step.
    Direct,
    /// Over these releases, the last of which is the target.
    Steps(Vec<Release>),
    /// Not at all; says why.
    None(String),
}

/// The text is no release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRelease(String);

impl fmt::Display for NoRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no release: write it as 4.8.8, or as 4.8.x for its whole line",
            self.0
        )
    }
}

impl std::error::Error for NoRelease {}

impl FromStr for Release {
    type Err = NoRelease;

    fn from_str(text: &str) -> Result<Self, NoRelease> {
        let wrong = || NoRelease(text.to_owned());
        // The operator may add a build: 4.8.8+20250611.120000.
        let plain = text.trim().split(['+', '-']).next().unwrap_or_default();
        let parts: Vec<&str> = plain.trim_start_matches('v').split('.').collect();
        let number = |part: &str| part.parse::<u32>().map_err(|_| wrong());
        let (major, minor, patch) = match parts[..] {
            [major, minor] => (major, minor, None),
            [major, minor, patch, ..] => (major, minor, Some(patch)),
            _ => return Err(wrong()),
        };
        let patch = patch.filter(|patch| !patch.eq_ignore_ascii_case("x"));
        Ok(Self {
            line: (number(major)?, number(minor)?),
            patch: patch.map(number).transpose()?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.line;
        match self.patch {
            Some(patch) => write!(f, "{major}.{minor}.{patch}"),
            None => write!(f, "{major}.{minor}.x"),
        }
    }
}

impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Release {
    fn of_line(line: Line) -> Self {
        Self { line, patch: None }
    }

    /// Whether it is this one or a later one.
    pub fn is_at_least(self, line: (u32, u32), patch: u32) -> bool {
        (self.line, self.patch.unwrap_or(0)) >= (line, patch)
    }

    /// The row of the table that it belongs to.
    pub fn row(self) -> Option<Row> {
        table().into_iter().find(|row| row.from.line == self.line)
    }

    /// How a backup of this release gets onto `target`, by the fewest steps.
    pub fn path_to(self, target: Self) -> UpgradePath {
        if self == target {
            return UpgradePath::Same;
        }
        if self.line == target.line {
            return match (self.patch, target.patch) {
                (Some(from), Some(to)) if to < from => UpgradePath::None(older(self, target)),
                _ => UpgradePath::WithinLine,
            };
        }
        if target.line < self.line {
            return UpgradePath::None(older(self, target));
        }
        let steps = self.steps_to(target);
        match steps {
            Some(steps) if steps.len() == 1 => UpgradePath::Direct,
            Some(steps) => UpgradePath::Steps(steps),
            None => {
                let unknown = [self, target].into_iter().find(|one| !is_known(one.line));
                UpgradePath::None(match unknown {
                    Some(unknown) => format!("{unknown} is not in IBM's table of upgrade paths"),
                    None => format!("no steps of IBM's table lead from {self} to {target}"),
                })
            }
        }
    }

    fn steps_to(self, target: Self) -> Option<Vec<Self>> {
        let mut seen = HashSet::from([self.line]);
        let mut routes = VecDeque::from([vec![self]]);
        while let Some(route) = routes.pop_front() {
            let Some(last) = route.last().copied() else {
                continue;
            };
            if last.line == target.line {
                return Some(route.into_iter().skip(1).collect());
            }
            let mut route = route;
            if let Some(first) = last.before_next_line() {
                // On the way any release of the line will do, so that it is this one.
                if route.len() > 1 {
                    route.pop();
                }
                route.push(first);
            }
            let next = TABLE.iter().find(|(from, _)| *from == last.line);
            // Newest first: of two routes of one length the one with the newer stops is found.
            for line in next.into_iter().flat_map(|(_, to)| to.iter().rev()) {
                if seen.insert(*line) {
                    let next = if *line == target.line {
                        target
                    } else {
                        Self::of_line(*line)
                    };
                    routes.push_back([&route[..], &[next]].concat());
                }
            }
        }
        None
    }

    /// The release of its own line that must come first.
    fn before_next_line(self) -> Option<Self> {
        let (line, patch) = GATE;
        let is_before = self.line == line && self.patch.is_none_or(|own| own < patch);
        is_before.then_some(Self {
            line,
            patch: Some(patch),
        })
    }
}

/// The whole table, newest first.
pub fn table() -> Vec<Row> {
    let rows = TABLE.iter().map(|(from, to)| Row {
        from: Release::of_line(*from),
        to: to.iter().copied().map(Release::of_line).collect(),
        remark: (*from == GATE.0).then_some("4.6.4 and earlier: first to 4.6.5"),
    });
    rows.collect()
}

fn is_known(line: Line) -> bool {
    TABLE
        .iter()
        .any(|(from, to)| *from == line || to.contains(&line))
}

fn older(from: Release, target: Release) -> String {
    format!("{target} is older than {from}, and a backup cannot be restored onto an older release")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(from: &str, to: &str) -> UpgradePath {
        let release = |text: &str| text.parse::<Release>().unwrap();
        release(from).path_to(release(to))
    }

    fn steps(from: &str, to: &str) -> String {
        let UpgradePath::Steps(steps) = path(from, to) else {
            panic!("{:?}", path(from, to));
        };
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        steps.join(" ")
    }

    #[test]
    fn what_the_table_lists_is_one_step() {
        for (from, to) in [
            ("4.8.5", "5.0.1"),
            ("4.8.8", "5.1.0"),
            ("4.0.9", "4.6.2"),
            ("4.6.5", "4.8.x"),
            ("5.2.1", "5.4.0"),
        ] {
            assert_eq!(path(from, to), UpgradePath::Direct, "{from} {to}");
        }
        assert_eq!(path("5.1.0", "v5.1.0+build"), UpgradePath::Same);
        assert_eq!(path("4.6.4", "4.6.5"), UpgradePath::WithinLine);
        assert_eq!(path("6.1.0", "6.1.0"), UpgradePath::Same);
    }

    #[test]
    fn what_is_further_away_takes_the_fewest_steps() {
        assert_eq!(steps("4.6.4", "4.7.0"), "4.6.5 4.7.0");
        assert_eq!(steps("4.6", "4.8.5"), "4.6.5 4.8.5");
        assert_eq!(steps("4.6.5", "5.1"), "4.8.x 5.1.x");
        assert_eq!(steps("4.0.0", "4.8.5"), "4.6.5 4.8.5");
        assert_eq!(steps("4.0.0", "5.4.0"), "4.6.5 4.8.x 5.1.x 5.3.x 5.4.0");
        assert_eq!(steps("4.8.8", "5.2.1"), "5.1.x 5.2.1");
    }

    #[test]
    fn older_and_unknown_releases_cannot_be_reached_and_the_reason_is_reported() {
        for (from, to, why) in [
            ("5.0.0", "4.8.8", "older"),
            ("4.8.8", "4.8.5", "older"),
            ("4.8.8", "7.0.0", "7.0.0 is not in IBM's table"),
            ("3.5.0", "4.8.8", "3.5.0 is not in IBM's table"),
        ] {
            let UpgradePath::None(told) = path(from, to) else {
                panic!("{from} {to}");
            };
            assert!(told.contains(why), "{told}");
        }
        for text in ["", "5", "five", "4.x", "4.8.b"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }
}
