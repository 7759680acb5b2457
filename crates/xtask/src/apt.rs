//! Debian's packages, also while another apt-get works: a machine that has just started updates itself.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::process::find;

/// How long another apt-get may take: an upgrade of a whole machine is a matter of minutes.
const PATIENCE: Duration = Duration::from_mins(15);
const PAUSE: Duration = Duration::from_secs(2);

/// Whether packages can be installed here without asking anybody.
pub(crate) fn is_possible() -> bool {
    is_here() && rustix::process::geteuid().is_root()
}

/// Whether this is a Debian, or something like it.
pub(crate) fn is_here() -> bool {
    find("apt-get").is_some()
}

/// What a person types to the same end.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs packages from fresh lists.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    println!("installing {}", packages.join(" "));
    run(&["update"])?;
    run(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    when_unlocked(PATIENCE, || {
        let mut command = Command::new("apt-get");
        command
            .arg("-qq")
            // Covers the lock of installed packages, but not those of the lists and of the downloads.
            .args(["-o", &format!("DPkg::Lock::Timeout={}", PATIENCE.as_secs())])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Debian's scripts do not start services in single-user mode: the programs are wanted, not daemons.
            .env("RUNLEVEL", "1")
            // For its complaint about a lock.
            .env("LC_ALL", "C");
        command
    })
}

/// Runs a command of apt-get, again and again while it finds a lock held.
fn when_unlocked(patience: Duration, command: impl Fn() -> Command) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        let child = command()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run apt-get")?;
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            std::io::stderr().write_all(&output.stderr)?;
            return Ok(());
        }
        let locked = complaint
            .lines()
            .find(|line| line.contains("Could not get lock"));
        match locked {
            Some(line) if Instant::now() < deadline => {
                if !told {
                    println!("waiting for another apt-get: {line}");
                    told = true;
                }
                thread::sleep(PAUSE.min(patience / 10));
            }
            _ => bail!("apt-get failed ({}): {}", output.status, complaint.trim()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands in for apt-get: finds the lock held until it has been tried so often.
    fn apt_get(tries: &std::path::Path, locked: usize, complaint: &str) -> Command {
        let script = format!(
            "echo >> {tries}; [ $(wc -l < {tries}) -gt {locked} ] && exit 0; echo '{complaint}' >&2; exit 100",
            tries = tries.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }

    fn tried(tries: &std::path::Path) -> anyhow::Result<usize> {
        Ok(std::fs::read_to_string(tries)?.lines().count())
    }

    const HELD: &str =
        "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1234 (apt-get)";

    #[test]
    fn apt_get_is_run_again_until_the_lock_is_free() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let tries = directory.path().join("tries");
        when_unlocked(Duration::from_secs(5), || apt_get(&tries, 2, HELD))?;
        assert_eq!(tried(&tries)?, 3);
        Ok(())
    }

    #[test]
    fn a_lock_that_stays_is_named_in_the_end() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let tries = directory.path().join("tries");
        let done = when_unlocked(Duration::from_millis(100), || {
            apt_get(&tries, usize::MAX, HELD)
        });
        let error = done.expect_err("the lock is held");
        assert!(
            error.to_string().contains("held by process 1234"),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn any_other_failure_is_final() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let tries = directory.path().join("tries");
        let done = when_unlocked(PATIENCE, || {
            apt_get(&tries, 1, "E: Unable to locate package x")
        });
        let error = done.expect_err("there is no such package");
        assert!(error.to_string().contains("Unable to locate"), "{error}");
        assert_eq!(tried(&tries)?, 1);
        Ok(())
    }
}
