//! Reading a backup back, and finding out whether it is intact.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pg_archive::{Archive, ArchiveError, Contents, ErrorKind};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::writer::hex;
use super::{
    DUMP_FILE, FORMAT_VERSION, FileRecord, FileRole, MANIFEST_FILE, Manifest, ServiceInstance,
    TenantRows,
};
use crate::report::printable;

/// The largest manifest that is read: more than 10,000 tables and as many instances take.
const LARGEST_MANIFEST_BYTES: u64 = 8 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A backup on this machine: a set, or a dump that stands alone.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    dump: PathBuf,
    manifest: Option<Manifest>,
}

/// Why a path cannot be read as a backup at all.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file system refused.
    #[error("cannot read {}: {source}{}", path.display(), hint(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is read, and not intact.
    #[error(transparent)]
    Failed(#[from] VerificationFailed),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; give the directory of a backup set, or a dump file",
        _ => "",
    }
}

/// Everything that is wrong with a backup.
#[derive(Debug, Error)]
pub struct VerificationFailed {
    path: PathBuf,
    problems: Vec<Problem>,
}

/// One thing that is wrong with one file.
#[derive(Debug)]
struct Problem {
    file: String,
    what: String,
}

impl VerificationFailed {
    /// What is wrong, a sentence each, beginning with the file's name.
    pub fn problems(&self) -> Vec<String> {
        self.problems.iter().map(Problem::to_string).collect()
    }

    /// A dump that was found broken while it arrived.
    pub fn of_dump(path: &Path, error: &ArchiveError) -> Self {
        Self {
            path: path.to_owned(),
            problems: vec![Problem::in_archive(DUMP_FILE, error)],
        }
    }
}

impl fmt::Display for VerificationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not an intact backup:", self.path.display())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        write!(
            f,
            "\ndo not restore from it: take a new backup, or copy it again from where it is intact"
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl Problem {
    fn new(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: printable(file).into_owned(),
            what: what.into(),
        }
    }

    fn in_archive(file: &str, error: &ArchiveError) -> Self {
        Self::new(file, printable(&error.to_string()))
    }
}

/// What a full reading of an intact backup found.
#[derive(Debug)]
pub struct Intact {
    /// The dump's header and tables.
    pub contents: Contents,
    /// The service instances in it.
    pub instances: Vec<ServiceInstance>,
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
                manifest: None,
            });
        }
        let manifest = read_manifest(path)?.map_err(|problem| failed(path, vec![problem]))?;
        Ok(Self {
            path: path.to_owned(),
            dump: path.join(DUMP_FILE),
            manifest: Some(manifest),
        })
    }

    /// The manifest, where it is a set.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Reads everything: sizes and hashes against the manifest, and every data block of the dump.
    pub fn verify(&self) -> Result<Intact, BackupError> {
        let mut problems = Vec::new();
        let mut dump_record = None;
        for record in self.manifest.iter().flat_map(|manifest| &manifest.files) {
            match record.role {
                FileRole::StoreDump => dump_record = Some(record),
                FileRole::AuthEncryption => problems.extend(self.check_file(record)?),
            }
        }
        if self.manifest.is_some() && dump_record.is_none() {
            problems.push(Problem::new(
                MANIFEST_FILE,
                format!("does not list {DUMP_FILE}"),
            ));
        }
        match self.read_dump(dump_record)? {
            Ok(intact) if problems.is_empty() => Ok(intact),
            Ok(_) => Err(failed(&self.path, problems)),
            Err(found) => {
                problems.extend(found);
                Err(failed(&self.path, problems))
            }
        }
    }

    fn check_file(&self, record: &FileRecord) -> Result<Option<Problem>, BackupError> {
        let path = self.path.join(&record.name);
        let file = match open_listed(&path, record)? {
            Ok(file) => file,
            Err(problem) => return Ok(Some(problem)),
        };
        let mut reader = HashingReader::new(file);
        reader.drain().map_err(|source| io_error(&path, source))?;
        Ok(reader.compare(record))
    }

    /// One pass over the dump: hash and archive together.
    fn read_dump(
        &self,
        record: Option<&FileRecord>,
    ) -> Result<Result<Intact, Vec<Problem>>, BackupError> {
        let name = self
            .dump
            .file_name()
            .map_or_else(|| DUMP_FILE.into(), |name| name.to_string_lossy());
        let file = match record {
            Some(record) => match open_listed(&self.dump, record)? {
                Ok(file) => file,
                Err(problem) => return Ok(Err(vec![problem])),
            },
            None => File::open(&self.dump).map_err(|source| io_error(&self.dump, source))?,
        };
        let mut reader = HashingReader::new(file);
        let mut tenants = TenantRows::default();
        let walked =
            Archive::open(&mut reader).and_then(|archive| archive.verify_with(&mut tenants));
        if let Some(source) = walked.as_ref().err().and_then(take_io_error) {
            return Err(io_error(&self.dump, source));
        }
        // The hash is of the whole file, also behind the place where the archive broke off.
        reader
            .drain()
            .map_err(|source| io_error(&self.dump, source))?;
        let mismatch = record.and_then(|record| reader.compare(record));
        let (bytes, sha256) = reader.finish();
        Ok(match (walked, mismatch) {
            (Ok(contents), None) => Ok(Intact {
                contents,
                instances: tenants.into_instances(),
                bytes,
                sha256,
            }),
            (walked, mismatch) => Err(walked
                .err()
                .map(|error| Problem::in_archive(&name, &error))
                .into_iter()
                .chain(mismatch)
                .collect()),
        })
    }
}

/// An error of the disk is no verdict on the backup.
fn take_io_error(error: &ArchiveError) -> Option<io::Error> {
    match error.kind() {
        ErrorKind::Io(source) => Some(io::Error::new(source.kind(), source.to_string())),
        _ => None,
    }
}

/// Opens a file that the manifest lists; the inner error is what is wrong with the backup.
fn open_listed(path: &Path, record: &FileRecord) -> Result<Result<File, Problem>, BackupError> {
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
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(Err(Problem::new(&record.name, "is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(Problem::new(&record.name, "is missing")));
        }
        Err(source) => return Err(io_error(path, source)),
    }
    File::open(path)
        .map(Ok)
        .map_err(|source| io_error(path, source))
}

/// The manifest of the set in `directory`; the inner error is what is wrong with it.
fn read_manifest(directory: &Path) -> Result<Result<Manifest, Problem>, BackupError> {
    let path = directory.join(MANIFEST_FILE);
    // A pipe or a device would be waited for, or never end.
    let file = match fs::symlink_metadata(&path).and_then(|metadata| {
        let opened = metadata.is_file().then(|| File::open(&path));
        opened.transpose()
    }) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Err(Problem::new(MANIFEST_FILE, "is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(Problem::new(
                MANIFEST_FILE,
                "is missing: the set is incomplete, or this is no backup set",
            )));
        }
        Err(source) => return Err(io_error(&path, source)),
    };
    let mut json = Vec::new();
    file.take(LARGEST_MANIFEST_BYTES)
        .read_to_end(&mut json)
        .map_err(|source| io_error(&path, source))?;
    Ok(parse_manifest(&json))
}

fn parse_manifest(json: &[u8]) -> Result<Manifest, Problem> {
    let unreadable =
        |error: serde_json::Error| Problem::new(MANIFEST_FILE, format!("cannot be read: {error}"));
    let value: serde_json::Value = serde_json::from_slice(json).map_err(unreadable)?;
    // Before the rest, which a newer format may have changed.
    let version = value
        .get("formatVersion")
        .and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version > u64::from(FORMAT_VERSION)) {
        return Err(Problem::new(
            MANIFEST_FILE,
            format!(
                "has format version {}, newer than this tool knows ({FORMAT_VERSION}): use a newer kubectl wa-backup",
                version.unwrap_or_default()
            ),
        ));
    }
    serde_json::from_value(value).map_err(unreadable)
}

/// What `list` looks at: the manifest, and the sizes it promises.
pub(super) fn glance(directory: &Path) -> Result<Result<Manifest, String>, BackupError> {
    let manifest = match read_manifest(directory)? {
        Ok(manifest) => manifest,
        Err(problem) => return Ok(Err(format!("{} {}", problem.file, problem.what))),
    };
    for record in &manifest.files {
        match open_listed(&directory.join(&record.name), record)? {
            Ok(file) => {
                let bytes = file
                    .metadata()
                    .map_err(|source| io_error(directory, source))?
                    .len();
                if bytes != record.bytes {
                    return Ok(Err(format!(
                        "{} {}",
                        record.name,
                        size_mismatch(bytes, record.bytes)
                    )));
                }
            }
            Err(problem) => return Ok(Err(format!("{} {}", problem.file, problem.what))),
        }
    }
    Ok(Ok(manifest))
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

fn io_error(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io {
        path: path.to_owned(),
        source,
    }
}

fn failed(path: &Path, problems: Vec<Problem>) -> BackupError {
    BackupError::Failed(VerificationFailed {
        path: path.to_owned(),
        problems,
    })
}

/// Hashes and counts what is read through it.
struct HashingReader {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl HashingReader {
    fn new(file: File) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn compare(&self, record: &FileRecord) -> Option<Problem> {
        if self.bytes != record.bytes {
            return Some(Problem::new(
                &record.name,
                size_mismatch(self.bytes, record.bytes),
            ));
        }
        let found = hex(&self.hash.clone().finalize());
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

    fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.hash.finalize()))
    }
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
