//! Builds the plugins so that any run gives the same bytes, and they start with an old glibc.

use std::fs;
use std::path::{Path, PathBuf};
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
    // So that the directories are there whose names are changed.
    process::run(&mut process::cargo(&["fetch", "--quiet", "--locked"]))?;
    let renamed = Renamed::of_this_machine()?;
    let mut cargo = tools.cargo();
    cargo
        .args(["zigbuild", "--release", "--locked"])
        // cargo-auditable wraps the compiler, and has the list of dependencies linked into each binary. What cargo calls the
        // wrapper goes into the names of all symbols, and so into the order of the code: `cargo auditable` itself gives its
        // whole path, with which no two checkouts would have the same bytes.
        .env("RUSTC_WORKSPACE_WRAPPER", "cargo-auditable")
        .env("CARGO_AUDITABLE_ORIG_ARGS", AUDITABLE_ARGUMENTS)
        .args(["--target", &target.zig_name()])
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .env("RUSTFLAGS", renamed.rust_flags());
    for plugin in PLUGINS {
        cargo.args(["--package", plugin]);
    }
    process::run(&mut cargo)?;
    Ok(target_directory().join(target.name).join("release"))
}

/// Those of ours to cargo that cargo-auditable gives to `cargo metadata`, as it writes them down for its own wrapper.
const AUDITABLE_ARGUMENTS: &str = r#"{"offline":false,"locked":true,"frozen":false,"config":[]}"#;

/// Directories of this machine, whose names stand in panics: each gets one that is the same everywhere.
pub(super) struct Renamed(Vec<(PathBuf, &'static str)>);

impl Renamed {
    pub(super) fn of_this_machine() -> anyhow::Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
            .context("this user has no home directory, and CARGO_HOME is not set")?;
        Ok(Self::new(&home, workspace(), &target_directory()))
    }

    fn new(cargo_home: &Path, workspace: &Path, target: &Path) -> Self {
        // Of those that fit, the compiler takes the last.
        let mut all = vec![(cargo_home.to_owned(), "/cargo")];
        // A directory for each place that crates are fetched from, named after it.
        let sources = cargo_home.join("registry/src");
        let sources = fs::read_dir(sources).into_iter().flatten().flatten();
        all.extend(sources.map(|source| (source.path(), "/cargo/registry/src")));
        all.push((workspace.to_owned(), "/build"));
        all.push((target.to_owned(), "/build/target"));
        Self(all)
    }

    fn rust_flags(&self) -> String {
        let flags = self
            .0
            .iter()
            .map(|(directory, name)| format!("--remap-path-prefix={}={name}", directory.display()));
        flags.collect::<Vec<_>>().join(" ")
    }

    /// One of them that a binary still names: another machine's binary would differ from it.
    pub(super) fn named_in(&self, binary: &[u8]) -> Option<&Path> {
        let directories = self.0.iter().map(|(directory, _)| directory.as_path());
        directories.into_iter().find(|directory| {
            let name = directory.as_os_str().as_encoded_bytes();
            binary.windows(name.len()).any(|bytes| bytes == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that says in which file and line it panics, built in a directory of its own.
    fn built_in(directory: &Path, are_renamed: bool) -> anyhow::Result<(Vec<u8>, Renamed)> {
        let [home, workspace] = ["home", "sources"].map(|name| directory.join(name));
        let fetched = home.join("registry/src/a-mirror-0123");
        for directory in [&fetched, &workspace] {
            fs::create_dir_all(directory)?;
        }
        let library = fetched.join("library.rs");
        fs::write(&library, "pub fn fail() { panic!(\"in a library\") }")?;
        let program = workspace.join("program.rs");
        let main = "fn main() { if std::env::args().len() > 1 { panic!() } fail() }";
        fs::write(&program, format!("include!(env!(\"LIBRARY\")); {main}"))?;
        let names = Renamed::new(&home, &workspace, &directory.join("target"));
        let binary = directory.join("program");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc
            .args(["--edition=2024", "-Cstrip=symbols", "-o"])
            .arg(&binary)
            .arg(&program)
            .env("LIBRARY", &library);
        if are_renamed {
            rustc.args(names.rust_flags().split(' '));
        }
        process::run(&mut rustc)?;
        Ok((fs::read(binary)?, names))
    }

    #[test]
    fn a_program_has_the_same_bytes_wherever_its_sources_lie() -> anyhow::Result<()> {
        let [one, other] = [tempfile::tempdir()?, tempfile::tempdir()?];
        let (first, renamed) = built_in(one.path(), true)?;
        assert_eq!(renamed.named_in(&first), None);
        assert!(first == built_in(other.path(), true)?.0);
        let (plain, renamed) = built_in(one.path(), false)?;
        assert!(renamed.named_in(&plain).is_some());
        Ok(())
    }
}
