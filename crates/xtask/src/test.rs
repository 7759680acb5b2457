//! `test`: everything that must hold before a change is taken.

use crate::process::{self, cargo};
use crate::setup;

pub(crate) fn run() -> anyhow::Result<()> {
    setup::run()?;
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    process::run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    process::run(&mut cargo(&["test", "--workspace"]))
}
