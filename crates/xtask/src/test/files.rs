//! Files of tests, several at a time. cargo runs one after the other, and most of them wait for a practice cluster of their
//! own more than they work.

use std::mem;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::output::{Output, Skipped};
use crate::process::cargo;

/// Beside the checks.
const AT_A_TIME: usize = 2;

/// The executable of a file of tests.
pub(super) struct TestFile {
    executable: PathBuf,
    /// Where cargo runs it: the directory of its package.
    directory: PathBuf,
    /// Whether it is a file in `tests`, and no module of what it tests.
    is_of_its_own: bool,
}

/// What came of a file of tests.
struct Ran {
    skipped: Vec<Skipped>,
    failure: Option<String>,
}

/// What came of all of them.
#[derive(Default)]
pub(super) struct AllRan {
    pub(super) skipped: Vec<Skipped>,
    /// What failed beside another file and passed by itself: on a machine with more time, most often. A fault all the same,
    /// of the test or of what it tests, to be looked for.
    pub(super) unsteady: Vec<String>,
}

/// Runs them, and `checks` beside them; whoever has done that takes part. What a file prints is shown when it has ended. One
/// that fails is run once more when the others have ended.
pub(super) fn run(
    files: Vec<TestFile>,
    checks: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<AllRan> {
    let waiting = Mutex::new(files);
    let skipped = Mutex::new(Vec::new());
    let failed = Mutex::new(Vec::new());
    // A function, so that the list is not locked while a file runs.
    let next = || lock(&waiting).pop();
    let work = || {
        while let Some(file) = next() {
            let ran = file.run();
            lock(&skipped).extend(ran.skipped);
            if let Some(failure) = ran.failure {
                lock(&failed).push((file, failure));
            }
        }
    };
    let checked = thread::scope(|scope| {
        let checks = scope.spawn(|| {
            let checked = checks();
            work();
            checked
        });
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
        checks.join()
    });
    let mut all = AllRan {
        skipped: mem::take(&mut lock(&skipped)),
        ..AllRan::default()
    };
    let mut failures = Vec::new();
    for (file, failure) in lock(&failed).drain(..) {
        println!("\n{failure}; once more by itself");
        match file.run().failure {
            Some(again) => failures.push(again),
            None => all.unsteady.push(failure),
        }
    }
    if let Err(error) = checked.unwrap_or_else(|panic| resume_unwind(panic)) {
        failures.push(format!("{error:#}"));
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(all)
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds every test of the workspace but those in the documentation, and the binaries they run, all in one go: a part of
/// the workspace would be built with other features of its dependencies, once more.
pub(super) fn build() -> anyhow::Result<Vec<TestFile>> {
    let arguments = ["test", "--workspace", "--no-run", "--message-format=json"];
    let built = cargo(&arguments).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "the tests cannot be built");
    let mut files: Vec<TestFile> = String::from_utf8(built.stdout)?
        .lines()
        .filter_map(|line| TestFile::from_message(&serde_json::from_str(line).ok()?))
        .collect();
    ensure!(!files.is_empty(), "cargo names no tests");
    // The last go first. Those in files of their own take longest: begun late, one would run alone in the end.
    files.sort_by_key(|file| file.is_of_its_own);
    Ok(files)
}

impl TestFile {
    /// The one that a message of cargo tells of, if it does.
    fn from_message(message: &Value) -> Option<Self> {
        let executable = message["executable"].as_str()?;
        let manifest = Path::new(message["manifest_path"].as_str()?);
        (message["profile"]["test"] == true).then_some(Self {
            executable: executable.into(),
            directory: manifest.parent()?.to_owned(),
            is_of_its_own: message["target"]["kind"][0] == "test",
        })
    }

    fn run(&self) -> Ran {
        self.try_run().unwrap_or_else(|error| Ran {
            skipped: Vec::new(),
            failure: Some(format!("{error:#}")),
        })
    }

    fn try_run(&self) -> anyhow::Result<Ran> {
        let begun = Instant::now();
        let process::Output { status, stdout, .. } = Command::new("sh")
            // One stream, in its order.
            .args(["-c", "exec \"$0\" --show-output 2>&1"])
            .arg(&self.executable)
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.executable.display()))?;
        let name = self.executable.file_name().unwrap_or_default().display();
        let output = Output::parse(&String::from_utf8_lossy(&stdout));
        println!(
            "\n{name} ({:.0} s){}",
            begun.elapsed().as_secs_f64(),
            output.shown
        );
        Ok(Ran {
            skipped: output.skipped,
            failure: (!status.success()).then(|| format!("the tests in {name} failed: {status}")),
        })
    }
}
