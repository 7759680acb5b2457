//! What is left of a cluster when its end came at a bad moment.
//!
//! Containers end with the cluster's process, with one gap: until its user namespace is set up, bubblewrap's inner
//! process does not yet follow its outer one, and waits for ever when that is killed. Such processes still have the
//! cluster's directory on their command line.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Kills the processes and removes the files that a cluster in `directory` has left behind. None may run there.
pub fn remove_leftovers(directory: &Path) -> io::Result<()> {
    // As containers were told it; one that is already gone has no other name.
    let directory = &fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let mut last = Ok(());
    for _ in 0..TRIES {
        let killed = kill_stragglers(directory)?;
        last = match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if killed == 0 && last.is_ok() {
            return Ok(());
        }
        // What was just killed may still be there, or writing its last file.
        std::thread::sleep(PAUSE);
    }
    last
}

/// Kills every bubblewrap that mounts something from the directory, and says how many there were.
fn kill_stragglers(directory: &Path) -> io::Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else {
            continue;
        };
        // Opened before looking, so that the signal cannot hit a stranger that got the number later.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if is_container_of(&entry.path(), directory)
            && pidfd_send_signal(&handle, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    Ok(killed)
}

fn is_container_of(process: &Path, directory: &Path) -> bool {
    let is_bubblewrap =
        fs::read_link(process.join("exe")).is_ok_and(|program| program.ends_with("bwrap"));
    is_bubblewrap
        && fs::read(process.join("cmdline")).is_ok_and(|line| {
            line.split(|byte| *byte == 0)
                .any(|word| Path::new(std::ffi::OsStr::from_bytes(word)).starts_with(directory))
        })
}
