//! How a command line may go on, for a shell that completes it.
//!
//! Two ask, and both by starting the program:
//!
//! - kubectl and oc, as a program with the name `kubectl_complete-wa_backup`, with the words after the plugin's name as
//!   arguments. They are answered in the words of Go's library cobra ([`kubectl`]).
//! - a shell in which a script of `completion bash` was read, by an environment variable. It is answered by the library
//!   clap_complete, from which the script is, too.
//!
//! clap_complete finds out which word can stand there, from the same description by which command lines are parsed. What
//! it cannot know, the values that only the cluster or this machine tells, is asked for by the name that the help gives
//! the value ([`values`]). Whatever goes wrong, the answer is that nothing is known: a shell that completes shows no errors.

mod attach;
mod kubectl;
mod links;
mod script;
mod values;

pub(super) use links::Links;
pub(super) use script::Script;

use std::fs::OpenOptions;
use std::io::{Write as _, stdout};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::stdio::{dup2_stderr, dup2_stdin};

use super::called::Called;
use super::{Exit, Plugin, TimeLimit};

/// A user who has pressed Tab waits for it. Less than a second, of which the shell needs some.
const USUAL_LIMIT: Duration = Duration::from_millis(900);
/// Another limit, for clusters that are far away, and for tests.
const LIMIT_VARIABLE: &str = "KUBECTL_WA_COMPLETION_TIMEOUT";
/// As the main thread's: describing all commands takes more than what threads get, where nothing is optimised.
const STACK_BYTES: usize = 8 << 20;

/// Who wants to know.
enum Asker {
    Kubectl,
    Shell(Script),
}

/// Answers where the program was started to complete a command line; `None` where it is a command.
pub(super) fn answer<P: Plugin>(called: &Called) -> Option<Exit> {
    let asker = if called.is_asked_for_completion() {
        Asker::Kubectl
    } else {
        Asker::Shell(Script::that_asks()?)
    };
    be_silent();
    let otherwise = match asker {
        Asker::Kubectl => kubectl::nothing(),
        Asker::Shell(_) => String::new(),
    };
    let (told, answer) = mpsc::channel();
    let called = called.clone();
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    // Not joined: a file server that is away, or a login program, may block it for good.
    let started = thread.spawn(move || {
        let arguments = std::env::args_os().skip(1).collect();
        let _ = told.send(match asker {
            Asker::Kubectl => kubectl::answer::<P>(&called, arguments),
            Asker::Shell(script) => script.answer::<P>(&called, arguments),
        });
    });
    let text = started.ok().and_then(|_| answer.recv_timeout(limit()).ok());
    let _ = stdout().write_all(text.unwrap_or(otherwise).as_bytes());
    Some(Exit::Done)
}

fn limit() -> Duration {
    let given = std::env::var(LIMIT_VARIABLE).ok();
    let given = given.and_then(|text| text.parse().ok());
    match given {
        Some(TimeLimit(limit)) => limit.unwrap_or(Duration::MAX),
        None => USUAL_LIMIT,
    }
}

/// Nothing is said beside the answer, not even by login programs of the kubeconfig, and nobody is asked for a password.
fn be_silent() {
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null");
    if let Ok(nowhere) = nowhere {
        let _ = dup2_stderr(&nowhere);
        let _ = dup2_stdin(&nowhere);
    }
}
