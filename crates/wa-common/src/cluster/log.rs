//! Reading what a container logs, again and again, each line once.
//!
//! Each look asks for the log from the last line on. So nothing is lost when a connection breaks or the API server is away.
//! What was logged before the node rotated the log away between two looks is lost.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::time::timeout;

use super::{Cluster, ClusterError};

/// How much of a line is read.
const LINE_BYTES: usize = 16 << 10;
/// How long one look may read: what comes later is read by the next one.
const READS_FOR: Duration = Duration::from_mins(1);

/// Where the reading of a log has come to: the time of the last line, and how many lines of just that time were read.
pub type LogPlace = (Timestamp, usize);

impl Cluster {
    /// Hands what the container has logged since `place` to `line`, with its times, and returns the place after it. A pod
    /// that is gone, or whose container has not started, has logged nothing.
    pub async fn read_log(
        &self,
        pod: &str,
        container: &str,
        place: Option<LogPlace>,
        line: impl FnMut(Timestamp, &str),
    ) -> Result<Option<LogPlace>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client().clone(), self.namespace());
        let parameters = LogParams {
            container: Some(container.to_owned()),
            timestamps: true,
            // Whole seconds: not every kubelet reads parts of them.
            since_time: place.and_then(|(last, _)| Timestamp::from_second(last.as_second()).ok()),
            ..LogParams::default()
        };
        let what = format!("read the log of pod {pod}");
        let opened = self.once(&what, api.log_stream(pod, &parameters)).await;
        let stream = match opened {
            // The pod went just now, or its container is not there yet.
            Err(error) if matches!(error.code(), Some(400 | 404)) => return Ok(place),
            opened => opened?,
        };
        let mut lines = Lines::after(place);
        // A stream that breaks or falls silent is asked again by the next look.
        let _ = timeout(READS_FOR, lines.read(stream, line)).await;
        Ok(lines.place())
    }
}

/// The lines after a place.
struct Lines {
    before: Option<LogPlace>,
    /// Of lines of the time of `before`: how many came.
    again: usize,
    place: Option<LogPlace>,
}

impl Lines {
    fn after(before: Option<LogPlace>) -> Self {
        Self {
            before,
            again: 0,
            place: before,
        }
    }

    fn place(&self) -> Option<LogPlace> {
        self.place
    }

    async fn read(&mut self, stream: impl AsyncBufRead, mut line: impl FnMut(Timestamp, &str)) {
        let mut stream = std::pin::pin!(stream);
        let mut bytes = Vec::new();
        loop {
            let Ok(available) = stream.fill_buf().await else {
                return;
            };
            if available.is_empty() {
                // A line without its end is read again when it is whole.
                return;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(available.len());
            let room = LINE_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&available[..taken.min(room)]);
            stream.consume_unpin(taken + usize::from(end.is_some()));
            if end.is_some() {
                self.take(&String::from_utf8_lossy(&bytes), &mut line);
                bytes.clear();
            }
        }
    }

    /// Takes one line, with its time in front.
    fn take(&mut self, text: &str, line: &mut impl FnMut(Timestamp, &str)) {
        let Some((time, text)) = text.split_once(' ') else {
            return;
        };
        let Ok(time) = time.parse::<Timestamp>() else {
            return;
        };
        if let Some((last, read)) = self.before {
            if time < last {
                return;
            }
            if time == last {
                self.again += 1;
                if self.again <= read {
                    return;
                }
            }
        }
        let same = self.place.filter(|(last, _)| *last == time);
        self.place = Some((time, same.map_or(1, |(_, read)| read + 1)));
        line(time, text);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// Reads a log from a place on; what was read, and the place after it.
    fn read(log: &str, place: Option<LogPlace>) -> (Vec<String>, Option<LogPlace>) {
        let mut lines = Lines::after(place);
        let mut read = Vec::new();
        let reading = lines.read(log.as_bytes(), |_, text| read.push(text.to_owned()));
        // A text is there at once.
        reading.now_or_never().unwrap();
        (read, lines.place())
    }

    #[test]
    fn every_line_is_read_once_though_looks_overlap_and_lines_have_one_time() {
        let log = "2026-12-01T00:00:01.000000001Z a\n2026-12-01T00:00:01.000000002Z b\n2026-12-01T00:00:01.000000002Z b\n";
        let (first, place) = read(log, None);
        assert_eq!(first, ["a", "b", "b"]);
        assert_eq!(read(log, place).0, [""; 0]);
        let longer = format!("{log}2026-12-01T00:00:01.000000002Z b\n2026-12-01T00:00:02Z c\n");
        let (second, place) = read(&longer, place);
        assert_eq!(second, ["b", "c"]);
        assert_eq!(read(&longer, place).0, [""; 0]);
    }

    #[test]
    fn half_a_line_waits_for_its_end_and_a_long_one_is_cut() {
        let (lines, place) = read("2026-12-01T00:00:01Z a\n2026-12-01T00:00:02Z half", None);
        assert_eq!(lines, ["a"]);
        let (lines, _) = read(
            "2026-12-01T00:00:01Z a\n2026-12-01T00:00:02Z half and half\n",
            place,
        );
        assert_eq!(lines, ["half and half"]);
        let long = format!(
            "2026-12-01T00:00:01Z {}\nno time\n2026-12-01T00:00:02Z next\n",
            "x".repeat(1 << 20)
        );
        let (lines, _) = read(&long, None);
        assert_eq!(
            (lines[0].len() < LINE_BYTES, lines[1].as_str()),
            (true, "next")
        );
    }
}
