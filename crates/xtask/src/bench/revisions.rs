//! The plugins of another revision beside those of this one: what a change has cost or gained.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::create::CASES;
use super::measure::{Usage, median};
use super::pull::Dump;
use super::table::{Column, Row};
use crate::cluster::PracticeCluster;
use crate::process::{self, cargo, target_directory, workspace};

/// Those that both revisions must have.
const PLUGINS: [&str; 2] = ["kubectl-wa-backup", "kubectl-wa-pvc"];

/// What the comparison is about, for the report.
pub(super) fn title(revision: &str) -> String {
    format!(
        "## Beside revision {revision}\n\nThe same commands of both revisions, in turns, on the practice cluster of this one.\n"
    )
}

/// Builds the plugins of `revision` and returns the directory that has them. What is built stays for the next time.
pub(super) fn build(revision: &str) -> anyhow::Result<PathBuf> {
    let home = target_directory().join("revisions");
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // Always the same directory: cargo knows by it what is built already.
    let sources = home.join("sources");
    let _ = fs::remove_dir_all(&sources);
    fs::create_dir(&sources).with_context(|| format!("cannot create {}", sources.display()))?;
    let archive = home.join("sources.tar");
    let mut export = Command::new("git");
    export
        .args(["archive", "--output"])
        .arg(&archive)
        .arg(revision)
        .current_dir(workspace());
    process::run(&mut export)?;
    let mut unpack = Command::new("tar");
    unpack
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&sources);
    process::run(&mut unpack)?;
    fs::remove_file(&archive)?;
    let target = home.join("target");
    let mut build = cargo(&["build", "--release"]);
    for plugin in PLUGINS {
        build.args(["--package", plugin]);
    }
    process::run(build.current_dir(&sources).env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release"))
}

/// `create` and `pull` of both, in turns.
pub(super) fn compare(
    cluster: &PracticeCluster,
    before: &Path,
    now: &Path,
    runs: usize,
) -> anyhow::Result<Vec<Row>> {
    let directory = tempfile::tempdir_in(target_directory())?;
    let directory = directory.path();
    let dump = Dump::take(cluster)?;
    let mut rows = Vec::new();
    for case in &CASES {
        let create = |binaries: &Path| case.create(cluster, binaries, directory, true);
        let name = format!("create, {}", case.name);
        rows.push(in_turns(&name, &dump, before, now, runs, create)?);
    }
    let pull = |binaries: &Path| dump.pull(cluster, None, binaries, directory, true);
    rows.push(in_turns("pull", &dump, before, now, runs, pull)?);
    Ok(rows)
}

fn in_turns(
    what: &str,
    dump: &Dump,
    before: &Path,
    now: &Path,
    runs: usize,
    measure: impl Fn(&Path) -> anyhow::Result<Usage>,
) -> anyhow::Result<Row> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        println!("{what}: run {run} of {runs}");
        old.push(measure(before)?);
        new.push(measure(now)?);
    }
    Ok(Row {
        what: what.to_owned(),
        bytes: dump.bytes,
        columns: vec![
            Column::new("before", median(&old)),
            Column::new("now", median(&new)),
        ],
    })
}
