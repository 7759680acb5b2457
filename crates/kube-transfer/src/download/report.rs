//! What the pod says about the transfer, found in the command's standard error.

use std::collections::VecDeque;

use crate::{Sha256Digest, text::printable};

/// How much of the end of the command's standard error is kept.
const STDERR_TAIL_BYTES: usize = 16 << 10;
/// A report is shorter than this; a longer line is the command's.
const LINE_BYTES: usize = 1 << 10;

/// The wrapping script's last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PodReport {
    /// The command ran; this is what it put out.
    Ran { code: i32, sha256: Sha256Digest },
    /// The command was not run: the container lacks this tool.
    Missing(String),
    /// The script has ended the command before its time.
    Ended,
    /// The script could not account for the output.
    Unusable(String),
}

/// The command's standard error: searched for the report, otherwise kept only in its last part.
#[derive(Clone)]
pub(crate) struct Stderr {
    nonce: String,
    line: Vec<u8>,
    tail: VecDeque<u8>,
    report: Option<PodReport>,
}

impl Stderr {
    /// `nonce` is what the script begins its report with. It must not be guessable by what the command prints.
    pub(crate) fn new(nonce: String) -> Self {
        Self {
            nonce,
            line: Vec::new(),
            tail: VecDeque::new(),
            report: None,
        }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line
                .extend_from_slice(&piece[..piece.len().min(LINE_BYTES)]);
            if piece.len() > LINE_BYTES || self.line.len() > LINE_BYTES {
                self.keep_line();
                self.keep(&piece[piece.len().min(LINE_BYTES)..]);
            } else if piece.ends_with(b"\n") {
                self.finish_line();
            }
        }
    }

    pub(super) fn report(&self) -> Option<&PodReport> {
        self.report.as_ref()
    }

    /// The end of what the command itself printed, safe to show.
    pub(crate) fn tail(&mut self) -> String {
        self.keep_line();
        printable(self.tail.make_contiguous())
    }

    fn finish_line(&mut self) {
        let report = self
            .line
            .strip_prefix(self.nonce.as_bytes())
            .and_then(|rest| rest.strip_prefix(b" "));
        if let Some(report) = report {
            self.report
                .get_or_insert(PodReport::parse(&printable(report)));
            self.line.clear();
        } else {
            self.keep_line();
        }
    }

    fn keep_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.keep(&line);
    }

    fn keep(&mut self, data: &[u8]) {
        let data = &data[data.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let excess = (self.tail.len() + data.len()).saturating_sub(STDERR_TAIL_BYTES);
        self.tail.drain(..excess);
        self.tail.extend(data);
    }
}

impl PodReport {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |key: &str| {
            words
                .chunks_exact(2)
                .find(|pair| pair[0] == key)
                .map(|pair| pair[1])
        };
        if let Some(tool) = value("missing") {
            return Self::Missing(tool.to_owned());
        }
        if words == ["ended"] {
            return Self::Ended;
        }
        let ran = || {
            if value("tee")? != "0" {
                return None;
            }
            Some(Self::Ran {
                code: value("code")?.parse().ok()?,
                sha256: value("sha256")?.parse().ok()?,
            })
        };
        ran().unwrap_or_else(|| Self::Unusable(line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn feed(pieces: &[&[u8]]) -> Stderr {
        let mut stderr = Stderr::new("n0nce".to_owned());
        for piece in pieces {
            stderr.push(piece);
        }
        stderr
    }

    #[test]
    fn the_report_is_found_wherever_the_stream_is_cut_into_frames() {
        let text = format!("warning\n\nn0nce tee 0 code 3 sha256 {DIGEST}\n").into_bytes();
        for cut in 0..text.len() {
            let mut stderr = feed(&[&text[..cut], &text[cut..]]);
            let expected = PodReport::Ran {
                code: 3,
                sha256: DIGEST.parse().expect("digest"),
            };
            assert_eq!(stderr.report(), Some(&expected), "cut at {cut}");
            assert_eq!(stderr.tail(), "warning");
        }
    }

    #[test]
    fn text_that_only_looks_like_a_report_is_none() {
        let lines: [&[u8]; 3] = [b"x n0nce code 0\n", b"n0nc code 0\n", b"n0ncecode 0\n"];
        for line in lines {
            assert_eq!(feed(&[line]).report(), None);
        }
    }

    #[test]
    fn a_report_with_a_part_missing_or_wrong_is_unusable() {
        for report in [
            "tee 0 code 0",
            "tee 0 code 0 sha256 x",
            "tee 1 code 0 sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "code x",
            "",
        ] {
            let stderr = feed(&[format!("n0nce {report}\n").as_bytes()]);
            assert!(
                matches!(stderr.report(), Some(PodReport::Unusable(_))),
                "{report:?}"
            );
        }
    }

    #[test]
    fn endless_lines_and_endless_output_are_kept_only_in_their_last_part() {
        let mut stderr = feed(&[]);
        for _ in 0..100 {
            stderr.push(&[b'x'; 5000]);
        }
        stderr.push(b"end\n");
        assert!(stderr.line.len() <= LINE_BYTES && stderr.tail.len() <= STDERR_TAIL_BYTES);
        assert!(stderr.tail().ends_with("xend"));
    }
}
