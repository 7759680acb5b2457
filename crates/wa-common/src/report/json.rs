//! Events as JSON, one object a line, for `-o json`.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::{Event, Reporter};

/// How often a transfer's progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Writes each event as `{"time": …, "event": …, …}`.
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
    #[serde(flatten)]
    event: &'a Event,
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
        let Ok(mut state) = self.state.lock() else {
            return;
        };
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
            event,
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
    fn every_event_is_one_json_object_on_one_line() {
        let out = Shared::default();
        let reporter = JsonReporter::new(out.clone());
        reporter.report(&Event::Retry {
            step: "dump",
            retry: 1,
            retries: 2,
            wait: Duration::from_millis(1500),
            why: "lost\nconnection".to_owned(),
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["event"], "retry");
        assert_eq!(value["waitSeconds"], 1.5);
        assert_eq!(value["why"], "lost\nconnection");
    }
}
