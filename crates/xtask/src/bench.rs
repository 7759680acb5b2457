//! `bench`: the plugins against what IBM's procedure does with kubectl, in the same run on the same machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::cluster::PracticeCluster;
use crate::plugins::PLUGINS;
use crate::process::{self, cargo, target_directory, workspace};
use crate::setup;

mod create;
mod estimate;
mod long_link;
mod many_sets;
mod measure;
mod object_storage;
mod off_site;
mod pull;
mod restore;
mod revisions;
mod table;

use measure::{CpuClock, measure, median};

const REPORT: &str = "docs/benchmarks.md";
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
    /// Measure only this, and leave the report as it is
    #[arg(long)]
    only: Option<Part>,
    /// Measure create and pull beside those of this revision of git, and leave the report as it is
    #[arg(long, value_name = "REVISION", conflicts_with = "only")]
    against: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Create,
    Pull,
    Restore,
    Estimate,
    OffSite,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run()?;
    ensure!(args.runs > 0, "--runs must be at least 1");
    process::catch_signals()?;
    let mut build = cargo(&["build", "--release", "--package", "wa-sandbox"]);
    for plugin in PLUGINS {
        build.args(["--package", plugin]);
    }
    process::run(&mut build)?;
    let binaries = target_directory().join("release");
    let before = args.against.as_deref().map(revisions::build).transpose()?;
    println!("starting a practice cluster and filling its database");
    let cluster = PracticeCluster::start(&binaries, "bench", &["--seed", &args.seed])?;

    let clock = CpuClock::start()?;
    let mut report = String::from(
        "# Benchmarks\n\nThe plugins beside kubectl, on the same practice cluster, in turns. Regenerate with `cargo xtask bench`.\n",
    );
    if let (Some(revision), Some(before)) = (&args.against, before) {
        let rows = revisions::compare(&cluster, &before, &binaries, args.runs)?;
        let title = revisions::title(revision);
        print!("\n{title}\n{}", table::markdown(&rows));
        return Ok(());
    }
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if wanted(Part::Create) {
        let rows = create::compare(&cluster, &binaries, args.runs)?;
        report = format!("{report}\n{}\n{}", create::TITLE, table::markdown(&rows));
    }
    if wanted(Part::Pull) {
        let rows = pull::compare(&cluster, &binaries, args.runs)?;
        report = format!("{report}\n{}\n{}", pull::title(), table::markdown(&rows));
    }
    if wanted(Part::Restore) {
        let comparison = restore::compare(&cluster, &binaries)?;
        report = format!("{report}\n{}", comparison.markdown());
    }
    if wanted(Part::Estimate) {
        let comparison = estimate::compare(&cluster, &binaries, args.runs)?;
        report = format!("{report}\n{}", comparison.markdown());
    }
    if wanted(Part::OffSite) {
        let comparison = off_site::compare(&cluster, &binaries, args.runs)?;
        report = format!("{report}\n{}", comparison.markdown());
    }
    report = format!(
        "{report}\n{}",
        conditions(&binaries, args.runs, clock.stolen()?)?
    );
    print!("\n{report}");
    if args.only.is_some() {
        return Ok(());
    }
    fs::write(workspace().join(REPORT), report).with_context(|| format!("cannot write {REPORT}"))
}

fn conditions(binaries: &Path, runs: usize, stolen: f64) -> anyhow::Result<String> {
    let mut help = Vec::new();
    for plugin in PLUGINS {
        let took = help_time(&binaries.join(plugin))?;
        help.push(format!("{plugin} {:.1} ms", took.as_secs_f64() * 1000.0));
    }
    Ok(format!(
        "## How it was measured\n\n`--help` takes: {}.\n\n\
         Medians of {runs} runs; `--help` of {HELP_RUNS}. {} The machine's host took {:.0} % of its CPU time meanwhile.\n",
        help.join(", "),
        machine()?,
        stolen * 100.0
    ))
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

fn machine() -> anyhow::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, name)| name);
    let version = |program: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(process::find(program).unwrap_or_else(|| program.into()))
            .args(arguments)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kubectl = version("kubectl", &["version", "--client"])?;
    Ok(format!(
        "Measured on {} cores of {model}, Linux {}; {}; kubectl {}. Client, API server and PostgreSQL share those cores.",
        std::thread::available_parallelism()?,
        // Without what a distribution or a host adds to them.
        kernel.split('-').next().unwrap_or_default(),
        version("postgres", &["--version"])?,
        kubectl
            .rsplit(' ')
            .next()
            .and_then(|version| version.split('-').next())
            .unwrap_or_default(),
    ))
}
