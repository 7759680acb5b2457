//! `test`: everything that must hold before a change is taken.

use crate::process::{self, cargo};
use crate::setup;

mod end_to_end;

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
    // The end-to-end tests run the plugins.
    process::run(&mut cargo(&["build", "--workspace", "--bins"]))?;
    let others = ["test", "--workspace", "--exclude", end_to_end::PACKAGE];
    process::run(&mut cargo(&others))?;
    end_to_end::run()
}
