//! A restore that is killed while the database is being restored, and resumed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};

use super::{announce, show, shown};
use crate::cluster::PracticeCluster;
use crate::process::{target_directory, workspace};

/// What `run` says when pgmig is about to erase the database.
const MIDDLE: &str = "step 8 of 12";

/// Restores `backup`, which is encrypted to `key`, onto the cluster.
pub(super) fn run(cluster: &PracticeCluster, backup: &str, key: &str) -> anyhow::Result<()> {
    let mapping = map(cluster, backup, key)?;
    let pgmig = cluster.programs().join("pgmig");
    let (mapping, pgmig) = (shown(&mapping), shown(&pgmig));
    let files = [
        backup,
        "--identity",
        key,
        "--mapping",
        &mapping,
        "--pgmig",
        &pgmig,
    ];
    show(cluster, &[&["wa-restore", "check"], &files[..]].concat())?;
    let restore = [&["wa-restore", "run"], &files[..], &["--yes=wa"]].concat();
    kill_in_the_middle(cluster, &restore)?;
    // It ends with 6, as after every restore that is neither over nor rolled back.
    announce(&["wa-restore", "status"])?;
    let status = cluster
        .command("kubectl")
        .args(["wa-restore", "status"])
        .current_dir(workspace())
        .status()?;
    ensure!(
        status.code() == Some(6),
        "status of a killed restore ended with {status}"
    );
    show(cluster, &["wa-restore", "resume", "--identity", key])
}

/// Has a mapping proposed and chooses what is left to the user: a target for each instance whose name is not there.
fn map(cluster: &PracticeCluster, backup: &str, key: &str) -> anyhow::Result<PathBuf> {
    let path = target_directory().join("demo").join("mapping.yaml");
    // What an earlier demo left.
    let _ = fs::remove_file(&path);
    let to = shown(&path);
    let arguments = [
        "wa-restore",
        "mapping",
        backup,
        "--identity",
        key,
        "--to",
        &to,
    ];
    announce(&arguments)?;
    // It ends with 4 as long as instances have no target.
    cluster
        .command("kubectl")
        .args(arguments)
        .current_dir(workspace())
        .status()?;
    let proposed = fs::read_to_string(&path).context("there is no mapping")?;
    let mut free = proposed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("# not used so far: "))
        .filter_map(|line| line.split_whitespace().next());
    let chosen: Vec<String> = proposed
        .lines()
        .map(|line| {
            let source = line.trim().strip_prefix("# ");
            match source.and_then(|line| line.strip_suffix(": TARGET")) {
                Some(source) => format!("  {source}: {}", free.next().unwrap_or("TARGET")),
                None => line.to_owned(),
            }
        })
        .collect();
    fs::write(&path, chosen.join("\n") + "\n")?;
    println!(
        "\nThe targets left open are now chosen in {}.",
        shown(&path)
    );
    Ok(path)
}

/// Runs the restore until pgmig is about to begin, and ends it as a lost power supply would.
fn kill_in_the_middle(cluster: &PracticeCluster, restore: &[&str]) -> anyhow::Result<()> {
    announce(restore)?;
    let mut child = cluster
        .command(shown(&cluster.programs().join("kubectl-wa-restore")).as_str())
        .args(&restore[1..])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().context("the restore says nothing")?;
    for line in BufReader::new(said).lines() {
        let line = line?;
        eprintln!("{line}");
        if line.contains(MIDDLE) {
            child.kill()?;
            break;
        }
    }
    let ended = child.wait()?;
    ensure!(
        ended.code().is_none(),
        "the restore ended by itself: {ended}"
    );
    println!("\nKilled, with production down.");
    Ok(())
}
