//! Events as lines for a person, with a progress bar on a terminal.

use std::io::{IsTerminal, Write as _, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize as _;

use super::{Event, Reporter, Styles, bytes, elapsed, printable};

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
        match self.transfer.lock() {
            Ok(transfer) => match transfer.as_ref().and_then(|transfer| transfer.bar.as_ref()) {
                Some(bar) => bar.suspend(write),
                None => write(),
            },
            Err(_) => write(),
        }
    }

    fn received(&self, file: &str, received: u64) {
        let Ok(mut slot) = self.transfer.lock() else {
            return;
        };
        let now = Instant::now();
        let transfer = slot.get_or_insert(Transfer {
            started: now,
            last_line: now,
            bar: None,
        });
        if now.duration_since(transfer.started) < QUIET || !self.bar_wanted {
            return;
        }
        if stderr().is_terminal() {
            let bar = transfer
                .bar
                .get_or_insert_with(|| bar(file, transfer.started));
            bar.set_position(received);
        } else if now.duration_since(transfer.last_line) >= LINE_INTERVAL {
            transfer.last_line = now;
            let _ = writeln!(
                stderr(),
                "  {file}: {} in {}",
                bytes(received),
                elapsed(now.duration_since(transfer.started))
            );
        }
    }
}

/// A bar without a total: pg_dump does not know its size before it ends.
fn bar(file: &str, started: Instant) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{spinner} {msg}  {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5))
        .with_style(style)
        .with_message(file.to_owned())
        .with_elapsed(started.elapsed())
}

impl Reporter for HumanReporter {
    fn report(&self, event: &Event) {
        match event {
            Event::Step { step, detail } => {
                self.line(&format!(
                    "{} {}",
                    format_args!("{step:<20}").style(self.styles.faint),
                    printable(detail)
                ));
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
            } => self.line(&format!(
                "{} {step} failed: {}; retry {retry} of {retries} in {}",
                "warning:".style(self.styles.warning),
                printable(why),
                elapsed(*wait)
            )),
            Event::Received { file, bytes } => self.received(file, *bytes),
            Event::TransferEnded => {
                if let Ok(mut slot) = self.transfer.lock()
                    && let Some(Transfer { bar: Some(bar), .. }) = slot.take()
                {
                    bar.finish_and_clear();
                }
            }
        }
    }
}
