//! How long a list of very many sets in a bucket takes.
//!
//! The bucket is in the memory of a server of our own, which answers late on purpose: s3s-fs, which the other measurements use,
//! goes through all of its files for every 1000 names, and would be what is measured.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::measure::{Usage, measure};
use super::object_storage::{ACCESS_KEY, Running, SECRET_KEY, lead_to};
use crate::process::{self, cargo, target_directory};

/// How many sets are listed.
const SETS: usize = 10_000;
/// How long a request takes at least: what stores in the same region need for a small object.
const PAUSE_MS: u64 = 15;
/// The server, an example of the crate `object-sets`.
const SERVER: &str = "many-sets";

/// The list of a bucket with many sets.
pub(super) struct Listed(Usage);

impl Listed {
    pub(super) fn in_words(&self) -> String {
        let Self(usage) = self;
        format!(
            "`kubectl wa-backup list` of {SETS} sets in a bucket took {:.1} s and {} MiB, {:.1} s of CPU time of its own among it. The \
             bucket is in the memory of a server on the same machine, which answers each request after {PAUSE_MS} ms.",
            usage.elapsed.as_secs_f64(),
            usage.peak_bytes >> 20,
            usage.cpu.as_secs_f64(),
        )
    }
}

/// Lists sets that all have this manifest.
pub(super) fn list(binaries: &Path, manifest: &Path) -> anyhow::Result<Listed> {
    println!("off-site: a list of {SETS} sets");
    let (_running, address) = start(manifest)?;
    let mut list = Command::new(binaries.join("kubectl-wa-backup"));
    list.args(["list", "s3://any/many"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    lead_to(&mut list, address);
    Ok(Listed(measure(&mut list)?))
}

/// The server, and its address.
fn start(manifest: &Path) -> anyhow::Result<(Running, SocketAddr)> {
    process::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "object-sets",
        "--example",
        SERVER,
    ]))?;
    let mut child = Command::new(target_directory().join("release/examples").join(SERVER))
        .arg(manifest)
        .args([&SETS.to_string(), &PAUSE_MS.to_string()])
        .args([ACCESS_KEY, SECRET_KEY])
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {SERVER}"))?;
    let output = child.stdout.take();
    let running = Running(child);
    let mut line = String::new();
    BufReader::new(output.context("it has no output")?).read_line(&mut line)?;
    let address = line.trim().parse();
    Ok((
        running,
        address.with_context(|| format!("{SERVER} does not tell its address"))?,
    ))
}
