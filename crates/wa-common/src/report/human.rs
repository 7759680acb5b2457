//! Events as lines for a person, with a progress bar on a terminal.

use std::collections::HashMap;
use std::io::{IsTerminal, Write as _, stderr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize as _;

use super::{
    Event, Reporter, Share, StepOutcome, StepPlace, Styles, bytes, elapsed, printable,
    printable_lines, with_short_digests,
};

/// A transfer shorter than this needs no progress display.
const QUIET: Duration = Duration::from_secs(2);
/// On a terminal it is drawn this often at most.
const FRAME: Duration = Duration::from_millis(250);
/// Without a terminal, progress is a plain line this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The bars of this process's terminal, below each other.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// The width of the column with the names of steps.
const STEP_WIDTH: usize = 20;

/// Writes to standard error while no progress is shown there: it gives way, and comes back below what was written.
pub fn beside_progress<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Writes to standard error: a line for each step, a progress bar or plain progress lines for long transfers.
pub struct HumanReporter {
    styles: Styles,
    progress: bool,
    /// Whether nothing is cut short.
    wide: bool,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// Those that run, by their ids.
    transfers: HashMap<u64, ShownTransfer>,
    /// When their bars were drawn last.
    last_frame: Option<Instant>,
}

struct ShownTransfer {
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
    /// Where the bar will be in the next frame.
    position: u64,
    /// What will stand beside it.
    prefix: Option<String>,
}

impl ShownTransfer {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_line: now,
            bar: None,
            position: 0,
            prefix: None,
        }
    }

    fn draw(&mut self, now: Instant) {
        let Some(bar) = &mut self.bar else {
            return;
        };
        if let Some(prefix) = self.prefix.take() {
            bar.set_prefix(prefix);
        }
        bar.set_position(self.position);
        if bar.is_hidden() && now.duration_since(self.started) >= QUIET {
            *bar = BARS.add(bar.clone());
            bar.tick();
        }
    }
}

impl HumanReporter {
    /// A reporter in `styles`; `progress` false shows steps only.
    pub fn new(styles: Styles, progress: bool) -> Self {
        Self {
            styles,
            progress,
            wide: false,
            shown: Mutex::default(),
        }
    }

    /// The same, showing all digits of a SHA-256 where `wide` asks for it.
    #[must_use]
    pub fn wide(self, wide: bool) -> Self {
        Self { wide, ..self }
    }

    fn line(text: &str) {
        beside_progress(|| {
            // A closed standard error is no reason to stop.
            let _ = writeln!(stderr(), "{text}");
        });
    }

    fn step_line(&self, step: &str, detail: &str) {
        Self::line(&self.step_text(step, detail));
    }

    fn step_text(&self, step: &str, detail: &str) -> String {
        let label = format!("{step:<STEP_WIDTH$}");
        let detail = if self.wide {
            detail.to_owned()
        } else {
            with_short_digests(detail)
        };
        let detail = self.styles.under(&printable(&detail), label.len() + 1);
        format!("{} {detail}", label.style(self.styles.faint))
    }

    fn warning_line(&self, message: &str) {
        const LABEL: &str = "warning:";
        let message = self.styles.under(message, LABEL.len() + 1);
        Self::line(&format!("{} {message}", LABEL.style(self.styles.warning)));
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // What is shown is whole whatever panicked.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, id: u64, progress: &Progress<'_>) {
        if !self.progress {
            return;
        }
        let mut shown = self.shown();
        let Shown {
            transfers,
            last_frame,
        } = &mut *shown;
        // One that an interruption has taken away does not come back.
        let Some(transfer) = transfers.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        if stderr().is_terminal() {
            // Hidden at first, but there: its rate is that of the whole transfer.
            transfer.bar.get_or_insert_with(|| progress.bar());
            transfer.position = progress.bytes;
            let overall = progress.overall.map(part);
            transfer.prefix = overall.map(|overall| format!("{overall} in all"));
            if last_frame.is_none_or(|last| now.duration_since(last) >= FRAME) {
                *last_frame = Some(now);
                for transfer in transfers.values_mut() {
                    transfer.draw(now);
                }
            }
        } else if now.duration_since(transfer.started) >= QUIET
            && now.duration_since(transfer.last_line) >= LINE_INTERVAL
        {
            transfer.last_line = now;
            let took = now.duration_since(transfer.started);
            let _ = writeln!(stderr(), "  {}", printable(&progress.line(took)));
        }
    }

    fn take_away(transfer: &ShownTransfer) {
        if let Some(bar) = &transfer.bar {
            bar.finish_and_clear();
            BARS.remove(bar);
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
    let text = match text.strip_prefix("Error from server") {
        Some(rest) => format!("{}{rest}", "Error from server".style(styles.bad)),
        None => format!("{} {text}", "error:".style(styles.bad)),
    };
    styles.under(&text, 0)
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
                self.warning_line(&printable(message));
            }
            Event::Retry {
                step,
                retry,
                retries,
                wait,
                why,
            } => {
                let of = retries.map(|retries| format!(" of {retries}"));
                self.warning_line(&format!(
                    "{step} failed: {}; retry {retry}{} in {}",
                    printable(why),
                    of.unwrap_or_default(),
                    elapsed(*wait)
                ));
            }
            Event::Failure { message, .. } | Event::Error { message, .. } => {
                Self::line(&error_line(message, &self.styles));
            }
            Event::Interrupted { by, undoing } => {
                for transfer in std::mem::take(&mut self.shown().transfers).values() {
                    Self::take_away(transfer);
                }
                let what_follows = if *undoing {
                    "; undoing what was changed (once more gives that up)"
                } else {
                    ""
                };
                // Below the terminal's own `^C`.
                Self::line(&format!("\ninterrupted by {by}{what_follows}"));
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
                self.shown().transfers.insert(*id, ShownTransfer::new());
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
                let ended = self.shown().transfers.remove(id);
                if let Some(transfer) = ended {
                    Self::take_away(&transfer);
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
    fn lines_of_steps_wrap_under_their_own_column_and_show_short_digests() {
        let digest = "0123456789abcdef".repeat(4);
        let styles = |width| Styles {
            width,
            ..Styles::default()
        };
        let detail = format!("253.8 KiB, SHA-256 {digest}, as computed in the pod\u{7}");
        let reporter = |width| HumanReporter::new(styles(width), true);
        let line =
            "store.dump           253.8 KiB, SHA-256 0123456789ab, as computed in the pod\\u{7}";
        assert_eq!(reporter(None).step_text("store.dump", &detail), line);
        assert_eq!(
            reporter(Some(60)).step_text("store.dump", &detail),
            "store.dump           253.8 KiB, SHA-256 0123456789ab, as\n\
             \x20                    computed in the pod\\u{7}"
        );
        let whole = reporter(None).wide(true).step_text("store.dump", &detail);
        assert!(whole.contains(&digest), "{whole}");
        assert_eq!(
            error_line(
                "no pod\n  this is wrapped in its own column\n    kubectl get pods -n a-namespace",
                &styles(Some(30))
            ),
            "error: no pod\n  this is wrapped in its own\n  column\n    kubectl get pods -n a-namespace"
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
        assert_eq!(reporter.shown().transfers.len(), 1);
        reporter.report(&Event::Interrupted {
            by: "Ctrl-C",
            undoing: false,
        });
        second.received(3);
        assert_eq!(reporter.shown().transfers.len(), 0);
    }
}
