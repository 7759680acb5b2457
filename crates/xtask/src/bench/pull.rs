//! `pull` beside `kubectl cp`, on loopback and over a long link.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::long_link::LongLink;
use super::measure::{Usage, measure, median};
use super::table::{Column, Row};
use crate::cluster::PracticeCluster;
use crate::process::target_directory;

/// A pod that keeps the backup volume mounted, so that both sides read through the same one.
const READER: &str = "reader";
const MOUNT: &str = "/store-backups";

/// What the comparison is about, for the report.
pub(super) fn title() -> String {
    format!(
        "\
## A dump from the volume

`kubectl wa-pvc pull` beside `kubectl cp`, through the same running pod. Ours reads over several streams, compares the whole
file's SHA-256 with the pod's, reads every data block of the dump and syncs it; with `--no-verify` it does not read the
blocks; kubectl does none of that, and does not sync. The long link is a proxy in user space, measured once: {}.
",
        LongLink::describe()
    )
}

/// Fetches the newest dump both ways, in turns, directly and over a long link.
pub(super) fn compare(
    cluster: &PracticeCluster,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Vec<Row>> {
    let dump = Dump::take(cluster)?;
    let link = LongLink::to(server(cluster)?)?;
    let far = format!("https://{}", link.address());
    Ok(vec![
        dump.fetch("loopback", None, cluster, binaries, runs)?,
        // Once: here the link sets the time, and nothing else the machine does.
        dump.fetch("long link", Some(&far), cluster, binaries, 1)?,
    ])
}

/// A dump on the backup volume.
pub(super) struct Dump {
    name: String,
    pub(super) bytes: u64,
}

impl Dump {
    /// Has the CronJob take one now: the database's size, compressed, so that nothing on the way can compress it again.
    pub(super) fn take(cluster: &PracticeCluster) -> anyhow::Result<Self> {
        println!("taking a dump with the CronJob, and starting a pod that reads it");
        cluster.kubectl(&["create", "job", "bench", "--from=cronjob/wa-store-cronjob"])?;
        cluster.kubectl(&[
            "wait",
            "job/bench",
            "--for=condition=Complete",
            "--timeout=30m",
        ])?;
        start_reader(cluster)?;
        let newest = "cd /store-backups && stat -c '%s %n' \"$(ls -t store.dump_* | head -n 1)\"";
        let told = cluster.kubectl(&["exec", READER, "--", "sh", "-c", newest])?;
        let (bytes, name) = told.trim().split_once(' ').context("there is no dump")?;
        Ok(Self {
            name: name.to_owned(),
            bytes: bytes.parse()?,
        })
    }

    fn fetch(
        &self,
        what: &str,
        server: Option<&str>,
        cluster: &PracticeCluster,
        binaries: &Path,
        runs: usize,
    ) -> anyhow::Result<Row> {
        let directory = tempfile::tempdir_in(target_directory())?;
        let server = server.map(|server| format!("--server={server}"));
        let mut copies = Vec::new();
        let mut pulls = Vec::new();
        let mut unverified = Vec::new();
        for run in 1..=runs {
            println!("pull, {what}: run {run} of {runs}");
            copies.push(self.copy(cluster, server.as_deref(), directory.path())?);
            let (server, directory) = (server.as_deref(), directory.path());
            for (verify, usage) in [(true, &mut pulls), (false, &mut unverified)] {
                usage.push(self.pull(cluster, server, binaries, directory, verify)?);
            }
        }
        Ok(Row {
            what: what.to_owned(),
            bytes: self.bytes,
            columns: vec![
                Column::new("kubectl cp", median(&copies)),
                Column::new("pull", median(&pulls)),
                Column::new("pull --no-verify", median(&unverified)),
            ],
        })
    }

    /// What `pull` takes, whose set is removed again.
    pub(super) fn pull(
        &self,
        cluster: &PracticeCluster,
        server: Option<&str>,
        binaries: &Path,
        directory: &Path,
        verify: bool,
    ) -> anyhow::Result<Usage> {
        let sets = directory.join("sets");
        let mut pull = Command::new(binaries.join("kubectl-wa-pvc"));
        pull.env("KUBECONFIG", cluster.kubeconfig())
            .args(["pull", &self.name, "--via=pod", "--to"])
            .arg(&sets)
            .args(server)
            .args((!verify).then_some("--no-verify"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let usage = measure(&mut pull)?;
        fs::remove_dir_all(&sets)?;
        Ok(usage)
    }

    fn copy(
        &self,
        cluster: &PracticeCluster,
        server: Option<&str>,
        directory: &Path,
    ) -> anyhow::Result<Usage> {
        let file = directory.join("copy");
        let mut copy = cluster.command("kubectl");
        copy.args(["cp", &format!("{READER}:{MOUNT}/{}", self.name)])
            .arg(&file)
            .args(server)
            .stdout(Stdio::null());
        let usage = measure(&mut copy)?;
        let copied = fs::metadata(&file)?.len();
        ensure!(
            copied == self.bytes,
            "kubectl cp copied {copied} of {} bytes",
            self.bytes
        );
        fs::remove_file(&file)?;
        Ok(usage)
    }
}

/// The CronJob's container, asleep.
fn start_reader(cluster: &PracticeCluster) -> anyhow::Result<()> {
    let cron_job = cluster.kubectl(&["get", "cronjob/wa-store-cronjob", "-o", "json"])?;
    let cron_job: serde_json::Value = serde_json::from_str(&cron_job)?;
    let mut spec = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    spec["containers"][0]["command"] = serde_json::json!(["sleep", "infinity"]);
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": READER }, "spec": spec,
    });
    let mut apply = cluster
        .command("kubectl")
        .args(["create", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    apply
        .stdin
        .take()
        .context("kubectl has no input")?
        .write_all(pod.to_string().as_bytes())?;
    ensure!(apply.wait()?.success(), "the reading pod was not made");
    cluster
        .kubectl(&["wait", "pod", READER, "--for=condition=Ready"])
        .map(drop)
}

/// Where the API server listens.
pub(super) fn server(cluster: &PracticeCluster) -> anyhow::Result<SocketAddr> {
    let url = cluster.kubectl(&[
        "config",
        "view",
        "--minify",
        "-o",
        "jsonpath={.clusters[0].cluster.server}",
    ])?;
    let address = url.trim().trim_start_matches("https://");
    address
        .parse()
        .with_context(|| format!("{url} is no address"))
}
