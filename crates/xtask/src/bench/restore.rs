//! `wa-restore run` beside IBM's procedure typed in no time: bringing the dump into the pod over a long link, and how long
//! production is down.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::long_link::LongLink;
use super::measure::measure;
use super::pull;
use crate::cluster::PracticeCluster;
use crate::process::target_directory;

const OPERATOR: [&str; 3] = [
    "deployment/ibm-watson-assistant-operator",
    "-n",
    "cpd-operators",
];
const STORE: &str = "deployment/wa-store";
const BY_HAND: &str = "/controller/tmp/by-hand";

/// What was measured, in seconds.
pub(super) struct Comparison {
    bytes: u64,
    copied: Duration,
    staged: f64,
    down_by_hand: Duration,
    down: f64,
}

/// A backup, and what pgmig is given with it.
struct Restore<'a> {
    cluster: &'a PracticeCluster,
    binaries: &'a Path,
    directory: tempfile::TempDir,
    pod: String,
}

/// Restores three times: over a long link, by hand, and by the plugin.
pub(super) fn compare(cluster: &PracticeCluster, binaries: &Path) -> anyhow::Result<Comparison> {
    let restore = Restore::prepare(cluster, binaries)?;
    let link = LongLink::to(pull::server(cluster)?)?;
    let far = format!("--server=https://{}", link.address());
    println!("restore: staging over a long link");
    let copied = restore.copy(&["store.dump"], Some(&far))?;
    let (staged, _) = restore.run(Some(&far))?;
    println!("restore: by hand");
    let down_by_hand = restore.by_hand()?;
    println!("restore: by the plugin");
    let (_, down) = restore.run(None)?;
    Ok(Comparison {
        bytes: restore.dump()?.metadata()?.len(),
        copied,
        staged,
        down_by_hand,
        down,
    })
}

impl Comparison {
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "## A restore\n\n\
             `kubectl wa-restore run` beside IBM's procedure, typed in no time: its commands one after the other, each as soon as the one \
             before has ended. Staging brings the dump into a PostgreSQL pod, over the long link of above ({}), beside `kubectl cp`; ours \
             compares its SHA-256 there. Production is down from the scaling of the store to 0 until the store is ready again; ours copies \
             the database inside its server meanwhile, restarts Redis, and compares what was restored with the dump. One run each.\n\n\
             | what | by hand | wa-restore | ratio |\n|---|---|---|---|\n",
            LongLink::describe()
        );
        let mut row = |what: &str, by_hand: f64, ours: f64| {
            let _ = writeln!(
                text,
                "| {what} | {by_hand:.1} s | {ours:.1} s | {:.2} |",
                ours / by_hand
            );
        };
        let mib = self.bytes >> 20;
        row(
            &format!("staging {mib} MiB, long link"),
            self.copied.as_secs_f64(),
            self.staged,
        );
        row(
            &format!("production down, {mib} MiB, loopback"),
            self.down_by_hand.as_secs_f64(),
            self.down,
        );
        text
    }
}

impl<'a> Restore<'a> {
    fn prepare(cluster: &'a PracticeCluster, binaries: &'a Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(target_directory())?;
        let restore = Self {
            cluster,
            binaries,
            directory,
            pod: cluster.kubectl(&[
                "get",
                "pods",
                "-l",
                "role=replica",
                "-o",
                "jsonpath={.items[0].metadata.name}",
            ])?,
        };
        restore.plugin(
            "kubectl-wa-backup",
            &["create", "--no-verify", "--to", "sets"],
        )?;
        restore.plugin("kubectl-wa-restore", &["config", "--to", "conf"])?;
        restore.plugin(
            "kubectl-wa-restore",
            &["mapping", "sets/latest", "--to", "conf/mapping.yaml"],
        )?;
        Ok(restore)
    }

    fn plugin(&self, name: &str, arguments: &[&str]) -> anyhow::Result<(Value, String)> {
        let output = Command::new(self.binaries.join(name))
            .args(arguments)
            .args(["-o", "json"])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{name} {}: {said}",
            arguments.join(" ")
        );
        Ok((
            serde_json::from_slice(&output.stdout).unwrap_or_default(),
            said,
        ))
    }

    fn dump(&self) -> anyhow::Result<PathBuf> {
        let sets = self.directory.path().join("sets");
        let mut sets = std::fs::read_dir(sets)?;
        let set = sets.next().context("there is no backup")??;
        Ok(set.path().join("store.dump"))
    }

    /// Seconds of the step that stages, and for which production was down.
    fn run(&self, server: Option<&str>) -> anyhow::Result<(f64, f64)> {
        let pgmig = self.binaries.join("pgmig").display().to_string();
        let mut arguments = vec![
            "run",
            "sets/latest",
            "--mapping=conf/mapping.yaml",
            "--pgmig",
            &pgmig,
            "--yes=wa",
            "--no-safety-backup",
        ];
        arguments.extend(server);
        let (report, events) = self.plugin("kubectl-wa-restore", &arguments)?;
        let steps: Vec<(String, f64)> = events
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["event"] == "stepFinished")
            .filter_map(|event| {
                Some((
                    event["step"].as_str()?.to_owned(),
                    event["durationSeconds"].as_f64()?,
                ))
            })
            .collect();
        for (step, took) in &steps {
            println!("  {step}: {took:.1} s");
        }
        let staged = steps.iter().find(|(step, _)| step == "stage");
        let (_, staged) = staged.context("no step staged anything")?;
        let down = report["productionDownSeconds"].as_f64();
        Ok((
            *staged,
            down.context("the report does not say how long production was down")?,
        ))
    }

    /// `kubectl cp` of files of the set or of pgmig's into the pod, and how long that takes.
    fn copy(&self, files: &[&str], server: Option<&str>) -> anyhow::Result<Duration> {
        self.in_pod(&format!("mkdir -p {BY_HAND}"))?;
        let mut took = Duration::ZERO;
        for file in files {
            let from = match *file {
                "store.dump" => self.dump()?,
                "pgmig" => self.binaries.join("pgmig"),
                other => self.directory.path().join("conf").join(other),
            };
            let mut copy = self.cluster.command("kubectl");
            copy.arg("cp")
                .arg(from)
                .arg(format!("{}:{BY_HAND}/{file}", self.pod))
                .args(["-c", "postgres"])
                .args(server)
                .stdout(Stdio::null());
            took += measure(&mut copy)?.elapsed;
        }
        Ok(took)
    }

    /// Waits until no pod is left of a Deployment that was scaled to 0.
    fn pods_gone(&self, deployment: &[&str]) -> anyhow::Result<()> {
        let labels =
            "{{range $name, $value := .spec.selector.matchLabels}}{{$name}}={{$value}},{{end}}";
        let output = format!("go-template={labels}");
        let selector = self
            .cluster
            .kubectl(&[&["get", "-o", &output], deployment].concat())?;
        let selector = selector.trim_end_matches(',');
        let wait = [
            "wait",
            "pods",
            "--for=delete",
            "--timeout=5m",
            "-l",
            selector,
        ];
        // What follows the Deployment's name is its namespace.
        self.cluster.kubectl(&[&wait, &deployment[1..]].concat())?;
        Ok(())
    }

    fn in_pod(&self, script: &str) -> anyhow::Result<String> {
        let pod = self.pod.as_str();
        self.cluster
            .kubectl(&["exec", pod, "-c", "postgres", "--", "sh", "-c", script])
    }

    /// IBM's steps 8 to 10, everything copied beforehand; how long production is down.
    fn by_hand(&self) -> anyhow::Result<Duration> {
        let files = [
            "store.dump",
            "pgmig",
            "postgres.yaml",
            "resourceController.yaml",
            "ca.crt",
            "mapping.yaml",
        ];
        self.copy(&files, None)?;
        let scale = |deployment: &[&str], replicas: &str| {
            let replicas = format!("--replicas={replicas}");
            let arguments = [&["scale"], deployment, &[&replicas]].concat();
            self.cluster.kubectl(&arguments)
        };
        let ready = |deployment: &[&str]| {
            let arguments = [&["rollout", "status", "--timeout=10m"], deployment].concat();
            self.cluster.kubectl(&arguments)
        };
        // A rollout to 0 is over before the pods have gone, and an operator that is ending raises what is at 0.
        scale(&OPERATOR, "0")?;
        self.pods_gone(&OPERATOR)?;
        let down = Instant::now();
        scale(&[STORE], "0")?;
        self.pods_gone(&[STORE])?;
        println!("  store gone: after {:.1} s", down.elapsed().as_secs_f64());
        self.in_pod(&format!(
            "cd {BY_HAND} && chmod +x pgmig && PG_CA_FILE={BY_HAND}/ca.crt ENABLE_ICP=true ./pgmig --force --source store.dump \
             --target postgres.yaml --resourceController resourceController.yaml --mapping mapping.yaml"
        ))?;
        println!("  pgmig: until {:.1} s", down.elapsed().as_secs_f64());
        scale(&[STORE], "2")?;
        scale(&OPERATOR, "1")?;
        ready(&[STORE])?;
        let down = down.elapsed();
        ready(&OPERATOR)?;
        self.in_pod(&format!("rm -rf {BY_HAND}"))?;
        Ok(down)
    }
}
