//! `demo`: a backup from the first look to the last, and a dump from the CronJob's volume, on the practice cluster.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;

use crate::cluster::PracticeCluster;
use crate::process::{self, workspace};

pub(crate) fn run() -> anyhow::Result<()> {
    let cluster = PracticeCluster::build_and_start("demo")?;
    show(&cluster, &["get", "watsonassistants,pods"])?;
    show(&cluster, &["wa-backup", "check"])?;
    show(&cluster, &["wa-backup", "create"])?;
    let backup = newest_backup(&cluster)?;
    show(&cluster, &["wa-backup", "verify", &backup])?;
    show(&cluster, &["wa-backup", "inspect", &backup])?;
    show(&cluster, &["wa-pvc", "info"])?;
    show(&cluster, &["wa-pvc", "list"])?;
    show(&cluster, &["wa-pvc", "pull", "--latest"])?;
    show(&cluster, &["wa-backup", "list"])?;

    println!("\nStopping the practice cluster.");
    drop(cluster);
    println!(
        "The backup is real, and stays: {}",
        workspace().join(backup.trim_start_matches("./")).display()
    );
    Ok(())
}

/// Shows a kubectl command line, then what it prints.
fn show(cluster: &PracticeCluster, arguments: &[&str]) -> anyhow::Result<()> {
    println!("\n$ kubectl {}", arguments.join(" "));
    std::io::stdout().flush()?;
    process::run(
        cluster
            .command("kubectl")
            .args(arguments)
            .current_dir(workspace())
            .stdin(Stdio::null()),
    )
}

fn newest_backup(cluster: &PracticeCluster) -> anyhow::Result<String> {
    let output = cluster
        .command("kubectl")
        .args(["wa-backup", "list", "-o", "jsonpath={.backups[0].path}"])
        .current_dir(workspace())
        .output()?;
    let path = String::from_utf8(output.stdout).context("the backup's path is not UTF-8")?;
    Ok(PathBuf::from(path.trim()).display().to_string())
}
