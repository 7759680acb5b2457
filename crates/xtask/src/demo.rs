//! `demo`: a backup from the first look to the last, an encrypted one in the cluster's object storage, and a dump from the
//! CronJob's volume, on the practice cluster; then the encrypted one is carried to another cluster and restored from its
//! object storage, killed in the middle and resumed, and a retraining there.

mod restore;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
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

/// Where encrypted backups are kept, on each cluster.
const BUCKET: &str = "obc://wa-backups";
/// A key, and who encrypts to it. It is no secret: what it protects is made up.
const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";

pub(crate) fn run() -> anyhow::Result<()> {
    let cluster = PracticeCluster::build_and_start("demo")?;
    show(&cluster, &["get", "watsonassistants,pods"])?;
    show(&cluster, &["wa-backup", "check"])?;
    show(&cluster, &["wa-backup", "create"])?;
    let backup = newest_backup(&cluster)?;
    show(&cluster, &["wa-backup", "verify", &backup])?;
    show(&cluster, &["wa-backup", "inspect", &backup])?;
    let key = write_key()?;
    let create = [
        "wa-backup",
        "create",
        "--to",
        BUCKET,
        "--encrypt-to",
        RECIPIENT,
    ];
    show(&cluster, &create)?;
    let latest = format!("{BUCKET}/latest");
    show(
        &cluster,
        &["wa-backup", "verify", &latest, "--identity", &key],
    )?;
    let carried = shown(&target_directory().join("demo/carried"));
    // What an earlier demo left.
    let _ = fs::remove_dir_all(workspace().join(&carried));
    show(&cluster, &["wa-backup", "copy", &latest, &carried])?;
    show(&cluster, &["wa-pvc", "info"])?;
    show(&cluster, &["wa-pvc", "list"])?;
    show(&cluster, &["wa-pvc", "pull", "--latest"])?;
    show(&cluster, &["wa-backup", "list"])?;
    show(&cluster, &["wa-restore", "rehearse", &backup])?;
    drop(cluster);

    println!("\nStarting another practice cluster, to restore the encrypted backup onto.");
    let cluster = PracticeCluster::start(&target_directory().join("debug"), "demo", &TARGET)?;
    let carried = format!("{carried}/latest");
    show(&cluster, &["wa-backup", "copy", &carried, BUCKET])?;
    restore::run(&cluster, &latest, &key)?;
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

/// Writes the key to a file; its name, as it is typed in the workspace.
fn write_key() -> anyhow::Result<String> {
    let path = target_directory().join("demo/key.txt");
    fs::write(&path, KEY).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(shown(&path))
}

/// As it is typed in the workspace.
fn shown(path: &Path) -> String {
    path.strip_prefix(workspace())
        .unwrap_or(path)
        .display()
        .to_string()
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
