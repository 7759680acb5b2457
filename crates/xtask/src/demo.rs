//! `demo`: a backup from the first look to the last and a dump from the CronJob's volume, on the practice cluster; then a
//! restore onto another one, killed in the middle and gone on with, and a retraining there.

mod restore;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;

use crate::cluster::PracticeCluster;
use crate::process::{self, target_directory, workspace};

/// The second cluster: other service instances, an operator that does not take minutes, and models that train fast.
const TARGET: [&str; 6] = [
    "--instances=target",
    "--operator-period=2000",
    "--retrain-speed=600",
    "--pod-start=500",
    "--store-replicas=3",
    "--operator-replicas=2",
];

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
    show(&cluster, &["wa-restore", "rehearse", &backup])?;
    drop(cluster);

    println!("\nStarting another practice cluster, to restore that backup onto.");
    let cluster = PracticeCluster::start(&target_directory().join("debug"), "demo", &TARGET)?;
    restore::run(&cluster, &backup)?;
    show(&cluster, &["wa-retrain", "estimate"])?;
    let retrain = [
        "wa-retrain",
        "run",
        "--replicas=5",
        "--in=30s",
        "--force",
        "--interval=1s",
        "--yes",
    ];
    show(&cluster, &retrain)?;

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
    announce(arguments)?;
    process::run(
        cluster
            .command("kubectl")
            .args(arguments)
            .current_dir(workspace())
            .stdin(Stdio::null()),
    )
}

fn announce(arguments: &[&str]) -> anyhow::Result<()> {
    println!("\n$ kubectl {}", arguments.join(" "));
    std::io::stdout().flush().context("cannot print")
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
