//! `estimate` with a million workspaces in etcd, beside IBM's way of counting them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::measure::{Usage, measure, median};
use crate::cluster::PracticeCluster;

const POD: &str = "wa-etcd-0";
const WORKSPACES: u64 = 1_000_000;
const PREFIX: &str = "/bluegoat/voyager-nlu/voyager-nlu-slot-wa/workspaces/";
/// Keys put at once: as many as the practice cluster's etcd takes, in less than it takes of bytes.
const AT_ONCE: u64 = 5_000;
/// A command of `estimate` that sends more is cut.
const SENT_BYTES: u64 = 10_000;

/// What etcdctl needs to be let in.
const CLIENT: &str = r#"
tls=/etc/etcdtls/operator/etcd-tls
export ETCDCTL_API=3 ETCDCTL_USER="root:$(cat /var/run/credentials/pass.key)" ETCDCTL_COMMAND_TIMEOUT=600s
export ETCDCTL_CERT=$tls/etcd-client.crt ETCDCTL_KEY=$tls/etcd-client.key ETCDCTL_CACERT=$tls/etcd-client-ca.crt
export ETCDCTL_ENDPOINTS="https://$CLUSTER_NAME:2379"
"#;

/// What both ways took.
pub(super) struct Comparison {
    listed: Usage,
    listed_bytes: u64,
    counted: Usage,
}

/// Counts both ways, in turns.
pub(super) fn compare(
    cluster: &PracticeCluster,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Comparison> {
    fill(cluster)?;
    let estimate = || {
        let mut command = Command::new(binaries.join("kubectl-wa-retrain"));
        command
            .env("KUBECONFIG", cluster.kubeconfig())
            .arg("estimate");
        command
    };
    expect_little_sent(cluster, estimate())?;
    let list = format!("{CLIENT}\netcdctl get --prefix {PREFIX} --keys-only");
    let exec = ["exec", POD, "-c", "etcd", "--", "bash", "-ec", &list];
    let listed_bytes = cluster.kubectl(&exec)?.len().try_into()?;
    let (mut listed, mut counted) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        println!("estimate: run {run} of {runs}");
        let mut kubectl = cluster.command("kubectl");
        listed.push(measure(kubectl.args(exec).stdout(Stdio::null()))?);
        counted.push(measure(estimate().stdout(Stdio::null()))?);
    }
    Ok(Comparison {
        listed: median(&listed),
        listed_bytes,
        counted: median(&counted),
    })
}

/// Puts workspaces until there are a million.
fn fill(cluster: &PracticeCluster) -> anyhow::Result<()> {
    println!("putting {WORKSPACES} workspaces into etcd");
    let script = format!(
        r#"{CLIENT}
        etcdctl del --prefix {PREFIX} >/dev/null
        for first in $(seq 1 {AT_ONCE} {WORKSPACES}); do
            {{
                echo
                printf 'put {PREFIX}00000000-0000-4000-8000-%012d trained\n' $(seq "$first" $((first + {AT_ONCE} - 1)))
                printf '\n\n'
            }} | etcdctl txn >/dev/null
        done"#
    );
    cluster.kubectl(&["exec", POD, "-c", "etcd", "--", "bash", "-ec", &script])?;
    Ok(())
}

/// Has `estimate` count while commands in pods are cut that send more than they should.
fn expect_little_sent(cluster: &PracticeCluster, mut estimate: Command) -> anyhow::Result<()> {
    let fault = format!(
        r#"{{"on":{{"subresource":"exec"}},"effect":{{"type":"cutAfter","bytes":{SENT_BYTES}}}}}"#
    );
    cluster.sandbox(&["fault", "add", &fault])?;
    let output = estimate.args(["-o", "json"]).output()?;
    cluster.sandbox(&["fault", "clear"])?;
    ensure!(
        output.status.success(),
        "estimate fails when it is sent no more than {SENT_BYTES} bytes: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let count = told["workspaces"]
        .as_u64()
        .context("no workspaces are reported")?;
    ensure!(count == WORKSPACES, "estimate counts {count} workspaces");
    Ok(())
}

impl Comparison {
    /// The section of the report.
    #[expect(clippy::cast_precision_loss, reason = "sizes for people")]
    pub(super) fn markdown(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let Self {
            listed, counted, ..
        } = self;
        let row = |what: &str, unit: &str, of: &dyn Fn(&Usage) -> f64| {
            let (listed, counted) = (of(listed), of(counted));
            format!(
                "| {what} | {listed:.2} {unit} | {counted:.2} {unit} | {:.2} |\n",
                counted / listed
            )
        };
        format!(
            "\
## An estimate

`kubectl wa-retrain estimate` with a million workspaces beside `kubectl exec … etcdctl get --prefix … --keys-only`, whose
lines IBM's script counts. Ours has etcd count them, and is sent one key: with the connection cut after {SENT_BYTES} bytes it
counts all the same.

| quantity | kubectl exec | estimate | ratio |
|---|---|---|---|
{}{}{}| sent by the pod | {:.2} MiB | less than {SENT_BYTES} bytes | |
",
            row("time", "s", &|usage| usage.elapsed.as_secs_f64()),
            row("client CPU", "s", &|usage| usage.cpu.as_secs_f64()),
            row("client peak memory", "MiB", &|usage| mib(usage.peak_bytes)),
            mib(self.listed_bytes)
        )
    }
}
