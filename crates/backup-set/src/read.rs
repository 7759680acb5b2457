//! Reading a backup back, and finding out whether it is intact.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pg_archive::Archive;
use transfer_proof::{Hasher, Measured};

use crate::error::{BackupError, io_error};
use crate::manifest_file::{Unusable, read_manifest};
use crate::store::{FileState, StoredSet};
use crate::verdict::Problem;
use crate::{
    DUMP_FILE, DirectorySet, FileRecord, FileRole, MANIFEST_FILE, Manifest, NotJudged, TenantRows,
    Verdict, VerificationFailed, Verified,
};
use human_text::printable;

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A backup on this machine: a set, or a dump that stands alone.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    dump: PathBuf,
    /// None where it is a dump that stands alone.
    set: Option<(Box<dyn StoredSet>, Manifest)>,
}

/// What a full reading of an intact backup found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Intact {
    /// What is in the dump.
    pub verified: Verified,
    /// The dump's size in bytes.
    pub bytes: u64,
    /// The dump's SHA-256.
    pub sha256: String,
}

impl Backup {
    /// Opens a set's directory, or a dump file.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let metadata = fs::metadata(path).map_err(|source| io_error(path, source))?;
        if !metadata.is_dir() {
            return Ok(Self {
                path: path.to_owned(),
                dump: path.to_owned(),
                set: None,
            });
        }
        let set = DirectorySet::new(path);
        let manifest = match read_manifest(&set)? {
            Ok(manifest) => manifest,
            Err(Unusable::Newer(why)) => return Err(not_judged(path, why)),
            Err(Unusable::Bad(_)) if is_directory_dump(path) => {
                return Err(not_judged(path, DIRECTORY_DUMP.to_owned()));
            }
            Err(Unusable::Bad(mut problem)) => {
                problem.what.push_str(&sets_in(path));
                return Err(failed(path, vec![problem]));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            dump: path.join(DUMP_FILE),
            set: Some((Box::new(set), manifest)),
        })
    }

    /// The manifest, where it is a set.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.set.as_ref().map(|(_, manifest)| manifest)
    }

    /// Where the dump is.
    pub(crate) fn dump_path(&self) -> &Path {
        &self.dump
    }

    /// Reads everything: sizes and hashes against the manifest, and every data block of the dump.
    pub fn verify(&self) -> Result<Intact, BackupError> {
        let mut problems = Vec::new();
        let mut dump_record = None;
        for (set, record) in self.listed() {
            match record.role {
                FileRole::StoreDump if dump_record.is_none() => dump_record = Some(record),
                _ => problems.extend(check_file(set, record)?),
            }
        }
        if self.set.is_some() && dump_record.is_none() {
            problems.push(Problem::new(
                MANIFEST_FILE,
                format!("does not list {DUMP_FILE}"),
            ));
        }
        let encoded = |(_, record): &(_, &FileRecord)| {
            Some(*record) == dump_record && !record.is_stored_plain()
        };
        if let Some((set, record)) = self.listed().find(encoded) {
            problems.extend(check_file(set, record)?);
            return Err(if problems.is_empty() {
                let why = format!("{} {ENCODED}", printable(&record.name));
                NotJudged::new(&self.path, why, true).into()
            } else {
                failed(&self.path, problems)
            });
        }
        let Some((read, mismatch)) = self.read_dump(dump_record, &mut problems)? else {
            return Err(failed(&self.path, problems));
        };
        problems.extend(mismatch);
        match read.verdict {
            Verdict::Unread(source) => Err(io_error(&self.dump, source)),
            Verdict::Failed(fault) => {
                let failed = VerificationFailed::at_rest(&self.path, &self.dump, &fault, problems);
                Err(failed.into())
            }
            Verdict::NotJudged(why) if !problems.is_empty() => {
                problems.push(Problem::new(DUMP_FILE, why));
                Err(failed(&self.path, problems))
            }
            Verdict::Intact(_) if !problems.is_empty() => Err(failed(&self.path, problems)),
            Verdict::NotJudged(why) => {
                let as_recorded = dump_record.is_some();
                Err(NotJudged::new(&self.path, why, as_recorded).into())
            }
            Verdict::Intact(verified) => Ok(Intact {
                verified: *verified,
                bytes: read.measured.bytes(),
                sha256: read.measured.sha256().to_string(),
            }),
        }
    }

    /// The files that the manifest lists, where there is one.
    fn listed(&self) -> impl Iterator<Item = (&dyn StoredSet, &FileRecord)> {
        let sets = self.set.iter();
        sets.flat_map(|(set, manifest)| manifest.files.iter().map(move |record| (&**set, record)))
    }

    /// One pass over the dump: hash and archive together. The second value is how it differs from its record. None where
    /// the set has no such file, which is then among the problems.
    fn read_dump(
        &self,
        record: Option<&FileRecord>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<(ReadDump, Option<Problem>)>, BackupError> {
        let file = if let (Some((set, _)), Some(record)) = (&self.set, record) {
            match open_listed(&**set, record)? {
                Ok(file) => file,
                Err(problem) => {
                    problems.push(problem);
                    return Ok(None);
                }
            }
        } else {
            let file = File::open(&self.dump);
            Box::new(file.map_err(|source| io_error(&self.dump, source))?)
        };
        let mut reader = HashingReader::new(file);
        let mut tenants = TenantRows::default();
        let read = Archive::open(&mut reader).and_then(|archive| archive.verify_with(&mut tenants));
        let verdict = Verdict::of(read, tenants);
        // The hash is of the whole file, also behind the place where the archive broke off.
        reader
            .drain()
            .map_err(|source| io_error(&self.dump, source))?;
        let mismatch = record.and_then(|record| reader.compare(record));
        let read = ReadDump {
            verdict,
            measured: reader.measured(),
        };
        Ok(Some((read, mismatch)))
    }
}

/// A dump that was read from end to end.
struct ReadDump {
    verdict: Verdict,
    measured: Measured,
}

const DIRECTORY_DUMP: &str = "it is a directory-format dump (`pg_dump -Fd`), which pg_restore reads and this tool does not; \
     a dump for it, and for IBM's restore, is made with `pg_dump -Fc`";

const ENCODED: &str = "is not stored as its plaintext, but in a form that this tool does not read: use a newer kubectl wa-backup";

/// Whether `pg_dump -Fd` wrote a directory.
fn is_directory_dump(path: &Path) -> bool {
    path.join("toc.dat").is_file()
}

/// What to give instead of a directory that holds sets.
fn sets_in(path: &Path) -> String {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sets = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(MANIFEST_FILE).is_file());
    // The name ends in the time.
    match sets.max() {
        Some(set) => format!(
            "; it holds backup sets: give one of them, such as {}",
            set.display()
        ),
        None => String::new(),
    }
}

/// Reads a file that the manifest lists against what that says of it.
fn check_file(set: &dyn StoredSet, record: &FileRecord) -> Result<Option<Problem>, BackupError> {
    let file = match open_listed(set, record)? {
        Ok(file) => file,
        Err(problem) => return Ok(Some(problem)),
    };
    let mut reader = HashingReader::new(file);
    reader
        .drain()
        .map_err(|source| io_error(&set.location().join(&record.name), source))?;
    Ok(reader.compare(record))
}

/// The size of a file that the manifest lists; the inner error is what is wrong with the backup.
fn size_of_listed(
    set: &dyn StoredSet,
    record: &FileRecord,
) -> Result<Result<u64, Problem>, BackupError> {
    // The manifest may come from anyone: its names must not lead out of the set, nor to a device.
    let plain = Path::new(&record.name)
        .file_name()
        .is_some_and(|name| name == record.name.as_str());
    if !plain {
        return Ok(Err(Problem::new(
            MANIFEST_FILE,
            format!("lists the file {:?}, which is no plain name", record.name),
        )));
    }
    match set.look(&record.name) {
        Ok(FileState::File { bytes }) => Ok(Ok(bytes)),
        Ok(FileState::NotAFile) => Ok(Err(Problem::new(&record.name, "is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Err(Problem::new(&record.name, "is missing")))
        }
        Err(source) => Err(io_error(&set.location().join(&record.name), source)),
    }
}

/// Opens a file that the manifest lists; the inner error is what is wrong with the backup.
fn open_listed(
    set: &dyn StoredSet,
    record: &FileRecord,
) -> Result<Result<Box<dyn Read>, Problem>, BackupError> {
    if let Err(problem) = size_of_listed(set, record)? {
        return Ok(Err(problem));
    }
    set.read(&record.name)
        .map(Ok)
        .map_err(|source| io_error(&set.location().join(&record.name), source))
}

/// What a glance at a set tells: the manifest and the sizes, not the content.
#[derive(Debug)]
pub enum SetState {
    /// Every file is there with its size.
    Complete(Box<Manifest>),
    /// It has no manifest: it was interrupted, or is being written.
    Incomplete,
    /// It is of a newer format.
    NotJudged {
        /// What is newer.
        reason: String,
    },
    /// It has a manifest, and is not what that says.
    Corrupt {
        /// What is wrong.
        reason: String,
    },
}

/// What `list` looks at: the manifest, and the sizes it promises.
pub(crate) fn glance(set: &dyn StoredSet) -> Result<SetState, BackupError> {
    let corrupt = |problem: Problem| SetState::Corrupt {
        reason: format!("{} {}", problem.file, problem.what),
    };
    let manifest = match read_manifest(set)? {
        Ok(manifest) => manifest,
        Err(Unusable::Newer(reason)) => return Ok(SetState::NotJudged { reason }),
        Err(Unusable::Bad(problem)) => return Ok(corrupt(problem)),
    };
    for record in &manifest.files {
        let bytes = match size_of_listed(set, record)? {
            Ok(bytes) => bytes,
            Err(problem) => return Ok(corrupt(problem)),
        };
        if bytes != record.bytes {
            let what = size_mismatch(bytes, record.bytes);
            return Ok(corrupt(Problem::new(&record.name, what)));
        }
    }
    Ok(SetState::Complete(Box::new(manifest)))
}

fn size_mismatch(bytes: u64, promised: u64) -> String {
    if bytes < promised {
        format!("is truncated: it ends at byte {bytes}, {MANIFEST_FILE} says {promised}")
    } else {
        format!(
            "has {bytes} bytes, {MANIFEST_FILE} says {promised}: something was added behind byte {promised}"
        )
    }
}

fn failed(path: &Path, problems: Vec<Problem>) -> BackupError {
    VerificationFailed::new(path, problems).into()
}

fn not_judged(path: &Path, why: String) -> BackupError {
    NotJudged::new(path, why, false).into()
}

/// Hashes and counts what is read through it.
struct HashingReader {
    source: Box<dyn Read>,
    hasher: Hasher,
}

impl HashingReader {
    fn new(source: Box<dyn Read>) -> Self {
        Self {
            source,
            hasher: Hasher::default(),
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn compare(&self, record: &FileRecord) -> Option<Problem> {
        let measured = self.measured();
        if measured.bytes() != record.bytes {
            return Some(Problem::new(
                &record.name,
                size_mismatch(measured.bytes(), record.bytes),
            ));
        }
        let found = measured.sha256().to_string();
        (!found.eq_ignore_ascii_case(&record.sha256)).then(|| {
            Problem::new(
                &record.name,
                format!(
                    "its SHA-256 is {found}, {MANIFEST_FILE} says {}: its content has changed",
                    printable(&record.sha256)
                ),
            )
        })
    }

    fn measured(&self) -> Measured {
        self.hasher.measured()
    }
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
