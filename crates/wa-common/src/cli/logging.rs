//! The log that `-v` asks for, on standard error.

use std::fmt;
use std::io::{self, Stderr, Write, stderr};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::report::beside_progress;

/// Logs as much as `verbosity` says, in lines of JSON where a program reads standard error.
pub(super) fn log_to_stderr(verbosity: u8, json: bool) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(log_filter(verbosity))
        .with_writer(|| Beside(stderr()))
        .with_ansi(false)
        .with_target(false);
    let _ = if json {
        log.event_format(JsonLines).try_init()
    } else {
        log.try_init()
    };
}

/// Writes to standard error beside the progress that is shown there.
struct Beside(Stderr);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        beside_progress(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn log_filter(verbosity: u8) -> EnvFilter {
    // From "debug" on, requests are logged.
    let ours = match verbosity {
        0..=3 => "warn",
        4..=5 => "info",
        6..=8 => "debug",
        _ => "trace",
    };
    // Of kube nothing: it logs the body of an answer it cannot parse, which may be a Secret. Of hyper and rustls nothing
    // either, whose buffers hold tokens.
    // `kubectl_wa` is how the name of every plugin begins.
    EnvFilter::new(format!(
        "off,wa_common={ours},kube_transfer={ours},store_backup={ours},backup_volume={ours},kubectl_wa={ours}"
    ))
}

/// A line of the log as [`JsonReporter`](crate::report::JsonReporter) writes events.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level().to_string().to_lowercase();
        let mut line = Line(Map::new());
        event.record(&mut line);
        line.put("time", Timestamp::now().to_string());
        line.put("level", level.replace("warn", "warning"));
        line.put("event", "log".to_owned());
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// The fields of one line; its text is called `message`.
struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), Value::String(value));
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is logged at the highest level.
    fn logged(json: bool, log: impl FnOnce()) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(log_filter(9))
            .with_writer(file.reopen().unwrap());
        if json {
            let subscriber = subscriber.event_format(JsonLines).finish();
            tracing::subscriber::with_default(subscriber, log);
        } else {
            tracing::subscriber::with_default(subscriber.finish(), log);
        }
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn every_plugin_logs_and_no_library_that_holds_secrets_does() {
        let text = logged(false, || {
            tracing::trace!(target: "kubectl_wa_pvc::commands", "of a plugin");
            tracing::error!(target: "rustls::conn", "of a library");
        });
        assert!(text.contains("of a plugin"), "{text}");
        assert!(!text.contains("of a library"), "{text}");
    }

    #[test]
    fn for_a_program_each_line_of_the_log_is_an_object() {
        let text = logged(true, || {
            tracing::warn!(target: "wa_common", pod = "a\"b", "two\nlines");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warning");
        assert_eq!(line["event"], "log");
        assert_eq!(line["message"], "two\nlines");
        assert_eq!(line["pod"], "a\"b");
    }
}
