//! `test`: everything that must hold before a change is taken.

use crate::process::{self, cargo};
use crate::setup;

mod files;

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
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    process::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    files::run()?;
    process::run(&mut cargo(&["test", "--workspace", "--doc"]))
}
