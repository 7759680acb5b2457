//! Events as lines for a person, with a progress bar on a terminal.

use std::collections::HashMap;
use std::io::{IsTerminal, Write as _, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize as _;

use super::{
    Event, Reporter, Share, StepOutcome, StepPlace, Styles, bytes, elapsed, printable,
    printable_lines,
};

/// A transfer shorter than this needs no progress display.
const QUIET: Duration = Duration::from_secs(2);
/// Without a terminal, progress is a plain line this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Writes to standard error: a line for each step, a progress bar or plain progress lines for long transfers.
pub struct HumanReporter {
    styles: Styles,
    progress: bool,
    /// Below each other on the terminal.
    bars: MultiProgress,
    /// Those that run, by their ids.
    transfers: Mutex<HashMap<u64, ShownTransfer>>,
}

struct ShownTransfer {
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl ShownTransfer {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_line: now,
            bar: None,
        }
    }
}

impl HumanReporter {
    /// A reporter in `styles`; `progress` false shows steps only.
    pub fn new(styles: Styles, progress: bool) -> Self {
        Self {
            styles,
            progress,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5)),
            transfers: Mutex::default(),
        }
    }

    fn line(&self, text: &str) {
        let write = || {
            // A closed standard error is no reason to stop.
            let _ = writeln!(stderr(), "{text}");
        };
        self.bars.suspend(write);
    }

    fn step_line(&self, step: &str, detail: &str) {
        self.line(&format!(
            "{} {}",
            format_args!("{step:<20}").style(self.styles.faint),
            printable(detail)
        ));
    }

    fn transfers(&self) -> MutexGuard<'_, HashMap<u64, ShownTransfer>> {
        // What is shown is whole whatever panicked.
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, id: u64, progress: &Progress<'_>) {
        if !self.progress {
            return;
        }
        let mut transfers = self.transfers();
        // One that an interruption has taken away does not come back.
        let Some(transfer) = transfers.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        let quiet = now.duration_since(transfer.started) < QUIET;
        if stderr().is_terminal() {
            // Hidden at first, but there: its rate is that of the whole transfer.
            let bar = transfer.bar.get_or_insert_with(|| progress.bar());
            if bar.is_hidden() && !quiet {
                *bar = self.bars.add(bar.clone());
            }
            bar.set_position(progress.bytes);
            if let Some(overall) = progress.overall {
                bar.set_prefix(format!("{} in all", part(overall)));
            }
        } else if !quiet && now.duration_since(transfer.last_line) >= LINE_INTERVAL {
            transfer.last_line = now;
            let took = now.duration_since(transfer.started);
            let _ = writeln!(stderr(), "  {}", printable(&progress.line(took)));
        }
    }

    fn take_away(&self, transfer: &ShownTransfer) {
        if let Some(bar) = &transfer.bar {
            bar.finish_and_clear();
            self.bars.remove(bar);
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
            .with_message(printable(self.file).into_owned())
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

/// The line of a step that begins: what it is, and how far the work is where that is known.
fn started(place: &StepPlace, detail: &str) -> Option<(String, String)> {
    let step = place.step;
    match (place.total, detail) {
        // What comes of it is its line.
        (None, "") => None,
        (None, _) => Some((step.to_owned(), detail.to_owned())),
        (Some(total), "") => Some((numbered(place, total), step.to_owned())),
        (Some(total), _) => Some((numbered(place, total), format!("{step}: {detail}"))),
    }
}

/// The line of a step that has ended.
fn finished(
    place: &StepPlace,
    outcome: StepOutcome,
    took: Duration,
    detail: &str,
) -> Option<(String, String)> {
    let Some(total) = place.total else {
        return (!detail.is_empty()).then(|| (place.step.to_owned(), detail.to_owned()));
    };
    let mut text = match outcome {
        StepOutcome::Done => format!("done in {}", elapsed(took)),
        StepOutcome::Skipped => "skipped".to_owned(),
        StepOutcome::Failed => format!("failed after {}", elapsed(took)),
        StepOutcome::Unfinished => format!("not finished, after {}", elapsed(took)),
    };
    if !detail.is_empty() {
        text = format!("{text}: {detail}");
    }
    Some((numbered(place, total), text))
}

fn numbered(place: &StepPlace, total: u32) -> String {
    format!("step {} of {total}:", place.index)
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
                for transfer in std::mem::take(&mut *self.transfers()).values() {
                    self.take_away(transfer);
                }
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
            Event::StepStarted { place, detail } => {
                if let Some((label, text)) = started(place, detail) {
                    self.step_line(&label, &text);
                }
            }
            Event::StepFinished {
                place,
                outcome,
                duration,
                detail,
                ..
            } => {
                if let Some((label, text)) = finished(place, *outcome, *duration, detail) {
                    self.step_line(&label, &text);
                }
            }
            Event::TransferStarted { id, .. } => {
                self.transfers().insert(*id, ShownTransfer::new());
            }
            Event::Received {
                id,
                file,
                bytes,
                of,
                overall,
            } => self.received(
                *id,
                &Progress {
                    file,
                    bytes: *bytes,
                    of: *of,
                    overall: *overall,
                },
            ),
            Event::TransferEnded { id, .. } => {
                let ended = self.transfers().remove(id);
                if let Some(transfer) = ended {
                    self.take_away(&transfer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TransferProgress;
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

    #[test]
    fn steps_of_a_known_number_say_how_far_the_work_is_and_others_only_what_came_of_them() {
        let place = |total| StepPlace {
            id: 1,
            step: "stop",
            index: 3,
            total,
        };
        let line = |line: Option<(String, String)>| {
            line.map_or_else(String::new, |(label, text)| format!("{label} {text}"))
        };
        let took = Duration::from_millis(4200);
        let known = place(Some(12));
        assert_eq!(
            line(started(&known, "the operator")),
            "step 3 of 12: stop: the operator"
        );
        assert_eq!(line(started(&known, "")), "step 3 of 12: stop");
        for (outcome, detail, expected) in [
            (StepOutcome::Done, "", "done in 4.2s"),
            (StepOutcome::Done, "2 pods", "done in 4.2s: 2 pods"),
            (StepOutcome::Skipped, "no pods", "skipped: no pods"),
            (StepOutcome::Failed, "", "failed after 4.2s"),
            (StepOutcome::Unfinished, "", "not finished, after 4.2s"),
        ] {
            let finished = line(finished(&known, outcome, took, detail));
            assert_eq!(finished, format!("step 3 of 12: {expected}"));
        }
        let unknown = place(None);
        assert_eq!(line(started(&unknown, "")), "");
        assert_eq!(line(started(&unknown, "the operator")), "stop the operator");
        let done = |detail| line(finished(&unknown, StepOutcome::Done, took, detail));
        assert_eq!(
            (done(""), done("2 pods")),
            (String::new(), "stop 2 pods".to_owned())
        );
        let unfinished = finished(&unknown, StepOutcome::Unfinished, took, "");
        assert_eq!(line(unfinished), "");
    }

    #[test]
    fn what_an_interruption_takes_away_does_not_come_back() {
        let reporter = HumanReporter::new(Styles::default(), true);
        let first = TransferProgress::begin(&reporter, "a.dump", Some(9), None);
        let second = TransferProgress::begin(&reporter, "b.dump", None, None);
        drop(first);
        assert_eq!(reporter.transfers().len(), 1);
        reporter.report(&Event::Interrupted {
            by: "Ctrl-C",
            undoing: false,
        });
        second.received(3);
        assert_eq!(reporter.transfers().len(), 0);
    }
}
