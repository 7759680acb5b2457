//! Events as lines for a person, with a progress bar on a terminal.

use std::io::{IsTerminal, Write as _, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize as _;

use super::{Event, Reporter, Share, Styles, bytes, elapsed, printable, printable_lines};

/// A transfer shorter than this needs no progress display.
const QUIET: Duration = Duration::from_secs(2);
/// Without a terminal, progress is a plain line this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Writes to standard error: a line for each step, a progress bar or plain progress lines for long transfers.
pub struct HumanReporter {
    styles: Styles,
    bar_wanted: bool,
    transfer: Mutex<Option<Transfer>>,
}

struct Transfer {
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl HumanReporter {
    /// A reporter in `styles`; `progress` false shows steps only.
    pub fn new(styles: Styles, progress: bool) -> Self {
        Self {
            styles,
            bar_wanted: progress,
            transfer: Mutex::new(None),
        }
    }

    fn line(&self, text: &str) {
        let write = || {
            // A closed standard error is no reason to stop.
            let _ = writeln!(stderr(), "{text}");
        };
        let transfer = self.transfer();
        match transfer.as_ref().and_then(|transfer| transfer.bar.as_ref()) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn step_line(&self, step: &str, detail: &str) {
        self.line(&format!(
            "{} {}",
            format_args!("{step:<20}").style(self.styles.faint),
            printable(detail)
        ));
    }

    fn transfer(&self) -> MutexGuard<'_, Option<Transfer>> {
        // What is shown is whole whatever panicked.
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, progress: &Progress<'_>) {
        let mut slot = self.transfer();
        let now = Instant::now();
        let transfer = slot.get_or_insert(Transfer {
            started: now,
            last_line: now,
            bar: None,
        });
        if !self.bar_wanted {
            return;
        }
        let quiet = now.duration_since(transfer.started) < QUIET;
        if stderr().is_terminal() {
            // Hidden at first, but there: its rate is that of the whole transfer.
            let bar = transfer.bar.get_or_insert_with(|| progress.bar());
            if bar.is_hidden() && !quiet {
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            }
            bar.set_position(progress.bytes);
            if let Some(overall) = progress.overall {
                bar.set_prefix(format!("{} in all", part(overall)));
            }
        } else if !quiet && now.duration_since(transfer.last_line) >= LINE_INTERVAL {
            transfer.last_line = now;
            let _ = writeln!(
                stderr(),
                "  {}",
                progress.line(now.duration_since(transfer.started))
            );
        }
    }
}

/// How far a transfer is.
struct Progress<'a> {
    file: &'a str,
    bytes: u64,
    of: Option<u64>,
    overall: Option<Share>,
}

impl Progress<'_> {
    fn line(&self, took: Duration) -> String {
        let so_far = match self.of {
            Some(of) => part(Share {
                bytes: self.bytes,
                of,
            }),
            None => bytes(self.bytes),
        };
        let overall = self
            .overall
            .map(|overall| format!(", {} in all", part(overall)))
            .unwrap_or_default();
        format!("{}: {so_far} in {}{overall}", self.file, elapsed(took))
    }

    /// pg_dump does not know its size before it ends: then there is no bar to fill, only a count.
    fn bar(&self) -> ProgressBar {
        let template = if self.of.is_some() {
            "{msg}  {wide_bar}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta}  {prefix}"
        } else {
            "{spinner} {msg}  {binary_bytes}  {binary_bytes_per_sec}  {elapsed}"
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        ProgressBar::with_draw_target(self.of, ProgressDrawTarget::hidden())
            .with_style(style)
            .with_message(self.file.to_owned())
    }
}

/// The error as kubectl writes one: `error: …`, or the API server's own words.
fn error_line(message: &str, styles: &Styles) -> String {
    let text = printable_lines(message);
    match text.strip_prefix("Error from server") {
        Some(rest) => format!("{}{rest}", "Error from server".style(styles.bad)),
        None => format!("{} {text}", "error:".style(styles.bad)),
    }
}

fn part(share: Share) -> String {
    format!("{} of {}", bytes(share.bytes), bytes(share.of))
}

impl Reporter for HumanReporter {
    fn report(&self, event: &Event) {
        match event {
            Event::Step { step, detail } => self.step_line(step, detail),
            Event::Waiting { what, state, .. } => {
                self.step_line("waiting", &format!("{what}: {state}"));
            }
            Event::Warning { message } => {
                self.line(&format!(
                    "{} {}",
                    "warning:".style(self.styles.warning),
                    printable(message)
                ));
            }
            Event::Retry {
                step,
                retry,
                retries,
                wait,
                why,
            } => {
                let of = retries.map(|retries| format!(" of {retries}"));
                self.line(&format!(
                    "{} {step} failed: {}; retry {retry}{} in {}",
                    "warning:".style(self.styles.warning),
                    printable(why),
                    of.unwrap_or_default(),
                    elapsed(*wait)
                ));
            }
            Event::Failure { message, .. } | Event::Error { message, .. } => {
                self.line(&error_line(message, &self.styles));
            }
            Event::Interrupted { by, undoing } => {
                let what_follows = if *undoing {
                    "; undoing what was changed (once more gives that up)"
                } else {
                    ""
                };
                // Below the terminal's own `^C`.
                self.line(&format!("\ninterrupted by {by}{what_follows}"));
            }
            // The shell shows it, who wants to know.
            Event::Ended { .. } => {}
            Event::Received {
                file,
                bytes,
                of,
                overall,
            } => self.received(&Progress {
                file,
                bytes: *bytes,
                of: *of,
                overall: *overall,
            }),
            Event::TransferEnded => {
                if let Some(Transfer { bar: Some(bar), .. }) = self.transfer().take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_lines_and_does_not_drive_the_terminal() {
        assert_eq!(
            error_line("two\nlines: pod \u{1b}[2J is gone", &Styles::default()),
            "error: two\nlines: pod \\u{1b}[2J is gone"
        );
    }

    #[test]
    fn the_servers_own_errors_start_as_kubectls_do() {
        let message = "Error from server (Forbidden): no";
        assert_eq!(error_line(message, &Styles::default()), message);
    }
}
