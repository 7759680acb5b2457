//! Builds the plugins so that any run gives the same bytes, and they start with an old glibc.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::tools::Tools;
use super::{PLUGINS, Release, Target};
use crate::process::{self, target_directory, workspace};

/// When the commit was made that is checked out: as old are the files of a release.
pub(super) fn source_date_epoch() -> anyhow::Result<u64> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return epoch.parse().context("SOURCE_DATE_EPOCH is no number");
    }
    let output = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(workspace())
        .output()
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "no commit is checked out here: set SOURCE_DATE_EPOCH to the time of the release in seconds since 1970"
    );
    let epoch = String::from_utf8_lossy(&output.stdout);
    epoch.trim().parse().context("git printed no time")
}

/// Builds all plugins; the directory that they are in then.
pub(super) fn build(tools: &Tools, target: &Target, release: &Release) -> anyhow::Result<PathBuf> {
    println!("building for {}", target.name);
    let mut cargo = tools.cargo();
    // cargo-auditable wraps the compiler, and has the list of dependencies linked into each binary.
    cargo
        .args(["auditable", "zigbuild", "--release", "--locked"])
        .args(["--target", &target.zig_name()])
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .env("RUSTFLAGS", remap_paths()?);
    for plugin in PLUGINS {
        cargo.args(["--package", plugin]);
    }
    process::run(&mut cargo)?;
    Ok(target_directory().join(target.name).join("release"))
}

/// Directories of this machine stand in panics: each is given a name that is the same everywhere.
fn remap_paths() -> anyhow::Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("this user has no home directory, and CARGO_HOME is not set")?;
    Ok(format!(
        "--remap-path-prefix={}=/cargo --remap-path-prefix={}=/build",
        home.display(),
        workspace().display()
    ))
}
