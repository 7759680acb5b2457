//! Events as JSON, one object a line, for `-o json`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::{Event, Reporter, StepOutcome, printable};

/// How often a transfer's progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Writes each event as `{"time": …, "level": …, "event": …, "message": …, …}`.
pub struct JsonReporter {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    /// When the progress of each transfer was last shown.
    progress: HashMap<u64, Instant>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    level: &'static str,
    #[serde(flatten)]
    event: &'a Event,
    /// The event in a sentence, where it has none among its fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

fn level(event: &Event) -> &'static str {
    match event {
        Event::Error { .. } | Event::Failure { .. } => "error",
        Event::Warning { .. } | Event::Retry { .. } | Event::Interrupted { .. } => "warning",
        Event::StepFinished { outcome, .. } => match outcome {
            StepOutcome::Done | StepOutcome::Skipped => "info",
            StepOutcome::Failed | StepOutcome::Unfinished => "warning",
        },
        Event::Step { .. }
        | Event::StepStarted { .. }
        | Event::Waiting { .. }
        | Event::TransferStarted { .. }
        | Event::Received { .. }
        | Event::TransferEnded { .. }
        | Event::Ended { .. } => "info",
    }
}

fn message(event: &Event) -> Option<String> {
    match event {
        Event::Error { .. } | Event::Failure { .. } | Event::Warning { .. } => None,
        Event::Step { step, detail } => Some(format!("{step}: {detail}")),
        Event::StepStarted { place, detail } => Some(sentence(place.step, "begins", detail)),
        Event::StepFinished {
            place,
            outcome,
            detail,
            ..
        } => {
            let outcome = match outcome {
                StepOutcome::Done => "done",
                StepOutcome::Skipped => "skipped",
                StepOutcome::Failed => "failed",
                StepOutcome::Unfinished => "not finished",
            };
            Some(sentence(place.step, outcome, detail))
        }
        Event::Retry { step, why, .. } => Some(format!("{step} failed and is tried again: {why}")),
        Event::Waiting { what, state, .. } => Some(format!("waiting {what}: {state}")),
        Event::TransferStarted { file, .. } => Some(format!("{file}: the transfer begins")),
        Event::Received { file, bytes, .. } => {
            Some(format!("{file}: {}", human_text::bytes(*bytes)))
        }
        Event::TransferEnded { file, bytes, .. } => Some(format!(
            "{file}: the transfer has ended, after {}",
            human_text::bytes(*bytes)
        )),
        Event::Interrupted { by, .. } => Some(format!("interrupted by {by}")),
        Event::Ended { outcome, .. } => Some(format!("ended: {outcome}")),
    }
}

/// `dump: done`, or `dump: done: 12 MiB`.
fn sentence(step: &str, what: &str, detail: &str) -> String {
    if detail.is_empty() {
        format!("{step}: {what}")
    } else {
        format!("{step}: {what}: {detail}")
    }
}

/// JSON text with its control characters as escapes, also those that JSON itself lets pass: a terminal obeys them. They
/// can only be in strings.
fn escaped(json: &str) -> Cow<'_, str> {
    let harmless =
        |c: char| c == '\u{0}' || printable(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8();
    if json.chars().all(harmless) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if harmless(c) {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    Cow::Owned(text)
}

impl JsonReporter {
    /// Reports to `out`, which is standard error outside of tests.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            state: Mutex::new(State {
                out: Box::new(out),
                progress: HashMap::new(),
            }),
        }
    }
}

impl Reporter for JsonReporter {
    fn report(&self, event: &Event) {
        // Each line is whole whatever panicked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Received { id, .. } => {
                let shown = state.progress.entry(*id).or_insert_with(Instant::now);
                if shown.elapsed() < PROGRESS_INTERVAL {
                    return;
                }
                *shown = Instant::now();
            }
            Event::TransferEnded { id, .. } => {
                state.progress.remove(id);
            }
            _ => {}
        }
        let line = Line {
            time: Timestamp::now(),
            level: level(event),
            event,
            message: message(event),
        };
        // A closed standard error is no reason to stop.
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = writeln!(state.out, "{}", escaped(&text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::super::{Leftover, StepPlace, TransferProgress};
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_event_is_one_json_object_on_one_line_with_level_and_message() {
        let out = Shared::default();
        let reporter = JsonReporter::new(out.clone());
        let text = "two\nlines".to_owned();
        let leftovers = vec![Leftover {
            what: "pod a".to_owned(),
            why: text.clone(),
            by_hand: "kubectl delete pod a".to_owned(),
        }];
        let place = StepPlace {
            id: 7,
            step: "stop",
            index: 3,
            total: Some(12),
        };
        let events = [
            Event::Step {
                step: "dump",
                detail: text.clone(),
            },
            Event::Warning {
                message: text.clone(),
            },
            Event::Failure {
                message: text.clone(),
                leftovers: Vec::new(),
            },
            Event::Retry {
                step: "dump",
                retry: 1,
                retries: Some(2),
                wait: Duration::from_millis(1500),
                why: text.clone(),
            },
            Event::Error {
                message: text.clone(),
                exit_code: 6,
                leftovers,
            },
            Event::Interrupted {
                by: "Ctrl-C",
                undoing: true,
            },
            Event::StepStarted {
                place,
                detail: String::new(),
            },
            Event::StepFinished {
                place,
                outcome: StepOutcome::Done,
                duration: Duration::from_millis(4200),
                detail: text.clone(),
                data: serde_json::json!({"replicas": 2}),
            },
            Event::Waiting {
                what: "for pod a".to_owned(),
                state: text.clone(),
                waited: Duration::from_secs(3),
                limit: Duration::from_mins(5),
            },
            Event::Ended {
                outcome: "degraded",
                exit_code: 6,
            },
        ];
        for event in &events {
            reporter.report(event);
        }
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), events.len());
        for line in &lines {
            for field in ["time", "level", "event", "message"] {
                assert!(line[field].is_string(), "no {field} in {line}");
            }
        }
        assert_eq!(lines[3]["waitSeconds"], 1.5);
        assert_eq!(lines[3]["why"], "two\nlines");
        assert_eq!(lines[4]["exitCode"], 6);
        assert_eq!(lines[4]["leftovers"][0]["byHand"], "kubectl delete pod a");
        for (line, event) in [(&lines[6], "stepStarted"), (&lines[7], "stepFinished")] {
            assert_eq!(line["event"], event);
            assert_eq!((&line["id"], &line["step"]), (&7.into(), &"stop".into()));
            assert_eq!((&line["index"], &line["total"]), (&3.into(), &12.into()));
        }
        assert_eq!(lines[7]["outcome"], "done");
        assert_eq!(lines[7]["durationSeconds"], 4.2);
        assert_eq!(lines[7]["data"]["replicas"], 2);
        assert_eq!(lines[8]["limitSeconds"], 300.0);
        assert_eq!(lines[9]["exitCode"], 6);
    }

    #[test]
    fn what_would_drive_a_terminal_is_escaped_and_still_the_same_to_a_program() {
        let out = Shared::default();
        let message = "\u{1b}[2J \u{9b}2J \u{202e}gnp \u{7f} \"ä\" 😀".to_owned();
        JsonReporter::new(out.clone()).report(&Event::Warning {
            message: message.clone(),
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let line = text.trim_end();
        assert_eq!(printable(line), line);
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(parsed["message"], message);
        assert!(line.contains("ä") && line.contains('😀'), "{line}");
    }

    #[test]
    fn transfers_that_run_at_the_same_time_are_told_apart() {
        let out = Shared::default();
        let reporter = JsonReporter::new(out.clone());
        let first = TransferProgress::begin(&reporter, "a.dump", Some(9), None);
        let second = TransferProgress::begin(&reporter, "b.dump", None, None);
        first.received(9);
        second.received(3);
        drop(first);
        drop(second);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let shown: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line["event"].as_str().unwrap(),
                    line["file"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("transferStarted", "a.dump"),
            ("transferStarted", "b.dump"),
            ("transferEnded", "a.dump"),
            ("transferEnded", "b.dump"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(lines[0]["id"], lines[2]["id"]);
        assert_eq!(lines[1]["id"], lines[3]["id"]);
        assert_ne!(lines[0]["id"], lines[1]["id"]);
        assert_eq!(lines[2]["bytes"], 9);
        assert!(reporter.state.lock().unwrap().progress.is_empty());
    }

    #[test]
    fn a_panic_while_a_line_was_written_does_not_silence_those_that_follow() {
        struct Breaks(Shared, bool);
        impl Write for Breaks {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                assert!(!std::mem::take(&mut self.1), "the first write");
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let out = Shared::default();
        let reporter = Arc::new(JsonReporter::new(Breaks(out.clone(), true)));
        let breaking = Arc::clone(&reporter);
        let report = move || {
            breaking.report(&Event::Warning {
                message: "1".into(),
            });
        };
        assert!(std::thread::spawn(report).join().is_err());
        reporter.report(&Event::Warning {
            message: "2".into(),
        });
        assert!(!out.0.lock().unwrap().is_empty());
    }
}
