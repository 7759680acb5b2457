//! What cargo checks of the sources while the tests run, which wait for their practice clusters more than they work.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::process::{cargo, workspace};

const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--",
    "--deny",
    "warnings",
];
const DOC: &[&str] = &["doc", "--workspace", "--no-deps"];
const DOC_TESTS: &[&str] = &["test", "--workspace", "--doc"];

/// Lints, documentation, and the tests in it. All are run, also after one has failed.
pub(super) fn run() -> anyhow::Result<()> {
    let failures: Vec<String> = [CLIPPY, DOC, DOC_TESTS]
        .into_iter()
        .filter_map(|arguments| Some(format!("{:#}", check(arguments).err()?)))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Shows what cargo prints only where it fails: other things are shown meanwhile.
fn check(arguments: &[&str]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let words = format!("cargo {}", arguments.join(" "));
    let cargo = cargo(arguments);
    // The tests go first.
    let mut nice = Command::new("nice");
    nice.arg("-n19").arg(cargo.get_program()).args(arguments);
    nice.current_dir(workspace());
    if arguments == DOC {
        nice.env("RUSTDOCFLAGS", "--deny warnings");
    }
    let output = nice
        .output()
        .with_context(|| format!("cannot run {words}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if output.status.success() {
        println!("\n{words}: passed ({seconds:.0} s)");
        return Ok(());
    }
    println!(
        "\n{words} ({seconds:.0} s)\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    bail!("`{words}` failed: {}", output.status)
}
