//! Time, CPU and peak memory of one process.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often the peak is read; the kernel keeps the maximum, so only growth in the last interval is missed.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// What a process used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) elapsed: Duration,
    /// In user space and in the kernel.
    pub(super) cpu: Duration,
    pub(super) peak_bytes: u64,
}

/// What the whole machine has done since a moment.
pub(super) struct CpuClock {
    total: u64,
    stolen: u64,
}

impl CpuClock {
    /// From now on.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (total, stolen) = machine_ticks()?;
        Ok(Self { total, stolen })
    }

    /// The share of CPU time that a virtual machine's host gave to others: what makes absolute times worthless.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub(super) fn stolen(&self) -> anyhow::Result<f64> {
        let (total, stolen) = machine_ticks()?;
        Ok((stolen - self.stolen) as f64 / (total - self.total).max(1) as f64)
    }
}

/// All ticks of /proc/stat, and those stolen.
fn machine_ticks() -> anyhow::Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest time is part of user time
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let stolen = *ticks.get(7).context("/proc/stat is not as expected")?;
    Ok((ticks.iter().sum(), stolen))
}

/// Runs a program to its successful end.
pub(super) fn measure(command: &mut Command) -> anyhow::Result<Usage> {
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let pid = child.id();
    let done = AtomicBool::new(false);
    let (elapsed, cpu, peak_bytes) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(peak_bytes(pid).unwrap_or(0));
                thread::sleep(SAMPLE_INTERVAL);
            }
            peak
        });
        // Without reaping it: /proc still tells what an ended process used.
        let ended = wait_without_reaping(pid);
        let elapsed = started.elapsed();
        let cpu = cpu_time(pid);
        done.store(true, Ordering::Relaxed);
        let peak = sampler.join().unwrap_or(0);
        ended.and(cpu).map(|cpu| (elapsed, cpu, peak))
    })?;
    let status = child.wait()?;
    ensure!(
        status.success(),
        "{} failed: {status}",
        command.get_program().display()
    );
    Ok(Usage {
        elapsed,
        cpu,
        peak_bytes,
    })
}

/// The median of each quantity.
pub(super) fn median(runs: &[Usage]) -> Usage {
    fn middle<T: Ord + Copy>(runs: &[Usage], quantity: impl Fn(&Usage) -> T) -> T {
        let mut values: Vec<T> = runs.iter().map(quantity).collect();
        values.sort_unstable();
        values[values.len() / 2]
    }
    Usage {
        elapsed: middle(runs, |run| run.elapsed),
        cpu: middle(runs, |run| run.cpu),
        peak_bytes: middle(runs, |run| run.peak_bytes),
    }
}

fn wait_without_reaping(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    Ok(())
}

fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15, counted after the program's name in parentheses, which may contain anything.
    let (_, fields) = stat
        .rsplit_once(") ")
        .context("cannot read /proc/PID/stat")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / per_second))
}
