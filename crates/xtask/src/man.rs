//! `man`: the man pages of the plugins, a page a command, from the same description as their help.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::plugins::PLUGINS;
use crate::process::{self, cargo, target_directory};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for the pages, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

/// Builds the plugins, and has each write its own.
pub(crate) fn run(to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let packages = PLUGINS.iter().flat_map(|plugin| ["--package", plugin]);
    let arguments: Vec<&str> = ["build"].into_iter().chain(packages).collect();
    process::run(&mut cargo(&arguments))?;
    write(&target_directory().join("debug"), to)
}

/// Has each of the plugins in the directory `programs` write its own.
pub(crate) fn write(programs: &Path, to: &Path) -> anyhow::Result<()> {
    for plugin in PLUGINS {
        let program = programs.join(plugin);
        process::run(Command::new(program).args(["man", "--to"]).arg(to))?;
    }
    Ok(())
}
