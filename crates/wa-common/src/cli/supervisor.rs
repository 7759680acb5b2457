//! Runs a command so that it can always be ended, and undoes what it changed.
//!
//! The command has a thread of its own. A file call that hangs (`fsync` or `statvfs` on a file server that is away), a
//! full pipe, a credential program that waits: whatever blocks it, the signals are still heard, and its Leases still
//! renewed, by the tasks of the thread that waits for it here.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::panics::{panicked, panics};
use super::signals::{CTRL_C, Signals};
use super::{Context, Exit, Interrupts, Plugin};
use crate::report::{Event, Reporter};
use crate::run::{ExitHooks, LeftBehind};

/// Signals this soon after the first belong to it: a shell, a supervisor and the kernel may each send their own.
const SAME_WISH: Duration = Duration::from_secs(1);
/// How long a command that is to stop may take, before what it changed in the cluster is undone beside it; and after.
const STOPS_WITHIN: Duration = Duration::from_secs(2);
const REMOVES_WITHIN: Duration = Duration::from_secs(10);
/// As the main thread's, which is more than what threads get.
const STACK_BYTES: usize = 8 << 20;

/// How a command ended.
pub(super) struct Ended {
    pub(super) outcome: anyhow::Result<Exit>,
    /// What it changed in the cluster and could not undo.
    pub(super) left: Vec<LeftBehind>,
}

/// Runs `plugin` to its end, or until a signal or a panic ends it.
pub(super) fn run<P: Plugin>(plugin: P, context: Context) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime.context("cannot start").and_then(|runtime| {
        let ended = runtime.block_on(supervise(plugin, context));
        // A thread that still waits for a disk must not keep a finished command from ending.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| Ended {
        outcome: Err(error),
        left: Vec::new(),
    })
}

async fn supervise<P: Plugin>(plugin: P, context: Context) -> anyhow::Result<Ended> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let exit_hooks = context.exit_hooks.clone();
    let reporter = Arc::clone(&context.reporter);
    let interrupts = context.interrupts.clone();
    let mut work = Work::start(plugin, context).context("cannot start a thread")?;
    let mut interrupted = None;
    let outcome = tokio::select! {
        outcome = work.ended() => Some(outcome),
        name = unheard(&mut signals, &interrupts) => {
            interrupted = Some(say_interrupted(&*reporter, name, &exit_hooks));
            None
        }
        () = panicked() => None,
    };
    let stopped_by_signal = interrupted.is_some();
    let ending = async {
        let outcome = match outcome {
            Some(outcome) => Some(outcome),
            None => work.stop().await,
        };
        let left = exit_hooks.run().await;
        match outcome {
            Some(outcome) => (Some(outcome), left),
            None => (timeout(REMOVES_WITHIN, work.ended()).await.ok(), left),
        }
    };
    let ended = until_given_up(
        ending,
        &mut signals,
        &mut interrupted,
        &*reporter,
        &exit_hooks,
    )
    .await;
    let (outcome, left) = match ended {
        Some((outcome, left)) => {
            if outcome.is_none() {
                reporter.report(&Event::Warning {
                    message: "the command waits for a disk or a program that does not answer, and is left to itself; what it was writing on this machine may be there still".to_owned(),
                });
            }
            (outcome, left)
        }
        None => (None, exit_hooks.left()),
    };
    let outcome = match outcome {
        // It was done before the signal could stop it.
        Some(Ok(Some(exit))) => Ok(exit),
        _ if stopped_by_signal => Ok(Exit::Interrupted),
        Some(Err(error)) => Err(error),
        // The undoing was given up while the command was asked to stop, after a panic: told below.
        Some(Ok(None)) | None => Err(anyhow::anyhow!("the command broke down; this is a bug")),
    };
    // The first of the panics is the cause, and what the command made of it is not.
    let outcome = match panics().into_iter().next() {
        Some(panic) => Err(panic.into()),
        None => outcome,
    };
    Ok(Ended { outcome, left })
}

/// The next signal that the command does not hear itself.
async fn unheard(signals: &mut Signals, interrupts: &Interrupts) -> &'static str {
    loop {
        let name = signals.next().await;
        if name != CTRL_C || !interrupts.tell() {
            return name;
        }
    }
}

/// Waits for `ending`. The second signal in all, of which the first may have been `interrupted` by, gives it up: `None`.
async fn until_given_up<T>(
    ending: impl Future<Output = T>,
    signals: &mut Signals,
    interrupted: &mut Option<Instant>,
    reporter: &dyn Reporter,
    exit_hooks: &ExitHooks,
) -> Option<T> {
    let mut ending = std::pin::pin!(ending);
    loop {
        let name = tokio::select! {
            ended = &mut ending => return Some(ended),
            name = signals.next() => name,
        };
        match interrupted {
            None => *interrupted = Some(say_interrupted(reporter, name, exit_hooks)),
            Some(first) if first.elapsed() < SAME_WISH => {}
            Some(_) => return None,
        }
    }
}

fn say_interrupted(reporter: &dyn Reporter, by: &'static str, exit_hooks: &ExitHooks) -> Instant {
    reporter.report(&Event::Interrupted {
        by,
        undoing: !exit_hooks.is_empty(),
    });
    Instant::now()
}

/// What the thread of a command ends with: `None` where it was stopped.
type Outcome = anyhow::Result<Option<Exit>>;

/// A command at work on a thread of its own.
struct Work {
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<Outcome>,
}

impl Work {
    fn start<P: Plugin>(plugin: P, context: Context) -> io::Result<Self> {
        let runtime = Handle::current();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("command".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let work = async move {
                    tokio::select! {
                        biased;
                        _ = stopped => None,
                        outcome = plugin.run(context) => Some(outcome),
                    }
                };
                // What must be undone on this machine is undone by `Drop`, before this returns.
                let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
                // Of a panic the hook knows more. Where nobody waits any more, the process ends.
                let _ = end.send(outcome.unwrap_or(None).transpose());
            })?;
        Ok(Self {
            stop: Some(stop),
            ended,
        })
    }

    /// Waits for its end. Dropping the future loses nothing.
    async fn ended(&mut self) -> Outcome {
        (&mut self.ended).await.unwrap_or(Ok(None))
    }

    /// Has it stop; `None` where it does not.
    async fn stop(&mut self) -> Option<Outcome> {
        self.stop = None;
        timeout(STOPS_WITHIN, self.ended()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

    use clap::Parser;
    use futures::future::BoxFuture;
    use rustix::process::{Signal, getpid, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    use super::*;
    use crate::cli::GlobalArgs;
    use crate::report::EventLog;
    use crate::run::ExitHook;

    /// Signals meet the whole process: one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Alone, and hearing signals that this process was started to ignore, as under `nohup`.
    fn alone() -> MutexGuard<'static, ()> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        hear_signals();
        alone
    }

    /// What has a handler once is not ignored any more.
    #[tokio::main(flavor = "current_thread")]
    async fn hear_signals() {
        for kind in [SignalKind::hangup(), SignalKind::terminate()] {
            drop(signal(kind).unwrap());
        }
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
                advice: "run cleanup".to_owned(),
                leftovers: Vec::new(),
            }
        }
    }

    impl ExitHook for Unfinished {
        fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
            Box::pin(async {
                let mut seen = signal(SignalKind::hangup()).unwrap();
                for _ in 0..self.signals {
                    kill_process(getpid(), Signal::HUP).unwrap();
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

    #[tokio::main(flavor = "current_thread")]
    async fn ended(unfinished: Unfinished, mut interrupted: Option<Instant>) -> Vec<LeftBehind> {
        let exit_hooks = ExitHooks::default();
        exit_hooks.add(Arc::new(unfinished));
        let mut signals = Signals::listen().unwrap();
        let log = EventLog::default();
        let ending = exit_hooks.run();
        until_given_up(ending, &mut signals, &mut interrupted, &log, &exit_hooks)
            .await
            .unwrap_or_else(|| exit_hooks.left())
    }

    #[test]
    fn the_signals_of_one_wish_do_not_stop_the_undoing() {
        let several = Unfinished {
            signals: 3,
            ends: true,
        };
        let _alone = alone();
        assert_eq!(ended(several, None), []);
    }

    #[test]
    fn another_signal_gives_the_undoing_up_and_tells_what_is_left() {
        let one = Unfinished {
            signals: 1,
            ends: false,
        };
        let first = Instant::now().checked_sub(SAME_WISH);
        let _alone = alone();
        assert_eq!(ended(one, first), [Unfinished::left_behind()]);
    }

    /// Done at the end: lets go whoever holds the other end.
    struct LetGo(PathBuf);

    impl ExitHook for LetGo {
        fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
            Box::pin(async {
                let mut pipe = OpenOptions::new().write(true).open(&self.0).unwrap();
                pipe.write_all(b"the end").unwrap();
                Ok(())
            })
        }

        fn left(&self) -> Option<LeftBehind> {
            None
        }
    }

    /// A command that blocks its thread by opening a pipe that nobody writes to, as one does that opens a file on a
    /// server that is away.
    #[derive(Parser)]
    struct Blocks {
        pipe: PathBuf,
        /// Ends it when it blocks, as Ctrl-C does.
        #[arg(long)]
        interrupt: bool,
        #[command(flatten)]
        global: GlobalArgs,
    }

    impl Plugin for Blocks {
        fn global(&self) -> &GlobalArgs {
            &self.global
        }

        async fn run(self, context: Context) -> anyhow::Result<Exit> {
            if self.interrupt {
                context.exit_hooks.add(Arc::new(LetGo(self.pipe.clone())));
                thread::spawn(|| kill_process(getpid(), Signal::TERM));
                let text = std::io::read_to_string(File::open(&self.pipe)?)?;
                // Only what is done at the end has written it.
                anyhow::ensure!(text == "the end");
                tokio::task::yield_now().await;
                anyhow::bail!("it was to stop");
            }
            // As the task that renews a Lease.
            let (ticks, ticked) = mpsc::channel();
            tokio::spawn(async move {
                for tick in 0..3 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let _ = ticks.send(tick);
                }
            });
            // Blocks until the task has done all its work.
            anyhow::ensure!(ticked.iter().collect::<Vec<_>>() == [0, 1, 2]);
            Ok(Exit::Done)
        }
    }

    fn run_blocking(more: &[&str]) -> Ended {
        let _alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let arguments = ["test", pipe.to_str().unwrap()].into_iter();
        let plugin = Blocks::parse_from(arguments.chain(more.iter().copied()));
        let mut context = Context::new(
            plugin.global.clone(),
            String::new(),
            crate::cli::PluginErrors::default(),
        );
        context.reporter = Arc::new(EventLog::default());
        run(plugin, context)
    }

    #[test]
    fn a_signal_is_heard_while_the_command_waits_for_a_file_and_what_it_changed_is_undone() {
        let ended = run_blocking(&["--interrupt"]);
        // Let go by what was done at the end, it stopped before it could go on.
        assert_eq!(ended.outcome.unwrap(), Exit::Interrupted);
        assert_eq!(ended.left, []);
    }

    #[test]
    fn tasks_go_on_while_the_command_blocks() {
        assert_eq!(run_blocking(&[]).outcome.unwrap(), Exit::Done);
    }
}
