//! The one `main` of every plugin: set-up, signals, errors, exit codes.

use std::io::{Write, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::error::ErrorKind;
use owo_colors::OwoColorize as _;
use rustix::process::{Resource, Rlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use super::ending::Endings;
use super::signals::Signals;
use super::{Context, Exit, GlobalArgs};
use crate::cluster::run::LeftBehind;
use crate::report::{Event, Styles, error_text, printable_lines};

/// Signals this soon after the first belong to it: a shell, a supervisor and the kernel may each send their own.
const SAME_WISH: Duration = Duration::from_secs(1);

/// A plugin's command line.
pub trait Plugin: Parser {
    /// The flags it shares with the other plugins.
    fn global(&self) -> &GlobalArgs;

    /// Does what was asked. Dropped in the middle when a signal arrives: what must be undone on this machine is undone by
    /// `Drop`, what must be undone in the cluster by what is registered with [`Context::at_end`].
    fn run(self, context: Context) -> impl Future<Output = anyhow::Result<Exit>>;
}

/// Parses the arguments, runs the plugin, and says what became of it. Only this function decides how the process ends.
pub fn main<P: Plugin>() -> ExitCode {
    forbid_core_files();
    keep_freed_memory();
    // Before any TLS: without a choice rustls panics where two providers are compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plugin = match P::try_parse() {
        Ok(plugin) => plugin,
        Err(error) => return usage(&error).into(),
    };
    let global = plugin.global().clone();
    log_to_stderr(global.verbosity);
    let styles = Styles::for_stream(global.color, &stderr());
    let context = Context::new(global);
    let Ended { outcome, left } = run(plugin, context);
    let mut exit = match &outcome {
        Ok(exit) => *exit,
        Err(error) => {
            let _ = writeln!(stderr(), "{}", describe(error, &styles));
            Exit::of(error)
        }
    };
    for left in left {
        exit = Exit::Degraded;
        if !tells(&outcome, &left) {
            let _ = writeln!(stderr(), "{}", describe(&left.into(), &styles));
        }
    }
    exit.into()
}

/// Whether the error of a command is, or is caused by, what it left behind.
fn tells(outcome: &anyhow::Result<Exit>, left: &LeftBehind) -> bool {
    let mut causes = outcome
        .as_ref()
        .err()
        .into_iter()
        .flat_map(|error| error.chain());
    causes.any(|cause| cause.downcast_ref() == Some(left))
}

/// glibc returns memory to the kernel as soon as 128 KiB of it lie free, and asks for it again with the next frame: a
/// transfer would spend a tenth of its time on page faults. Freeing one block of its largest kind, which is never
/// touched, makes it wait until twice as much is free (mallopt(3), `M_MMAP_THRESHOLD`).
fn keep_freed_memory() {
    const BLOCK_BYTES: usize = 4 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK_BYTES)));
}

/// A core file would hold the database password and the token.
fn forbid_core_files() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Lowering one's own limit cannot be refused.
    let _ = setrlimit(Resource::Core, none);
}

/// clap's own exit code for wrong usage is 2; the table says 1.
fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Error,
    }
}

fn log_to_stderr(verbosity: u8) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(log_filter(verbosity))
        .with_writer(stderr)
        .with_ansi(false)
        .with_target(false)
        .try_init();
}

fn log_filter(verbosity: u8) -> EnvFilter {
    let (ours, requests) = match verbosity {
        0..=3 => ("warn", "off"),
        4..=5 => ("info", "off"),
        6..=8 => ("debug", "debug"),
        _ => ("trace", "trace"),
    };
    // Of kube, only the lines about requests: elsewhere it logs the body of an answer it cannot parse, which may be a
    // Secret. Of hyper and rustls nothing, whose buffers hold tokens.
    // `kubectl_wa` is how the name of every plugin begins.
    EnvFilter::new(format!(
        "off,wa_common={ours},kube_transfer={ours},kubectl_wa={ours},kube_client::client::builder={requests}"
    ))
}

/// How a command ended.
struct Ended {
    outcome: anyhow::Result<Exit>,
    /// What it changed in the cluster and could not undo.
    left: Vec<LeftBehind>,
}

fn run<P: Plugin>(plugin: P, context: Context) -> Ended {
    let not_run = |error: anyhow::Error| Ended {
        outcome: Err(error),
        left: Vec::new(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return not_run(anyhow::Error::new(error).context("cannot start")),
    };
    let ended = runtime.block_on(async {
        match Signals::listen() {
            Ok(signals) => run_to_the_end(plugin, context, signals).await,
            Err(error) => not_run(anyhow::Error::new(error).context("cannot listen for signals")),
        }
    });
    // A thread that still waits for a disk must not keep a finished command from ending.
    runtime.shutdown_background();
    ended
}

async fn run_to_the_end<P: Plugin>(plugin: P, context: Context, mut signals: Signals) -> Ended {
    let endings = context.endings.clone();
    let reporter = Arc::clone(&context.reporter);
    let mut interrupted = None;
    let outcome = tokio::select! {
        outcome = plugin.run(context) => outcome,
        name = signals.next() => {
            // Takes the progress bar away.
            reporter.report(&Event::TransferEnded);
            interrupted = Some(Instant::now());
            say_interrupted(name, !endings.is_empty());
            Ok(Exit::Interrupted)
        }
    };
    let left = end(&endings, &mut signals, interrupted).await;
    Ended { outcome, left }
}

/// Does what was registered with [`Context::at_end`]. The second signal in all, of which the first may have been
/// `interrupted` by, gives it up.
async fn end(
    endings: &Endings,
    signals: &mut Signals,
    mut interrupted: Option<Instant>,
) -> Vec<LeftBehind> {
    let mut ending = std::pin::pin!(endings.run());
    loop {
        let name = tokio::select! {
            left = &mut ending => return left,
            name = signals.next() => name,
        };
        match interrupted {
            None => {
                interrupted = Some(Instant::now());
                say_interrupted(name, true);
            }
            Some(first) if first.elapsed() < SAME_WISH => {}
            Some(_) => return endings.left(),
        }
    }
}

fn say_interrupted(by: &str, undoing: bool) {
    let what_follows = if undoing {
        "; undoing what was changed (once more gives that up)"
    } else {
        ""
    };
    let _ = writeln!(stderr(), "\ninterrupted by {by}{what_follows}");
}

/// The error as kubectl writes one: `error: …`, or the API server's own words.
fn describe(error: &anyhow::Error, styles: &Styles) -> String {
    let text = printable_lines(&error_text(error));
    match text.strip_prefix("Error from server") {
        Some(rest) => format!("{}{rest}", "Error from server".style(styles.bad)),
        None => format!("{} {text}", "error:".style(styles.bad)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use rustix::process::{getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;
    use crate::cli::AtEnd;

    #[test]
    fn errors_are_told_once_with_their_causes() {
        let disk = io::Error::other("disk on fire");
        let error = anyhow::Error::new(disk).context("cannot write store.dump");
        assert_eq!(
            describe(&error, &Styles::default()),
            "error: cannot write store.dump: disk on fire"
        );
        let twice = anyhow::anyhow!("disk on fire").context("cannot write: disk on fire");
        assert_eq!(
            describe(&twice, &Styles::default()),
            "error: cannot write: disk on fire"
        );
    }

    #[test]
    fn what_errors_quote_does_not_drive_the_terminal() {
        let error = anyhow::anyhow!("pod \u{1b}[2J is gone").context("two\nlines");
        assert_eq!(
            describe(&error, &Styles::default()),
            "error: two\nlines: pod \\u{1b}[2J is gone"
        );
    }

    /// Something to do at the end that sends this process `signals` and ends only if `ends`.
    struct Unfinished {
        signals: usize,
        ends: bool,
    }

    impl Unfinished {
        fn left_behind() -> LeftBehind {
            LeftBehind {
                namespace: "cpd".to_owned(),
                plugin: "wa-test".to_owned(),
                leftovers: Vec::new(),
            }
        }
    }

    impl AtEnd for Unfinished {
        fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
            Box::pin(async {
                let mut seen = signal(SignalKind::hangup()).unwrap();
                for _ in 0..self.signals {
                    kill_process(getpid(), rustix::process::Signal::HUP).unwrap();
                    seen.recv().await;
                    tokio::task::yield_now().await;
                }
                if !self.ends {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        }

        fn left(&self) -> Option<LeftBehind> {
            Some(Self::left_behind())
        }
    }

    async fn ended(unfinished: Unfinished, interrupted: Option<Instant>) -> Vec<LeftBehind> {
        let endings = Endings::default();
        endings.add(Arc::new(unfinished));
        let mut signals = Signals::listen().unwrap();
        end(&endings, &mut signals, interrupted).await
    }

    #[tokio::test]
    async fn the_signals_of_one_wish_do_not_stop_the_undoing() {
        let several = Unfinished {
            signals: 3,
            ends: true,
        };
        assert_eq!(ended(several, None).await, []);
    }

    #[tokio::test]
    async fn another_signal_gives_the_undoing_up_and_tells_what_is_left() {
        let one = Unfinished {
            signals: 1,
            ends: false,
        };
        let first = Instant::now().checked_sub(SAME_WISH);
        assert_eq!(ended(one, first).await, [Unfinished::left_behind()]);
    }

    #[test]
    fn what_is_left_behind_is_told_once_and_decides_the_exit() {
        let left = Unfinished::left_behind();
        let error = anyhow::Error::new(left.clone()).context("cannot clean up");
        assert_eq!(Exit::of(&error), Exit::Degraded);
        assert!(tells(&Err(error), &left));
        assert!(!tells(&Ok(Exit::Done), &left));
    }

    #[test]
    fn every_plugin_logs_and_no_library_that_holds_secrets_does() {
        let logged = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(log_filter(9))
            .with_writer(logged.reopen().unwrap())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "kubectl_wa_pvc::commands", "of a plugin");
            tracing::error!(target: "rustls::conn", "of a library");
        });
        let text = std::fs::read_to_string(logged.path()).unwrap();
        assert!(text.contains("of a plugin"), "{text}");
        assert!(!text.contains("of a library"), "{text}");
    }

    #[test]
    fn the_servers_own_errors_start_as_kubectls_do() {
        let error = anyhow::anyhow!("Error from server (Forbidden): no");
        assert_eq!(
            describe(&error, &Styles::default()),
            "Error from server (Forbidden): no"
        );
    }
}
