//! The processes of a container, as it numbers them itself.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Which process: a number may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pid: u32,
    /// When it started, in clock ticks since this machine did.
    started: u64,
}

/// A process that is there, or a zombie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    parent: u32,
    pub(crate) session: u32,
    state: String,
    /// Its command line; of a zombie the name.
    pub(crate) command: String,
}

impl Process {
    /// Reads `<pid>` in a `/proc`; none when it is gone.
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let directory = proc.join(pid.to_string());
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        // The name may hold anything, parentheses too.
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let command = fs::read(directory.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Self {
            id: ProcessId {
                pid,
                started: number(19)?,
            },
            parent: u32::try_from(number(1)?).ok()?,
            session: u32::try_from(number(3)?).ok()?,
            state: (*fields.first()?).to_owned(),
            command: match command.trim() {
                "" => name.to_owned(),
                command => command.to_owned(),
            },
        })
    }

    /// Whether it is what stays of the shell around a detached job, where process 1 waits only for its own: the one process
    /// that a command may leave to it.
    pub(crate) fn was_wrapper(&self) -> bool {
        (self.parent, &self.state[..], &self.command[..]) == (1, "Z", "sh")
    }

    /// Whether it has been there for so long.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime: f64 = uptime
            .split_whitespace()
            .next()
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or_default();
        let started =
            Duration::from_millis(self.id.started * 1000 / rustix::param::clock_ticks_per_second());
        Duration::from_secs_f64(uptime) > started + age
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            parent,
            state,
            command,
            ..
        } = self;
        // Scripts are long, and their first line says enough.
        let command: String = command
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(120)
            .collect();
        write!(f, "{} (parent {parent}, {state}) {command}", id.pid)
    }
}

/// The processes of the container with that root; none when it has ended.
pub(crate) fn processes(root: &Path) -> Vec<Process> {
    let proc = root.join("proc");
    let Ok(entries) = fs::read_dir(&proc) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Process::read(&proc, pid))
        .collect()
}
