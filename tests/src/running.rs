//! A command that is met in the middle of its work.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use kube_sandbox::faults::{Effect, Matcher};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::{Outcome, World, wait_until};

/// A request by which a command is known to have come so far: its method, and a part of path and query.
pub type Request = (&'static str, &'static str);

/// What sends the ranges of a file, as it stands in the request.
pub const FETCH: &str = "kube-transfer-ranges";

/// A running command. It is killed when the test fails.
pub struct Running<'a> {
    world: &'a World,
    child: Option<Child>,
    /// Its standard error, which a test reads while it runs.
    stderr: NamedTempFile,
    /// How many requests there were before it.
    before: usize,
}

impl World {
    /// Starts `kubectl wa-pvc` with these arguments, in `directory`.
    pub fn start_pvc(&self, directory: &Path, arguments: &[&str]) -> Running<'_> {
        self.start_running(self.pvc_command(directory, arguments))
    }

    /// The same for `kubectl wa-backup`.
    pub fn start_backup(&self, directory: &Path, arguments: &[&str]) -> Running<'_> {
        self.start_running(self.backup_command(directory, arguments))
    }

    fn start_running(&self, mut command: Command) -> Running<'_> {
        let before = self.sandbox().requests().len();
        let stderr = NamedTempFile::new().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap();
        Running {
            world: self,
            child: Some(child),
            stderr,
            before,
        }
    }

    /// Sends `kubectl wa-pvc` a signal when it has come to a step, and waits for its end.
    #[track_caller]
    pub fn signal_pvc_at(&self, step: Request, signal: Signal, arguments: &[&str]) -> Outcome {
        let scratch = self.scratch();
        let mut running = self.start_pvc(scratch.path(), arguments);
        running.until(step);
        running.signal(signal);
        running.end()
    }

    /// Makes fetching a file of the volume take seconds, until the faults are cleared.
    pub fn slow_fetches(&self) {
        self.slow_fetches_to(10_000);
    }

    /// The same, at a rate.
    pub fn slow_fetches_to(&self, bytes_per_second: u64) {
        let on = Matcher {
            path: Some(FETCH.to_owned()),
            ..Matcher::default()
        };
        self.fault(on, None, Effect::Throttle { bytes_per_second });
    }

    /// `kubectl wa-pvc cleanup`, which must end with that code.
    #[track_caller]
    pub fn cleanup(&self, code: i32) -> Outcome {
        let scratch = self.scratch();
        self.pvc(scratch.path(), &["cleanup"]).expect_code(code)
    }
}

impl Running<'_> {
    /// Whether it has sent such a request.
    pub fn has_sent(&self, (method, part): Request) -> bool {
        let requests = self.world.sandbox().requests();
        let mut own = requests.iter().skip(self.before);
        own.any(|request| request.method == method && request.uri.contains(part))
    }

    /// Returns when it has sent such a request; fails the test when it ends without.
    #[track_caller]
    pub fn until(&mut self, request: Request) {
        self.wait(&format!("it sends {request:?}"), |running| {
            running.has_sent(request)
        });
    }

    /// Returns when it has said such a thing on standard error; fails the test when it ends without.
    #[track_caller]
    pub fn until_said(&mut self, part: &str) {
        self.wait(&format!("it says {part:?}"), |running| {
            running.said().contains(part)
        });
    }

    #[track_caller]
    fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        wait_until(what, || {
            let has_ended = self.child.as_mut().unwrap().try_wait().unwrap().is_some();
            let holds = condition(self);
            assert!(
                holds || !has_ended,
                "it ended before {what}: {:?}",
                self.outcome()
            );
            holds
        });
    }

    fn said(&self) -> String {
        let said = std::fs::read(self.stderr.path()).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn outcome(&mut self) -> Outcome {
        let child = self.child.take().unwrap();
        let ended: Outcome = child.wait_with_output().unwrap().into();
        Outcome {
            stderr: self.said(),
            ..ended
        }
    }

    /// Sends it a signal, unless it has ended meanwhile.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        let child = self.child.as_mut().unwrap();
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }

    /// Waits for its end.
    pub fn end(mut self) -> Outcome {
        self.outcome()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
