//! The one `main` of every plugin: set-up, arguments, errors, exit codes.

use std::ffi::OsString;
use std::io::stderr;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{FromArgMatches as _, Subcommand as _};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::called::Called;
use super::command_line::CommandLine;
use super::completion;
use super::logging::log_to_stderr;
use super::own_command::OwnCommand;
use super::panics::{note_panics, panics};
use super::supervisor::{self, Ended};
use super::{Context, Exit, GlobalArgs, OutputFormat, Plugin, PluginErrors};
use crate::report::{ColorChoice, Event, HumanReporter, JsonReporter, Reporter, Styles};
use crate::run::LeftBehind;

/// Parses the arguments, runs the plugin, and says what became of it. Only this function decides how the process ends.
pub fn main<P: Plugin>() -> ExitCode {
    note_panics();
    let exit = catch_unwind(parse_and_run::<P>).unwrap_or_else(|_| {
        // Where the command itself broke down, that is reported already: this is of what stands around it.
        let reporter = reporter_by_arguments(std::env::args_os());
        conclude(broken(), &*reporter, P::errors())
    });
    exit.into()
}

fn broken() -> Ended {
    let panic = panics().into_iter().next();
    Ended {
        outcome: panic.map_or(Ok(Exit::Error), |panic| Err(panic.into())),
        left: Vec::new(),
    }
}

fn parse_and_run<P: Plugin>() -> Exit {
    forbid_core_files();
    keep_freed_memory();
    // Before any TLS: without a choice rustls panics where two providers are compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let called = Called::now();
    if let Some(exit) = completion::answer::<P>(&called) {
        return exit;
    }
    let mut line = CommandLine::of::<P>(&called);
    let parsed = match Parsed::<P>::from_command_line(&mut line) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let (global, prints_rows) = match &parsed {
        Parsed::Plugin(plugin) => (plugin.global().clone(), plugin.prints_rows()),
        Parsed::Own(_, global) => (GlobalArgs::clone(global), false),
    };
    if global.output == OutputFormat::Csv && !prints_rows {
        let refused = "csv is for rows: `kubectl wa-backup inspect BACKUP --rows TABLE -o csv`";
        return usage(&line.command.error(ErrorKind::InvalidValue, refused));
    }
    log_to_stderr(global.verbosity, global.output.is_structured());
    let context = Context::new(global, line.program, P::errors());
    let reporter = Arc::clone(&context.reporter);
    let ended = match parsed {
        Parsed::Plugin(plugin) => supervisor::run(plugin, context),
        Parsed::Own(command, _) => Ended {
            outcome: command.run::<P>(&line.command, &called, &context),
            left: Vec::new(),
        },
    };
    conclude(ended, &*reporter, P::errors())
}

/// What the arguments ask for.
enum Parsed<P> {
    Plugin(P),
    /// A command that every plugin has, with the flags of all commands.
    Own(OwnCommand, Box<GlobalArgs>),
}

impl<P: Plugin> Parsed<P> {
    fn from_command_line(line: &mut CommandLine) -> Result<Self, clap::Error> {
        let matches = line.command.try_get_matches_from_mut(std::env::args_os());
        let mut matches = matches?;
        let own = matches
            .subcommand_name()
            .is_some_and(OwnCommand::has_subcommand);
        let parsed = if own {
            GlobalArgs::from_arg_matches(&matches).and_then(|global| {
                Ok(Self::Own(
                    OwnCommand::from_arg_matches_mut(&mut matches)?,
                    Box::new(global),
                ))
            })
        } else {
            P::from_arg_matches_mut(&mut matches).map(Self::Plugin)
        };
        parsed.map_err(|error| error.format(&mut line.command))
    }
}

/// Tells how a command ended, and what it left behind.
fn conclude(Ended { outcome, left }: Ended, reporter: &dyn Reporter, errors: PluginErrors) -> Exit {
    let error = |message, exit: Exit, leftovers| {
        reporter.report(&Event::Error {
            message,
            exit_code: exit.code(),
            leftovers,
        });
    };
    let mut exit = match &outcome {
        Ok(exit) => *exit,
        Err(failed) => {
            let exit = errors.exit(failed);
            error(errors.text(failed), exit, LeftBehind::leftovers_in(failed));
            exit
        }
    };
    for left in left {
        exit = Exit::Degraded;
        if !tells(&outcome, &left) {
            error(left.to_string(), exit, left.leftovers);
        }
    }
    reporter.report(&Event::Ended {
        outcome: exit.name(),
        exit_code: exit.code(),
    });
    exit
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
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _ = error.print();
        return Exit::Done;
    }
    let exit = Exit::Error;
    if !structured_wanted(std::env::args_os()) {
        let _ = error.print();
        return exit;
    }
    let text = error.render().to_string();
    let reporter = JsonReporter::new(stderr());
    let failed = anyhow::anyhow!("{}", text.trim_start_matches("error: ").trim_end());
    let ended = Ended {
        outcome: Err(failed),
        left: Vec::new(),
    };
    conclude(ended, &reporter, PluginErrors::default())
}

/// For what must be reported before, or without, parsed arguments.
fn reporter_by_arguments(arguments: impl Iterator<Item = OsString>) -> Box<dyn Reporter> {
    if structured_wanted(arguments) {
        return Box::new(JsonReporter::new(stderr()));
    }
    let styles = Styles::for_stream(ColorChoice::Auto, &stderr());
    Box::new(HumanReporter::new(styles, false))
}

/// Whether arguments that cannot be parsed ask for a format for programs: by the last `-o` or `--output` in them.
fn structured_wanted(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let mut arguments = arguments.take_while(|argument| argument != "--");
    let mut format = None;
    while let Some(argument) = arguments.next() {
        if let Some(value) = argument.strip_prefix("--output") {
            format = match value.strip_prefix('=') {
                Some(value) => Some(value.to_owned()),
                None if value.is_empty() => arguments.next(),
                None => format,
            };
        } else if let Some(value) = argument
            .strip_prefix("-o")
            .filter(|_| !argument.starts_with("--"))
        {
            format = match value.strip_prefix('=').unwrap_or(value) {
                "" => arguments.next(),
                value => Some(value.to_owned()),
            };
        }
    }
    format.is_some_and(|format| {
        format
            .parse()
            .is_ok_and(|format: OutputFormat| format.is_structured())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::EventLog;
    use crate::report::Leftover;

    fn left_behind() -> LeftBehind {
        LeftBehind {
            namespace: "cpd".to_owned(),
            advice: "run cleanup".to_owned(),
            leftovers: vec![Leftover {
                what: "pod a".to_owned(),
                why: "it is stubborn".to_owned(),
                by_hand: "kubectl delete pod a".to_owned(),
            }],
        }
    }

    #[test]
    fn what_is_left_behind_is_reported_once_and_decides_the_exit() {
        let left = left_behind();
        let error = anyhow::Error::new(left.clone()).context("cannot clean up");
        for (outcome, errors) in [(Err(error), 1), (Ok(Exit::Done), 1)] {
            let log = EventLog::default();
            let left = vec![left.clone()];
            assert_eq!(
                conclude(Ended { outcome, left }, &log, PluginErrors::default()),
                Exit::Degraded
            );
            let events = log.events();
            assert_eq!(events.len(), errors + 1, "{events:?}");
            let Event::Error {
                message,
                exit_code: 6,
                leftovers,
            } = &events[0]
            else {
                panic!("{events:?}");
            };
            assert!(message.contains("pod a: it is stubborn"), "{message}");
            assert_eq!(*leftovers, left_behind().leftovers);
            assert!(
                matches!(events[1], Event::Ended { exit_code: 6, .. }),
                "{events:?}"
            );
        }
    }

    #[test]
    fn errors_are_reported_once_with_their_causes() {
        let disk = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(disk).context("cannot write store.dump");
        let log = EventLog::default();
        let ended = Ended {
            outcome: Err(error),
            left: Vec::new(),
        };
        assert_eq!(conclude(ended, &log, PluginErrors::default()), Exit::Error);
        let Event::Error { message, .. } = &log.events()[0] else {
            panic!("{:?}", log.events());
        };
        assert_eq!(message, "cannot write store.dump: disk on fire");
    }

    #[test]
    fn the_format_of_arguments_that_cannot_be_parsed_is_found() {
        let wanted = |arguments: &str| structured_wanted(arguments.split(' ').map(OsString::from));
        for json in [
            "p -o json --nonsense",
            "p --output=yaml",
            "p --output json",
            "p -ojson",
            "p -o=json x",
            "p -o human -o json",
            "p -o jsonpath={.a}",
        ] {
            assert!(wanted(json), "{json}");
        }
        for human in [
            "p",
            "p -o",
            "p -o json -o human",
            "p -o nonsense",
            "p -- -o json",
            "p --outputs json",
            "p json",
        ] {
            assert!(!wanted(human), "{human}");
        }
    }
}
