//! A file that is not all here yet: its data, and the record of what of it is good.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rangemap::RangeSet;
use serde::{Deserialize, Serialize};

use super::{BLOCK_BYTES, total};
use crate::file::FileVersion;

/// A record larger than this is none of ours: a hundred thousand ranges fit.
const RECORD_LIMIT_BYTES: u64 = 4 << 20;

/// Why a partial file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// Another process works on it.
    #[error("{} is being written by another process; wait for its end", .path.display())]
    InUse {
        /// The partial file.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A file that is being fetched: `<path>.partial`, beside it `<path>.partial.json`, which says of which version of the
/// source it is and which ranges are good. Both are readable by their owner only.
///
/// While this value lives, no other process gets one for the same path.
#[derive(Debug)]
pub struct Partial {
    files: Arc<Files>,
    held: RangeSet<u64>,
}

/// The files of a [`Partial`], locked while one of its owners lives.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    data: File,
    version: FileVersion,
}

impl Partial {
    /// Begins anew, dropping what an earlier run left. `path` is where the finished file will be.
    pub fn create(path: &Path, version: &FileVersion) -> Result<Self, PartialError> {
        let data = data_path(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&data)
            .map_err(io_error("create", &data))?;
        lock(&file, &data)?;
        // First the record: it must not vouch for what is no longer there.
        remove(&record_path(path))?;
        file.set_len(0).map_err(io_error("truncate", &data))?;
        Ok(Self::new(path, file, version, RangeSet::new()))
    }

    /// Continues what an earlier run left, provided that it is of a source as long and as old as this `version`; `None`
    /// when nothing of it is usable. The inode may differ: a copy of the volume is the same file by another way.
    ///
    /// [`FileHandle::fetch`](crate::file::FileHandle::fetch) compares what is held with the pod's file before it relies on it.
    pub fn resume(path: &Path, version: &FileVersion) -> Result<Option<Self>, PartialError> {
        let data = data_path(path);
        let file = match OpenOptions::new().read(true).write(true).open(&data) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io_error("open", &data))?,
        };
        lock(&file, &data)?;
        let length = file.metadata().map_err(io_error("look at", &data))?.len();
        let held = match Record::load(&record_path(path))? {
            Some(record) if record.is_of(version) => record.usable(length),
            _ => RangeSet::new(),
        };
        Ok((!held.is_empty()).then(|| Self::new(path, file, version, held)))
    }

    fn new(path: &Path, data: File, version: &FileVersion, held: RangeSet<u64>) -> Self {
        Self {
            files: Arc::new(Files {
                path: path.to_owned(),
                data,
                version: *version,
            }),
            held,
        }
    }

    /// How many bytes of the file are here.
    pub fn held_bytes(&self) -> u64 {
        total(&self.held)
    }

    pub(super) fn version(&self) -> FileVersion {
        self.files.version
    }

    pub(super) fn held(&self) -> &RangeSet<u64> {
        &self.held
    }

    pub(super) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Takes note that `held` is here, or no longer.
    pub(super) fn set_held(&mut self, held: RangeSet<u64>) {
        self.held = held;
    }

    /// Moves the data to its final place and removes the record.
    pub(super) fn save(self) -> Result<PathBuf, PartialError> {
        let path = &self.files.path;
        let data = data_path(path);
        fs::rename(&data, path).map_err(io_error("rename", &data))?;
        remove(&record_path(path))?;
        let directory = directory_of(path);
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("sync", directory))?;
        Ok(path.clone())
    }

    /// Removes data and record.
    pub(super) fn discard(self) -> Result<(), PartialError> {
        remove(&record_path(&self.files.path))?;
        remove(&data_path(&self.files.path))
    }
}

impl Files {
    pub(super) fn data(&self) -> &File {
        &self.data
    }

    /// The data, to be read in order beside the writer: a handle with a position of its own.
    pub(super) fn reader(&self) -> io::Result<File> {
        File::open(data_path(&self.path))
    }

    /// Records that `held` is here, once it is: the data is synced first. Blocks.
    pub(super) fn record(&self, held: &RangeSet<u64>) -> Result<(), PartialError> {
        let data = data_path(&self.path);
        self.data.sync_data().map_err(io_error("sync", &data))?;
        let record = Record {
            version: self.version,
            held: held.iter().map(|range| (range.start, range.end)).collect(),
        };
        record.save(&record_path(&self.path))
    }
}

/// What `<path>.partial.json` holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: FileVersion,
    held: Vec<(u64, u64)>,
}

impl Record {
    /// `None` when there is none, or none that can be read.
    fn load(path: &Path) -> Result<Option<Self>, PartialError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io_error("open", path))?,
        };
        let mut text = Vec::new();
        file.take(RECORD_LIMIT_BYTES)
            .read_to_end(&mut text)
            .map_err(io_error("read", path))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Replaces the record at once or not at all.
    fn save(&self, path: &Path) -> Result<(), PartialError> {
        let new = with_suffix(path, ".new");
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()
        };
        write().map_err(io_error("write", &new))?;
        fs::rename(&new, path).map_err(io_error("write", path))
    }

    fn is_of(&self, version: &FileVersion) -> bool {
        let Self { version: was, .. } = self;
        (was.bytes, was.modified) == (version.bytes, version.modified)
    }

    /// The whole blocks that the record names and a data file of `length` bytes can hold.
    fn usable(&self, length: u64) -> RangeSet<u64> {
        let mut usable = RangeSet::new();
        for (start, end) in &self.held {
            let start = (*start).min(length).next_multiple_of(BLOCK_BYTES);
            let end = match (*end).min(length) {
                end if end == self.version.bytes => end,
                end => end - end % BLOCK_BYTES,
            };
            if start < end && end <= self.version.bytes {
                usable.insert(start..end);
            }
        }
        usable
    }
}

fn lock(file: &File, path: &Path) -> Result<(), PartialError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => PartialError::InUse {
            path: path.to_owned(),
        },
        TryLockError::Error(error) => io_error("lock", path)(error),
    })
}

fn remove(path: &Path) -> Result<(), PartialError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> PartialError + 'a {
    move |source| PartialError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn data_path(path: &Path) -> PathBuf {
    with_suffix(path, ".partial")
}

fn record_path(path: &Path) -> PathBuf {
    with_suffix(path, ".partial.json")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn version(bytes: u64) -> FileVersion {
        FileVersion {
            bytes,
            modified: 7,
            inode: 12,
        }
    }

    /// A partial file of which an earlier run recorded `held`.
    fn left(path: &Path, version: &FileVersion, held: &[(u64, u64)]) {
        let partial = Partial::create(path, version).expect("a partial file");
        partial.files.data.set_len(version.bytes).expect("room");
        let held = held.iter().map(|(start, end)| *start..*end).collect();
        partial.files.record(&held).expect("a record");
    }

    fn held(path: &Path, version: &FileVersion) -> Option<Vec<Range<u64>>> {
        // A process that another test just starts has every open file, with its lock, until it runs its program.
        let partial = loop {
            match Partial::resume(path, version) {
                Err(PartialError::InUse { .. }) => std::thread::yield_now(),
                resumed => break resumed.expect("no trouble")?,
            }
        };
        Some(partial.held.into_iter().collect())
    }

    #[test]
    fn what_was_recorded_is_held_again_in_whole_blocks() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let version = version(5 * MIB + 3);
        left(&path, &version, &[(0, MIB), (3 * MIB + 1, 5 * MIB + 3)]);
        let expected = vec![0..MIB, 3 * MIB + BLOCK_BYTES..5 * MIB + 3];
        assert_eq!(held(&path, &version), Some(expected));
    }

    #[test]
    fn of_another_version_nothing_is_held() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let was = version(MIB);
        left(&path, &was, &[(0, MIB)]);
        for now in [
            FileVersion { bytes: 9, ..was },
            FileVersion { modified: 9, ..was },
        ] {
            assert_eq!(held(&path, &now), None, "{now:?}");
        }
        assert!(held(&path, &was).is_some());
        let in_a_copy_of_the_volume = FileVersion { inode: 9, ..was };
        assert!(held(&path, &in_a_copy_of_the_volume).is_some());
    }

    #[test]
    fn a_record_that_is_garbled_or_promises_more_than_there_is_holds_nothing_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let version = version(4 * MIB);
        left(&path, &version, &[(0, 4 * MIB)]);
        let data = OpenOptions::new()
            .write(true)
            .open(data_path(&path))
            .expect("the data");
        data.set_len(2 * MIB + 5).expect("shorter");
        assert_eq!(
            held(&path, &version),
            Some(std::iter::once(0..2 * MIB).collect())
        );

        let backwards = Record {
            version,
            held: vec![(MIB, 0), (MIB, MIB), (u64::MAX - 3, u64::MAX)],
        };
        for record in [
            serde_json::to_vec(&backwards).expect("JSON"),
            b"{".to_vec(),
            Vec::new(),
        ] {
            fs::write(record_path(&path), record).expect("written");
            assert_eq!(held(&path, &version), None);
        }
        fs::remove_file(record_path(&path)).expect("removed");
        assert_eq!(held(&path, &version), None);
    }

    #[test]
    fn a_new_beginning_drops_the_old_record() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let version = version(MIB);
        left(&path, &version, &[(0, MIB)]);
        drop(Partial::create(&path, &version).expect("a partial file"));
        assert_eq!(held(&path, &version), None);
    }

    #[test]
    fn two_at_once_are_refused_and_others_may_not_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dump");
        let version = version(MIB);
        left(&path, &version, &[(0, MIB)]);
        for file in [data_path(&path), record_path(&path)] {
            let mode = fs::metadata(file).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let first = Partial::resume(&path, &version).expect("no trouble");
        for second in [
            Partial::resume(&path, &version).map(|_| ()),
            Partial::create(&path, &version).map(|_| ()),
        ] {
            assert!(
                matches!(second, Err(PartialError::InUse { .. })),
                "{second:?}"
            );
        }
        assert_eq!(first.expect("something held").held_bytes(), MIB);
    }
}
