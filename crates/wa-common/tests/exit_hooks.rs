//! How a plugin's process ends: exit code, standard error as JSON to the last line, and what is undone.
//!
//! The program is its own plugin: started with `PLUGIN` set it is one that ends as its argument says, else it runs the
//! tests, which start it so.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a plugin that breaks down is what is tested; a test that is not met has failed"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::Value;
use wa_common::cli::{Context, Exit, GlobalArgs, Plugin};
use wa_common::report::{Event, Leftover};
use wa_common::run::{ExitHook, LeftBehind};

const AS_PLUGIN: &str = "PLUGIN";
const SECRET: &str = "hunter2";

/// A plugin that ends in a certain way.
#[derive(Parser)]
struct Ends {
    #[arg(value_enum)]
    how: How,
    /// Is there when what was changed was undone
    #[arg(long)]
    undone: Option<PathBuf>,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    Well,
    Error,
    Refused,
    Signal,
    LeavesSomething,
    Panic,
    PanicWithSecret,
    PanicInTask,
    PanicInThread,
    PanicInUndoing,
}

impl Plugin for Ends {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }

    async fn run(self, context: Context) -> anyhow::Result<Exit> {
        context.exit_hooks.add(Arc::new(Undo {
            how: self.how,
            undone: self.undone.clone(),
        }));
        context.reporter.report(&Event::Step {
            step: "begun",
            detail: "a change is recorded".to_owned(),
        });
        match self.how {
            How::Well | How::LeavesSomething | How::PanicInUndoing => Ok(Exit::Done),
            How::Error => Err(anyhow::anyhow!("two\nlines").context("it failed")),
            How::Refused => Ok(Exit::Refused),
            How::Signal => {
                kill_process(getpid(), Signal::TERM)?;
                std::future::pending().await
            }
            How::Panic => panic!("the plugin \u{1b}[2J broke"),
            How::PanicWithSecret => panic!("cannot parse {SECRET}"),
            How::PanicInTask => {
                tokio::spawn(async { panic!("the task broke") });
                std::future::pending().await
            }
            How::PanicInThread => {
                std::thread::spawn(|| panic!("the thread broke"));
                std::future::pending().await
            }
        }
    }
}

struct Undo {
    how: How,
    undone: Option<PathBuf>,
}

impl ExitHook for Undo {
    fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
        Box::pin(async {
            assert!(self.how != How::PanicInUndoing, "the undoing broke");
            if self.how == How::LeavesSomething {
                return Err(self.left().unwrap());
            }
            if let Some(undone) = &self.undone {
                fs::write(undone, "").unwrap();
            }
            Ok(())
        })
    }

    fn left(&self) -> Option<LeftBehind> {
        Some(LeftBehind {
            namespace: "cpd".to_owned(),
            advice: "run cleanup".to_owned(),
            leftovers: vec![Leftover {
                what: "pod a".to_owned(),
                why: "it is stubborn".to_owned(),
                by_hand: "kubectl delete pod a".to_owned(),
            }],
        })
    }
}

/// How the plugin ended that was started with these arguments.
struct Ended {
    output: Output,
    undone: bool,
}

impl Ended {
    fn with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let undone = directory.path().join("undone");
        let output = Command::new(std::env::current_exe().unwrap())
            .env(AS_PLUGIN, "1")
            .args(arguments)
            .arg("--undone")
            .arg(&undone)
            .output()
            .unwrap();
        Self {
            output,
            undone: undone.exists(),
        }
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    /// The lines of standard error, each of which must be an object with what every line has.
    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        let line = |line: &str| {
            let object: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
            for field in ["time", "level", "event", "message"] {
                assert!(object[field].is_string(), "no {field} in {line}");
            }
            object
        };
        self.stderr().lines().map(line).collect()
    }
}

/// The last line names the exit code, and the one before is of that event, with that in its message.
#[track_caller]
fn expect_json(how: &str, code: i32, event: &str, message: &str) -> Vec<Value> {
    let ended = Ended::with(&[how, "-o", "json"]);
    let lines = ended.lines();
    assert_eq!(ended.code(), code, "{lines:?}");
    let [.., told, last] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(last["event"], "ended");
    assert_eq!(last["exitCode"], code);
    assert_eq!(told["event"], event, "{lines:?}");
    assert!(
        told["message"].as_str().unwrap().contains(message),
        "{told}"
    );
    lines
}

fn every_end_is_json_to_the_last_line() {
    expect_json("well", 0, "step", "a change is recorded");
    expect_json("refused", 4, "step", "a change is recorded");
    expect_json("signal", 130, "interrupted", "SIGTERM");
    let lines = expect_json("error", 1, "error", "it failed: two\nlines");
    assert_eq!(lines[lines.len() - 2]["exitCode"], 1);
    let lines = expect_json("leaves-something", 6, "error", "left behind");
    let left = &lines[lines.len() - 2]["leftovers"][0];
    assert_eq!(left["what"], "pod a");
    assert_eq!(left["byHand"], "kubectl delete pod a");
    expect_json("panic", 1, "error", "the plugin \u{1b}[2J broke");
    expect_json("panic-in-undoing", 6, "error", "left behind");
}

fn wrong_usage_is_json_where_json_was_asked_for() {
    let ended = Ended::with(&["well", "--nonsense", "--output=json"]);
    let lines = ended.lines();
    assert_eq!(ended.code(), 1);
    assert_eq!(lines.len(), 2);
    let message = lines[0]["message"].as_str().unwrap();
    assert!(message.contains("--nonsense"), "{message}");
    let ended = Ended::with(&["well", "--nonsense"]);
    assert!(ended.stderr().contains("error: unexpected argument"));
}

fn a_panic_anywhere_is_an_error_and_what_was_changed_is_undone() {
    for (how, said, place) in [
        ("panic", "the plugin \\u{1b}[2J broke", "command"),
        ("panic-in-task", "the task broke", "main"),
        ("panic-in-thread", "the thread broke", "exit_hooks.rs:"),
    ] {
        let ended = Ended::with(&[how]);
        let stderr = ended.stderr();
        assert_eq!(ended.code(), 1, "{how}: {stderr}");
        assert!(ended.undone, "{how}: {stderr}");
        for part in ["error: internal error in ", said, place, "this is a bug"] {
            assert!(stderr.contains(part), "{how}: no {part:?} in {stderr}");
        }
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    }
}

fn what_a_panic_quotes_is_not_shown() {
    for format in ["human", "json"] {
        let ended = Ended::with(&["panic-with-secret", "-o", format, "-v", "9"]);
        let stderr = ended.stderr();
        assert_eq!(ended.code(), 1, "{stderr}");
        assert!(ended.undone);
        assert!(stderr.contains("internal error"), "{stderr}");
        assert!(!stderr.contains(SECRET), "{stderr}");
    }
}

fn main() -> ExitCode {
    if std::env::var_os(AS_PLUGIN).is_some() {
        return wa_common::cli::main::<Ends>();
    }
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        trial(
            "every_end_is_json_to_the_last_line",
            every_end_is_json_to_the_last_line,
        ),
        trial(
            "wrong_usage_is_json_where_json_was_asked_for",
            wrong_usage_is_json_where_json_was_asked_for,
        ),
        trial(
            "a_panic_anywhere_is_an_error_and_what_was_changed_is_undone",
            a_panic_anywhere_is_an_error_and_what_was_changed_is_undone,
        ),
        trial(
            "what_a_panic_quotes_is_not_shown",
            what_a_panic_quotes_is_not_shown,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
