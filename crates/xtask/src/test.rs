//! `test`: everything that must hold before a change is taken.

mod checks;
mod files;
mod output;

use anyhow::ensure;

use crate::process::{self, cargo};
use crate::setup;
use output::Skipped;

pub(crate) fn run() -> anyhow::Result<()> {
    setup::run()?;
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // While the tests run, nobody else needs cargo.
    let ran = files::run(files::build()?, checks::run)?;
    if !ran.unsteady.is_empty() {
        println!("\nfailed, and passed when run once more by itself:");
        for one in &ran.unsteady {
            println!("  {one}");
        }
    }
    tell(ran.skipped)
}

/// Says last what was skipped, where it is read. On continuous integration nothing may be that the set-up brings: the
/// tests would pass without testing it.
fn tell(mut skipped: Vec<Skipped>) -> anyhow::Result<()> {
    skipped.sort();
    skipped.dedup();
    if skipped.is_empty() {
        println!("\nnothing was skipped");
        return Ok(());
    }
    println!("\nskipped for want of a program:");
    for one in &skipped {
        println!("  {one}");
    }
    let amiss: Vec<_> = skipped
        .iter()
        .filter(|one| setup::is_ci() && setup::brings(&one.program))
        .map(ToString::to_string)
        .collect();
    ensure!(
        amiss.is_empty(),
        "skipped although the set-up brings it: {}",
        amiss.join("; ")
    );
    Ok(())
}
