//! The storage system behind the cluster's volumes: a directory for each volume and for each snapshot, and how long its
//! operations take.
//!
//! A snapshot is a copy made at once, so that what is written later is not in it; on a file system that shares blocks
//! between files, it shares them. Left out: capacity. A volume is as large as this machine's disk, which is also what
//! `df` shows of it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How soon it is asked again whether an operation that never ends is still meant never to end.
const NEVER: Duration = Duration::from_millis(250);
/// How often `external-snapshotter` looks at everything again unless told otherwise.
const RESYNC: Duration = Duration::from_mins(15);

/// How long the storage system takes for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// So long from when it is first asked.
    Of(Duration),
    /// It never gets done, until the delay is set to something else.
    Never,
}

impl Default for Delay {
    fn default() -> Self {
        Self::Of(Duration::ZERO)
    }
}

/// What can be slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Making a volume for a claim.
    Provision,
    /// The driver's answer to being asked for a snapshot. Whoever deletes the snapshot meanwhile waits for the
    /// [`Operation::Resync`].
    TakeSnapshot,
    /// Making a snapshot that was taken ready to use.
    Snapshot,
    /// The snapshotter's next look at a snapshot whose deletion came too early: a quarter of an hour, unless set.
    Resync,
}

impl Operation {
    fn usual_delay(self) -> Delay {
        match self {
            Self::Resync => Delay::Of(RESYNC),
            Self::Provision | Self::TakeSnapshot | Self::Snapshot => Delay::default(),
        }
    }
}

/// The storage system; clones share it.
#[derive(Debug, Clone)]
pub struct Disks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    volumes: PathBuf,
    snapshots: PathBuf,
    timing: Mutex<Timing>,
}

#[derive(Debug, Default)]
struct Timing {
    delays: HashMap<Operation, Delay>,
    begun: HashMap<(Operation, String), Instant>,
    refusals: HashMap<Operation, String>,
}

impl Disks {
    /// Makes an empty one of two directories.
    pub fn new(volumes: PathBuf, snapshots: PathBuf) -> io::Result<Self> {
        for directory in [&volumes, &snapshots] {
            fs::create_dir_all(directory)?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                volumes,
                snapshots,
                timing: Mutex::default(),
            }),
        })
    }

    /// The directory with the contents of all volumes, each in one of its name.
    pub fn volumes(&self) -> &Path {
        &self.inner.volumes
    }

    /// The directory that is a volume's content.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.inner.volumes.join(name)
    }

    /// Sets how long an operation takes from now on, also where it is under way.
    pub fn set_delay(&self, operation: Operation, delay: Delay) {
        self.timing().delays.insert(operation, delay);
    }

    /// Sets what the driver answers instead of doing an operation; with `None`, it does it again.
    pub fn refuse(&self, operation: Operation, answer: Option<&str>) {
        let mut timing = self.timing();
        match answer {
            Some(answer) => timing.refusals.insert(operation, answer.to_owned()),
            None => timing.refusals.remove(&operation),
        };
    }

    /// What the driver answers instead of doing an operation.
    pub(crate) fn refusal(&self, operation: Operation) -> Option<String> {
        self.timing().refusals.get(&operation).cloned()
    }

    /// Whether an operation was begun, by the first question how long it takes.
    pub(crate) fn has_begun(&self, operation: Operation, name: &str) -> bool {
        let timing = self.timing();
        timing.begun.contains_key(&(operation, name.to_owned()))
    }

    /// How much longer an operation takes; nothing once it is done. The first question begins it.
    pub(crate) fn remaining(&self, operation: Operation, name: &str) -> Option<Duration> {
        let mut timing = self.timing();
        let begun = *timing
            .begun
            .entry((operation, name.to_owned()))
            .or_insert_with(Instant::now);
        let delay = timing.delays.get(&operation).copied();
        match delay.unwrap_or_else(|| operation.usual_delay()) {
            Delay::Of(delay) => delay
                .checked_sub(begun.elapsed())
                .filter(|left| !left.is_zero()),
            Delay::Never => Some(NEVER),
        }
    }

    /// Copies a volume's present content.
    pub(crate) fn snapshot(&self, volume: &str, snapshot: &str) -> io::Result<()> {
        copy(&self.volume(volume), &self.inner.snapshots.join(snapshot))
    }

    /// Makes a volume with a snapshot's content.
    pub(crate) fn restore(&self, snapshot: &str, volume: &str) -> io::Result<()> {
        copy(&self.inner.snapshots.join(snapshot), &self.volume(volume))
    }

    /// Deletes a volume's content, if there is any.
    pub(crate) fn delete_volume(&self, name: &str) -> io::Result<()> {
        remove(&self.volume(name))
    }

    /// Deletes a snapshot, if it is there.
    pub(crate) fn delete_snapshot(&self, name: &str) -> io::Result<()> {
        remove(&self.inner.snapshots.join(name))
    }

    fn timing(&self) -> MutexGuard<'_, Timing> {
        self.inner
            .timing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies a directory with modes, times and links. Half a copy never has the final name.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    let unfinished = to.with_extension("unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished)?;
    // A volume that no pod has mounted yet has no directory and is empty.
    if from.exists() {
        let copied = Command::new("cp")
            .arg("-a")
            .arg("--")
            .arg(from.join("."))
            .arg(&unfinished)
            .output()?;
        if !copied.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&copied.stderr).into_owned(),
            ));
        }
    }
    fs::rename(&unfinished, to)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks(directory: &Path) -> Disks {
        Disks::new(directory.join("volumes"), directory.join("snapshots")).unwrap()
    }

    #[test]
    fn a_snapshot_is_of_its_moment_and_keeps_times_and_modes() {
        let directory = tempfile::tempdir().unwrap();
        let disks = disks(directory.path());
        let source = disks.volume("pvc-1");
        fs::create_dir(&source).unwrap();
        let dump = source.join("a dump");
        fs::write(&dump, "before").unwrap();
        let before = fs::metadata(&dump).unwrap();
        disks.snapshot("pvc-1", "snap-1").unwrap();
        fs::write(&dump, "after").unwrap();
        fs::write(source.join("later"), "").unwrap();
        disks.restore("snap-1", "pvc-2").unwrap();

        let restored = disks.volume("pvc-2").join("a dump");
        assert_eq!(fs::read(&restored).unwrap(), b"before");
        let after = fs::metadata(&restored).unwrap();
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        assert_eq!(after.permissions(), before.permissions());
        assert!(!disks.volume("pvc-2").join("later").exists());
    }

    #[test]
    fn an_operation_that_never_ends_ends_once_its_delay_is_lifted() {
        let directory = tempfile::tempdir().unwrap();
        let disks = disks(directory.path());
        assert_eq!(disks.remaining(Operation::Snapshot, "a"), None);
        disks.set_delay(Operation::Snapshot, Delay::Never);
        assert!(disks.remaining(Operation::Snapshot, "a").is_some());
        assert_eq!(disks.remaining(Operation::Provision, "a"), None);
        disks.set_delay(Operation::Snapshot, Delay::default());
        assert_eq!(disks.remaining(Operation::Snapshot, "a"), None);
    }
}
