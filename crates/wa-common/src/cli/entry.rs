//! The one `main` of every plugin: set-up, signals, errors, exit codes.

use std::io::{self, IsTerminal as _, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use clap::error::ErrorKind;
use owo_colors::OwoColorize as _;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::ending::{AtEnd, Endings};
use super::output::as_it_is;
use super::{Exit, GlobalArgs, Render};
use crate::cluster::run::LeftBehind;
use crate::cluster::{Cluster, ClusterError};
use crate::report::{
    Event, HumanReporter, JsonReporter, Reporter, Styles, error_text, printable, printable_lines,
};

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

/// What a command runs with.
pub struct Context {
    /// The flags every plugin has.
    pub global: GlobalArgs,
    /// Who is told of the steps.
    pub reporter: Arc<dyn Reporter>,
    pub(crate) endings: Endings,
    styles: Styles,
}

impl Context {
    pub(crate) fn new(global: GlobalArgs) -> Self {
        let reporter: Arc<dyn Reporter> = if global.output.is_structured() {
            Arc::new(JsonReporter::new(stderr()))
        } else {
            let styles = Styles::for_stream(global.color, &stderr());
            Arc::new(HumanReporter::new(styles, !global.no_progress))
        };
        Self {
            styles: Styles::for_stream(global.color, &stdout()),
            reporter,
            endings: Endings::default(),
            global,
        }
    }

    /// Has `ending` done when the command has ended, in whatever way; the last one registered first.
    pub fn at_end(&self, ending: Arc<dyn AtEnd>) {
        self.endings.add(ending);
    }

    /// Prints a result on standard output in the format asked for.
    pub fn print(&self, result: &impl Render) -> anyhow::Result<()> {
        let out = stdout();
        let shown = if out.is_terminal() {
            printable
        } else {
            as_it_is
        };
        match result.render(&mut out.lock(), &self.global.output, &self.styles, shown) {
            // `… | head` has seen enough; that is no failure.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            printed => printed.context("cannot write to standard output"),
        }
    }

    /// What becomes of a command that does several things: all `failures` are told, the worst one by being returned. Of
    /// several, the last one is.
    pub fn conclude(&self, mut failures: Vec<anyhow::Error>) -> anyhow::Result<()> {
        // Of the exit codes that errors ask for, the higher one is the worse.
        let worst = (0..failures.len()).max_by_key(|at| Exit::of(&failures[*at]).code());
        let Some(worst) = worst.map(|at| failures.remove(at)) else {
            return Ok(());
        };
        for failure in failures {
            let message = error_text(&failure);
            self.reporter.report(&Event::Failure { message });
        }
        Err(worst)
    }

    /// A connection to the cluster the flags name.
    pub fn connect(&self) -> Result<Cluster, ClusterError> {
        Cluster::connect(&self.global.connection, Arc::clone(&self.reporter))
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        // serde_json does not name the error of the writer as its cause.
        let of_json = || cause.downcast_ref::<serde_json::Error>()?.io_error_kind();
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io.or_else(of_json)
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
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
        .with_writer(io::stderr)
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

/// The signals that end a command in good order. Those that it was started to ignore it goes on to ignore: SIGHUP under
/// `nohup`, SIGINT behind `&` in a script.
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let ignored = ignored_signals();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(&mut self.interrupt) => "Ctrl-C",
            () = received(&mut self.terminate) => "SIGTERM",
            () = received(&mut self.hang_up) => "SIGHUP",
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A bit for each signal that is ignored, the lowest for signal 1; none where there is no /proc to tell.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::BoxFuture;
    use rustix::process::{getpid, kill_process};

    use super::*;
    use crate::backup_set::Backup;

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
    fn a_reader_that_has_seen_enough_is_recognised_in_every_format() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let plain = writeln!(Closed, "x").unwrap_err();
        assert!(is_broken_pipe(&plain.into()));
        let json = serde_json::to_writer_pretty(Closed, &["x"]).unwrap_err();
        assert!(is_broken_pipe(&json.into()));
        assert!(!is_broken_pipe(&io::Error::other("disk on fire").into()));
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

    /// Counts the failures that it is told.
    #[derive(Default)]
    struct Failures(AtomicUsize);

    impl Reporter for Failures {
        fn report(&self, event: &Event) {
            assert!(matches!(event, Event::Failure { .. }), "{event:?}");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn of_several_failures_the_worst_decides_the_exit_and_the_others_are_told() {
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            global: GlobalArgs,
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("store.dump"), "PGDMP").unwrap();
        let backup = Backup::open(&directory.path().join("store.dump")).unwrap();
        let broken = || anyhow::Error::new(backup.verify().unwrap_err());
        let plain = || anyhow::anyhow!("no such file");
        let left = || anyhow::Error::new(Unfinished::left_behind());
        for (failures, exit) in [
            (vec![broken(), plain()], Exit::VerificationFailed),
            (vec![plain(), left(), broken()], Exit::Degraded),
            (vec![plain(), plain()], Exit::Error),
        ] {
            let told = Arc::new(Failures::default());
            let mut context = Context::new(Flags::parse_from(["test"]).global);
            context.reporter = Arc::clone(&told) as Arc<dyn Reporter>;
            let others = failures.len() - 1;
            let worst = context.conclude(failures).unwrap_err();
            assert_eq!(Exit::of(&worst), exit);
            assert_eq!(told.0.load(Ordering::Relaxed), others);
        }
        let context = Context::new(Flags::parse_from(["test"]).global);
        assert!(context.conclude(Vec::new()).is_ok());
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
