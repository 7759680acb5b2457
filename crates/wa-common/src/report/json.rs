//! Events as JSON, one object a line, for `-o json`.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::{Event, Reporter};

/// How often a transfer's progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Writes each event as `{"time": …, "level": …, "event": …, "message": …, …}`.
pub struct JsonReporter {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    last_progress: Instant,
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
        Event::Step { .. }
        | Event::Waiting { .. }
        | Event::Received { .. }
        | Event::TransferEnded
        | Event::Ended { .. } => "info",
    }
}

fn message(event: &Event) -> Option<String> {
    match event {
        Event::Error { .. }
        | Event::Failure { .. }
        | Event::Warning { .. }
        | Event::TransferEnded => None,
        Event::Step { step, detail } => Some(format!("{step}: {detail}")),
        Event::Retry { step, why, .. } => Some(format!("{step} failed and is tried again: {why}")),
        Event::Waiting { what, state, .. } => Some(format!("waiting {what}: {state}")),
        Event::Received { file, bytes, .. } => {
            Some(format!("{file}: {}", human_text::bytes(*bytes)))
        }
        Event::Interrupted { by, .. } => Some(format!("interrupted by {by}")),
        Event::Ended { outcome, .. } => Some(format!("ended: {outcome}")),
    }
}

impl JsonReporter {
    /// Reports to `out`, which is standard error outside of tests.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self {
            state: Mutex::new(State {
                out: Box::new(out),
                last_progress: Instant::now(),
            }),
        }
    }
}

impl Reporter for JsonReporter {
    fn report(&self, event: &Event) {
        // Each line is whole whatever panicked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::TransferEnded => return,
            Event::Received { .. } => {
                if state.last_progress.elapsed() < PROGRESS_INTERVAL {
                    return;
                }
                state.last_progress = Instant::now();
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
            let _ = writeln!(state.out, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::super::Leftover;
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
                message: text,
                exit_code: 6,
                leftovers,
            },
            Event::Interrupted {
                by: "Ctrl-C",
                undoing: true,
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
        assert_eq!(lines[6]["exitCode"], 6);
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
