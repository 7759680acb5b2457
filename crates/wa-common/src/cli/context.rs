//! What a command works with: the flags, whom to tell, and where results go.

use std::io::{self, IsTerminal as _, stderr, stdout};
use std::sync::Arc;

use anyhow::Context as _;

use super::output::{OutputFormat, as_it_is};
use super::{GlobalArgs, Interrupts, PluginErrors, Render};
use crate::cluster::{Cluster, ClusterError};
use crate::report::{Event, HumanReporter, JsonReporter, Reporter, Styles, printable};
use crate::run::{ExitHooks, LeftBehind};

/// What a command runs with.
pub struct Context {
    /// The flags every plugin has.
    pub global: GlobalArgs,
    /// Where the steps are reported.
    pub reporter: Arc<dyn Reporter>,
    /// What is done when the command has ended, in whatever way.
    pub exit_hooks: ExitHooks,
    /// Ctrl-C, for a command that asks what is to be done.
    pub interrupts: Interrupts,
    styles: Styles,
    program: String,
    errors: PluginErrors,
}

impl Context {
    /// For a run of `program`, a name and version.
    pub(crate) fn new(global: GlobalArgs, program: String, errors: PluginErrors) -> Self {
        let reporter: Arc<dyn Reporter> = if global.output.is_structured() {
            Arc::new(JsonReporter::new(stderr()))
        } else {
            let styles = Styles::for_stream(global.color, &stderr());
            let wide = global.output == OutputFormat::Wide;
            Arc::new(HumanReporter::new(styles, !global.no_progress).wide(wide))
        };
        Self {
            styles: Styles::for_stream(global.color, &stdout()),
            reporter,
            exit_hooks: ExitHooks::default(),
            interrupts: Interrupts::default(),
            program,
            errors,
            global,
        }
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

    /// What becomes of a command that does several things: all `failures` are reported, the worst one by being returned. Of
    /// several, the last one is.
    pub fn conclude(&self, mut failures: Vec<anyhow::Error>) -> anyhow::Result<()> {
        let worst =
            (0..failures.len()).max_by_key(|at| self.errors.exit(&failures[*at]).severity());
        let Some(worst) = worst.map(|at| failures.remove(at)) else {
            return Ok(());
        };
        for failure in failures {
            self.reporter.report(&Event::Failure {
                message: self.error_text(&failure),
                leftovers: LeftBehind::leftovers_in(&failure),
            });
        }
        Err(worst)
    }

    /// An error as a user reads it: with its causes, and what this plugin advises.
    pub fn error_text(&self, error: &anyhow::Error) -> String {
        self.errors.text(error)
    }

    /// A connection to the cluster the flags name.
    pub fn connect(&self) -> Result<Cluster, ClusterError> {
        Cluster::connect(
            &self.global.connection.clone().into(),
            &self.program,
            Arc::clone(&self.reporter),
        )
    }
}

/// Whether whoever read the output has gone: `… | head` has seen enough, which is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use clap::Parser;

    use super::super::Exit;
    use super::*;
    use backup_set::Backup;

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
    fn of_several_failures_the_worst_decides_the_exit_and_the_others_are_reported() {
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
        let left = || {
            anyhow::Error::new(LeftBehind {
                namespace: "cpd".to_owned(),
                advice: "run cleanup".to_owned(),
                leftovers: Vec::new(),
            })
        };
        for (failures, exit) in [
            (vec![broken(), plain()], Exit::VerificationFailed),
            (vec![plain(), left(), broken()], Exit::Degraded),
            (vec![plain(), plain()], Exit::Error),
        ] {
            let told = Arc::new(Failures::default());
            let mut context = Context::new(
                Flags::parse_from(["test"]).global,
                String::new(),
                PluginErrors::default(),
            );
            context.reporter = Arc::clone(&told) as Arc<dyn Reporter>;
            let others = failures.len() - 1;
            let worst = context.conclude(failures).unwrap_err();
            assert_eq!(PluginErrors::default().exit(&worst), exit);
            assert_eq!(told.0.load(Ordering::Relaxed), others);
        }
        let context = Context::new(
            Flags::parse_from(["test"]).global,
            String::new(),
            PluginErrors::default(),
        );
        assert!(context.conclude(Vec::new()).is_ok());
    }
}
