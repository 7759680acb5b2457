//! What the scripts in the pod say about a job.

use crate::{Sha256Digest, text::printable};

/// How much of an answer that cannot be read is shown.
const SHOWN_BYTES: usize = 200;

/// The first line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is no directory.
    Absent,
    /// The directory was there before.
    Exists,
    /// There is no record in the directory.
    Empty,
    /// The record is not the one that was asked about.
    Other,
    /// A record, and what became of its process.
    Job { record: String, fate: Fate },
    /// A program is missing.
    Missing(String),
    /// Something could not be done.
    Failed(String),
    /// None of these.
    Unreadable(String),
}

/// What became of the process of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Starting,
    Running,
    Ended { code: u8 },
    Gone,
}

impl Answer {
    /// Reads the first line; returns what follows it too.
    pub(super) fn parse(output: &[u8]) -> (Self, &[u8]) {
        let shown = || Self::Unreadable(printable(&output[..output.len().min(SHOWN_BYTES)]));
        let Some((line, rest)) = line(output) else {
            return (shown(), &[]);
        };
        (Self::from_line(line).unwrap_or_else(shown), rest)
    }

    fn from_line(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (code, record) = rest.split_once(' ').unwrap_or((rest, ""));
        let job = |fate| Self::Job {
            record: record.to_owned(),
            fate,
        };
        Some(match (word, code) {
            ("exists", "") => Self::Exists,
            ("missing", tool) => Self::Missing(printable(tool.as_bytes())),
            ("failed", _) => Self::Failed(printable(rest.as_bytes())),
            ("none", "-") => Self::Absent,
            ("empty", "-") => Self::Empty,
            ("other", _) => Self::Other,
            ("starting", "-") => job(Fate::Starting),
            ("running", "-") => job(Fate::Running),
            ("gone", "-") => job(Fate::Gone),
            ("ended", code) => job(Fate::Ended {
                code: code.parse().ok()?,
            }),
            _ => return None,
        })
    }
}

/// Reads "log <size>"; returns what follows the line too.
pub(super) fn log_size(output: &[u8]) -> Option<(u64, &[u8])> {
    let (line, rest) = line(output)?;
    Some((line.strip_prefix("log ")?.parse().ok()?, rest))
}

/// Reads "log <size> <SHA-256>".
pub(super) fn log_digest(output: &[u8]) -> Option<(u64, Sha256Digest)> {
    let (line, _) = line(output)?;
    let (size, digest) = line.strip_prefix("log ")?.split_once(' ')?;
    Some((size.parse().ok()?, digest.parse().ok()?))
}

fn line(output: &[u8]) -> Option<(&str, &[u8])> {
    let end = output.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&output[..end]).ok()?;
    Some((line, &output[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_what_follows() {
        let (answer, rest) = Answer::parse(b"ended 3 1 70 5 2 -\nlog 4\na\0b\n");
        let expected = Answer::Job {
            record: "1 70 5 2 -".to_owned(),
            fate: Fate::Ended { code: 3 },
        };
        assert_eq!(answer, expected);
        assert_eq!(log_size(rest), Some((4, &b"a\0b\n"[..])));
    }

    #[test]
    fn an_answer_in_another_form_is_unreadable_and_shown_harmlessly() {
        for output in [
            &b""[..],
            b"running - 1 2 3",
            b"ended - 1 2 3 4 -\n",
            b"ended 256 1 2 3 4 -\n",
            b"unreadable - \x1b[2Jx\n",
            b"\xff\n",
        ] {
            let (Answer::Unreadable(shown), _) = Answer::parse(output) else {
                panic!("{output:?} was taken for an answer");
            };
            assert!(!shown.contains('\x1b'), "{shown:?}");
        }
        for output in ["log\n", "log x\n", "log -1\n", "log 1 abc\n"] {
            assert_eq!(log_digest(output.as_bytes()), None, "{output:?}");
            assert_eq!(log_size(output.as_bytes()), None, "{output:?}");
        }
    }
}
