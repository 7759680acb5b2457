//! `wa-sandbox down`: stops a cluster.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::home::{Home, Lock};
use super::{Place, print};

/// How long a cluster gets to stop by itself. It takes about a second.
const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Stop the cluster and remove everything of it
///
/// Also removes what a cluster that was killed has left behind.
#[derive(Debug, clap::Args)]
pub(super) struct Down {
    #[command(flatten)]
    place: Place,
}

impl Down {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let home = self.place.home();
        if !home.path().exists() {
            print("no practice cluster runs")?;
            return Ok(ExitCode::SUCCESS);
        }
        let (lock, said) = match home.try_lock()? {
            Some(lock) => (
                lock,
                "no practice cluster runs; removed what was left behind",
            ),
            None => (stop(&home)?, "stopped"),
        };
        lock.end()
            .with_context(|| format!("cannot remove {}", home.path().display()))?;
        print(said)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn stop(home: &Home) -> anyhow::Result<Lock> {
    let number = home.pid()?;
    let pid = Pid::from_raw(number).with_context(|| format!("{number} is no process number"))?;
    for signal in [Signal::TERM, Signal::KILL] {
        // It may have ended by itself meanwhile; the lock tells.
        let _ = kill_process(pid, signal);
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if let Some(lock) = home.try_lock()? {
                return Ok(lock);
            }
            std::thread::sleep(POLL);
        }
    }
    bail!("the cluster's process {number} does not end; end it by hand and try again")
}
