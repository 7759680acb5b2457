//! Azurite, Microsoft's emulator of Azure Storage, which tests of `az://` run.
//!
//! npm fetches it, where that is installed, into `azurite` of the workspace's target directory. Nobody else needs it: where it
//! cannot come, those tests are skipped and named.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::process::{self, Interrupted, find, target_directory};

/// The last version that does without a library of telemetry, and runs on any Node.js that is in use.
const VERSION: &str = "3.33.0";
/// How the directory begins that it is unpacked into.
const UNFINISHED: &str = ".new-azurite-";

/// Brings it, where it is not here and npm is.
pub(super) fn run() -> anyhow::Result<()> {
    let home = target_directory().join("azurite");
    if is_in(&home) || find("npm").is_none() || find("node").is_none() {
        return Ok(());
    }
    println!("installing Azurite {VERSION}");
    match bring(&home) {
        Err(error) if !error.is::<Interrupted>() => {
            println!("Azurite could not be installed: {error:#}\nTests of az:// are skipped.");
            Ok(())
        }
        done => done,
    }
}

fn is_in(home: &Path) -> bool {
    let described = fs::read_to_string(home.join("node_modules/azurite/package.json"));
    described.is_ok_and(|text| text.contains(&format!("\"version\": \"{VERSION}\"")))
}

fn bring(home: &Path) -> anyhow::Result<()> {
    let target = home.parent().context("the target directory has no name")?;
    fs::create_dir_all(target)?;
    let scratch = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(target)?;
    let new = scratch.path().join("new");
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        // Nothing of it runs when it is installed.
        .args(["--ignore-scripts", "--omit=dev", "--prefix"])
        .arg(&new)
        .arg(format!("azurite@{VERSION}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    process::run(&mut npm)?;
    // In one step, in place of another version.
    if home.exists() {
        fs::rename(home, scratch.path().join("previous"))?;
    }
    fs::rename(&new, home).with_context(|| format!("cannot create {}", home.display()))
}
