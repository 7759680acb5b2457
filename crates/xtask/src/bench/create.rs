//! `create` beside `kubectl exec … pg_dump > file`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::measure::{Usage, measure, median};
use super::table::{Column, Row};
use crate::cluster::PracticeCluster;
use crate::process::target_directory;

/// What the comparison is about, for the report.
pub(super) const TITLE: &str = "\
## A backup

`kubectl wa-backup create` beside IBM's `kubectl exec … pg_dump -Fc > file`, each with its own default: gzip level 6 for
pg_dump, which sets the pace there, and 1 for create. Ours hashes the dump, compares it with the pod's own hash,
decompresses and reads every data block of it, and syncs it to disk; with `--no-verify` it does not read the blocks; kubectl
does none of that. Reading every block costs the client what inflating a dump costs. With `-Z 0` on both sides pg_dump
itself takes so little that hashing in the pod shows.
";

/// One way of taking the dump, by kubectl and by the plugin.
pub(super) struct Case {
    pub(super) name: &'static str,
    compress: Option<&'static str>,
}

impl Case {
    /// What `create` takes, whose set is removed again.
    pub(super) fn create(
        &self,
        cluster: &PracticeCluster,
        binaries: &Path,
        directory: &Path,
        verify: bool,
    ) -> anyhow::Result<Usage> {
        let sets = directory.join("sets");
        let mut backup = Command::new(binaries.join("kubectl-wa-backup"));
        backup
            .env("KUBECONFIG", cluster.kubeconfig())
            .arg("create")
            .arg("--to")
            .arg(&sets)
            .args(self.compress.map(|level| format!("--compress={level}")))
            .args((!verify).then_some("--no-verify"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let usage = measure(&mut backup)?;
        fs::remove_dir_all(&sets)?;
        Ok(usage)
    }
}

pub(super) const CASES: [Case; 2] = [
    Case {
        name: "defaults (gzip)",
        compress: None,
    },
    Case {
        name: "-Z 0 on both sides",
        compress: Some("0"),
    },
];

/// Both ways of taking a dump, in turns.
pub(super) fn compare(
    cluster: &PracticeCluster,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Vec<Row>> {
    let store = Store::find(cluster)?;
    CASES
        .iter()
        .map(|case| compare_case(case, cluster, &store, binaries, runs))
        .collect()
}

/// Where IBM's procedure finds the database, and how it connects.
pub(super) struct Store {
    pub(super) pod: String,
    pub(super) environment: Vec<String>,
}

impl Store {
    pub(super) fn find(cluster: &PracticeCluster) -> anyhow::Result<Self> {
        let check = cluster
            .command("kubectl")
            .args(["wa-backup", "create", "--dry-run", "-o", "json"])
            .output()?;
        ensure!(
            check.status.success(),
            "the practice cluster is not usable: {}",
            String::from_utf8_lossy(&check.stderr)
        );
        let pod = cluster.kubectl(&[
            "get",
            "pods",
            "-l",
            "role=primary",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])?;
        let secret = cluster.kubectl(&[
            "get",
            "secret",
            "wa-store-datastore-connection-strings",
            "-o",
            "go-template={{.data.store_vcap_services | base64decode}}",
        ])?;
        let services: serde_json::Value =
            serde_json::from_str(&secret).context("the store secret is not JSON")?;
        let credentials = services["user-provided"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|service| service["name"] == "pgservice")
            .map(|service| &service["credentials"])
            .context("the store secret has no pgservice")?;
        let text = |field: &str| match &credentials[field] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(Self {
            pod,
            environment: vec![
                format!("PGHOST={}", text("host")),
                format!("PGPORT={}", text("port")),
                format!("PGDATABASE={}", text("database")),
                format!("PGUSER={}", text("username")),
                format!("PGPASSWORD={}", text("password")),
            ],
        })
    }
}

fn compare_case(
    case: &Case,
    cluster: &PracticeCluster,
    store: &Store,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Row> {
    let directory = tempfile::tempdir_in(target_directory())?;
    let dump = directory.path().join("kubectl.dump");
    let mut kubectl = Vec::new();
    let mut ours = Vec::new();
    let mut unverified = Vec::new();
    let mut dump_bytes = 0;
    // Turn and turn about: what else the machine does meets both.
    for run in 1..=runs {
        println!("{}: run {run} of {runs}", case.name);
        let mut baseline = cluster.command("kubectl");
        baseline
            .args(["exec", &store.pod, "--container=postgres", "--", "env"])
            .args(&store.environment)
            .args(["pg_dump", "-Fc"])
            .args(case.compress.map(|level| format!("-Z{level}")))
            .stdout(File::create(&dump)?);
        kubectl.push(measure(&mut baseline)?);
        dump_bytes = fs::metadata(&dump)?.len();
        fs::remove_file(&dump)?;

        for (verify, usage) in [(true, &mut ours), (false, &mut unverified)] {
            usage.push(case.create(cluster, binaries, directory.path(), verify)?);
        }
    }
    Ok(Row {
        what: case.name.to_owned(),
        bytes: dump_bytes,
        columns: vec![
            Column::new("kubectl exec", median(&kubectl)),
            Column::new("create", median(&ours)),
            Column::new("create --no-verify", median(&unverified)),
        ],
    })
}
