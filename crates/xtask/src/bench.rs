//! `bench`: a backup against `kubectl exec … pg_dump > file`, in the same run on the same machine.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::cluster::PracticeCluster;
use crate::process::{self, cargo, target_directory, workspace};
use crate::setup;

mod measure;

use measure::{CpuClock, Usage, measure, median};

const REPORT: &str = "docs/benchmarks.md";
const GIB: f64 = 1_073_741_824.0;
/// What makes a start-up time steady.
const HELP_RUNS: usize = 50;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the dump: small, large (1 GiB), or a number of bytes
    #[arg(long, default_value = "large")]
    seed: String,
    /// How often each side is measured; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// One way of taking the dump, by kubectl and by the plugin.
struct Case {
    name: &'static str,
    compress: Option<&'static str>,
}

const CASES: [Case; 2] = [
    Case {
        name: "pg_dump -Fc (gzip)",
        compress: None,
    },
    Case {
        name: "pg_dump -Fc -Z 0",
        compress: Some("0"),
    },
];

struct Comparison {
    name: &'static str,
    dump_bytes: u64,
    kubectl: Usage,
    ours: Usage,
    /// Ours with `--no-verify`: transfer, counting and hashing only.
    unverified: Usage,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    ensure!(args.runs > 0, "--runs must be at least 1");
    process::catch_signals()?;
    process::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "wa-sandbox",
        "--package",
        "kubectl-wa-backup",
    ]))?;
    let binaries = target_directory().join("release");
    println!("starting a practice cluster and filling its database");
    let cluster = PracticeCluster::start(&binaries, "bench", &args.seed)?;
    let store = Store::find(&cluster)?;

    let clock = CpuClock::start()?;
    let comparisons = CASES
        .iter()
        .map(|case| compare(case, &cluster, &store, &binaries, args.runs))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let help = help_time(&binaries.join("kubectl-wa-backup"))?;
    let report = report(&comparisons, help, args.runs, clock.stolen()?)?;
    print!("\n{report}");
    fs::write(workspace().join(REPORT), report).with_context(|| format!("cannot write {REPORT}"))
}

/// Where IBM's procedure finds the database, and how it connects.
struct Store {
    pod: String,
    environment: Vec<String>,
}

impl Store {
    fn find(cluster: &PracticeCluster) -> anyhow::Result<Self> {
        let kubectl = |arguments: &[&str]| -> anyhow::Result<Vec<u8>> {
            let output = cluster.command("kubectl").args(arguments).output()?;
            ensure!(
                output.status.success(),
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(output.stdout)
        };
        let check = cluster
            .command("kubectl")
            .args(["wa-backup", "create", "--dry-run", "-o", "json"])
            .output()?;
        ensure!(
            check.status.success(),
            "the practice cluster is not usable: {}",
            String::from_utf8_lossy(&check.stderr)
        );
        let pod = kubectl(&[
            "get",
            "pods",
            "-l",
            "role=primary",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])?;
        let secret = kubectl(&[
            "get",
            "secret",
            "wa-store-datastore-connection-strings",
            "-o",
            "go-template={{.data.store_vcap_services | base64decode}}",
        ])?;
        let services: serde_json::Value =
            serde_json::from_slice(&secret).context("the store secret is not JSON")?;
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
            pod: String::from_utf8(pod)?,
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

fn compare(
    case: &Case,
    cluster: &PracticeCluster,
    store: &Store,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Comparison> {
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

        let sets = directory.path().join("sets");
        for (verify, usage) in [(true, &mut ours), (false, &mut unverified)] {
            let mut backup = Command::new(binaries.join("kubectl-wa-backup"));
            backup
                .env("KUBECONFIG", cluster.kubeconfig())
                .arg("create")
                .arg("--to")
                .arg(&sets)
                .args(case.compress.map(|level| format!("--compress={level}")))
                .args((!verify).then_some("--no-verify"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            usage.push(measure(&mut backup)?);
            fs::remove_dir_all(&sets)?;
        }
    }
    Ok(Comparison {
        name: case.name,
        dump_bytes,
        kubectl: median(&kubectl),
        ours: median(&ours),
        unverified: median(&unverified),
    })
}

fn help_time(binary: &Path) -> anyhow::Result<Duration> {
    let mut runs = Vec::new();
    for _ in 0..HELP_RUNS {
        runs.push(measure(
            Command::new(binary).arg("--help").stdout(Stdio::null()),
        )?);
    }
    Ok(median(&runs).elapsed)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes for people: 53 bits are plenty"
)]
fn report(
    comparisons: &[Comparison],
    help: Duration,
    runs: usize,
    stolen: f64,
) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Benchmarks\n\n\
         `kubectl wa-backup create` beside IBM's `kubectl exec … pg_dump -Fc > file`, from the same practice cluster, in\n\
         turns. Ours hashes the dump, compares it with the pod's own count and hash, decompresses and reads every data\n\
         block of it, and syncs it to disk; with `--no-verify` it does not read the blocks; kubectl does none of that.\n\
         Regenerate with `cargo xtask bench`.\n\n\
         | dump | what | kubectl exec | create | ratio | create --no-verify | ratio |\n|---|---|---|---|---|---|---|\n",
    );
    for comparison in comparisons {
        let gib = comparison.dump_bytes as f64 / GIB;
        let mut row = |what: &str, unit: &str, quantity: &dyn Fn(&Usage) -> f64| {
            let kubectl = quantity(&comparison.kubectl);
            let ours = quantity(&comparison.ours);
            let unverified = quantity(&comparison.unverified);
            writeln!(
                text,
                "| {}, {gib:.2} GiB | {what} | {kubectl:.2} {unit} | {ours:.2} {unit} | {:.2} | {unverified:.2} {unit} | {:.2} |",
                comparison.name,
                ours / kubectl,
                unverified / kubectl
            )
        };
        row("time", "s", &|usage| usage.elapsed.as_secs_f64())?;
        row("client CPU per GiB", "s", &|usage| {
            usage.cpu.as_secs_f64() / gib
        })?;
        row("client peak memory", "MiB", &|usage| {
            usage.peak_bytes as f64 / 1_048_576.0
        })?;
    }
    writeln!(
        text,
        "\n`--help` takes {:.1} ms.",
        help.as_secs_f64() * 1000.0
    )?;
    writeln!(
        text,
        "\nMedians of {runs} runs; `--help` of {HELP_RUNS}. {} The machine's host took {:.0} % of its CPU time meanwhile.",
        machine()?,
        stolen * 100.0
    )?;
    Ok(text)
}

fn machine() -> anyhow::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, name)| name);
    let version = |program: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(setup::find(program).unwrap_or_else(|| program.into()))
            .args(arguments)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned())
    };
    Ok(format!(
        "Measured on {} cores of {model}, Linux {}; {}; kubectl: {}. Client, API server and PostgreSQL share those cores.",
        std::thread::available_parallelism()?,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        version("postgres", &["--version"])?,
        version("kubectl", &["version", "--client"])?,
    ))
}
