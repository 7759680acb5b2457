//! The end-to-end tests, two files at a time: a file has its own practice cluster, for which its tests take turns and
//! mostly wait. cargo runs one file after the other.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::process::{cargo, workspace};

/// The package that they are.
pub(super) const PACKAGE: &str = "end-to-end";
const AT_A_TIME: usize = 2;

/// Builds and runs them. What a file prints is shown when it has ended.
pub(super) fn run() -> anyhow::Result<()> {
    let waiting = Mutex::new(executables()?);
    let failed = Mutex::new(Vec::new());
    // A function, so that the list is not locked while a file runs.
    let next = || lock(&waiting).pop();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(executable) = next() {
                    if let Err(error) = run_file(&executable) {
                        lock(&failed).push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    let failed = lock(&failed);
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn lock<T>(list: &Mutex<Vec<T>>) -> std::sync::MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tests' executables, as cargo names them.
fn executables() -> anyhow::Result<Vec<PathBuf>> {
    let arguments = [
        "test",
        "--package",
        PACKAGE,
        "--no-run",
        "--message-format=json",
    ];
    let built = cargo(&arguments).stderr(Stdio::inherit()).output()?;
    ensure!(
        built.status.success(),
        "the end-to-end tests cannot be built"
    );
    let executables = String::from_utf8(built.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect::<Vec<_>>();
    ensure!(!executables.is_empty(), "cargo names no end-to-end tests");
    Ok(executables)
}

fn run_file(executable: &Path) -> anyhow::Result<()> {
    let directory = workspace().join("tests");
    let Output { status, stdout, .. } = Command::new("sh")
        // One stream, in its order.
        .args(["-c", "exec \"$0\" 2>&1"])
        .arg(executable)
        .env("CARGO_MANIFEST_DIR", &directory)
        .current_dir(&directory)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", executable.display()))?;
    let name = executable.file_name().unwrap_or_default().display();
    println!("\n{name}{}", String::from_utf8_lossy(&stdout));
    if !status.success() {
        bail!("the end-to-end tests in {name} failed: {status}");
    }
    Ok(())
}
