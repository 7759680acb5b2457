//! A file that a manifest lists, read against what that says of it; decrypted where it is encrypted and there is a key.

use std::io::{self, Read};
use std::path::Path;

use human_text::printable;
use transfer_proof::{Hasher, Measured};

use crate::encryption::{Broken, Decrypted, Identities, SUFFIX};
use crate::error::{BackupError, io_error};
use crate::store::{FileState, StoredSet};
use crate::verdict::Problem;
use crate::{FileRecord, MANIFEST_FILE};

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A listed file that is being read: yields its plaintext where there is a key, else what is stored.
pub(crate) struct Listed<'a> {
    set: &'a dyn StoredSet,
    record: &'a FileRecord,
    content: Content,
}

enum Content {
    Stored(HashingReader<Box<dyn Read + Send>>),
    Encrypted(HashingReader<Decrypted>),
}

impl FileRecord {
    /// Whether it is encrypted, in a way that this tool knows.
    pub fn is_encrypted(&self) -> bool {
        !self.is_stored_plain() && self.name.ends_with(SUFFIX)
    }
}

impl<'a> Listed<'a> {
    /// Opens the file; the inner error is what is wrong with the backup.
    pub(crate) fn open(
        set: &'a dyn StoredSet,
        record: &'a FileRecord,
        identities: Option<&Identities>,
    ) -> Result<Result<Self, Problem>, BackupError> {
        if let Err(problem) = size_of_listed(set, record)? {
            return Ok(Err(problem));
        }
        let path = || set.location().join(&record.name);
        let file = set
            .read(&record.name)
            .map_err(|source| io_error(&path(), source))?;
        let content = match identities.filter(|_| record.is_encrypted()) {
            None => Content::Stored(HashingReader::new(file)),
            Some(identities) => match Decrypted::new(file, identities) {
                Ok(decrypted) => Content::Encrypted(HashingReader::new(decrypted)),
                Err(Broken::Unread(source)) => return Err(io_error(&path(), source)),
                Err(Broken::NoKey(stored)) => {
                    return match compare_stored(stored, record) {
                        Some(problem) => Ok(Err(problem)),
                        None => Err(BackupError::NoKey { path: path() }),
                    };
                }
                Err(Broken::Damaged(why, stored)) => {
                    let problem = compare_stored(stored, record);
                    return Ok(Err(problem.unwrap_or_else(|| undecryptable(record, &why))));
                }
            },
        };
        Ok(Ok(Self {
            set,
            record,
            content,
        }))
    }

    /// Reads the rest. What was read in all, and how the file differs from its record.
    pub(crate) fn conclude(self) -> Result<(Measured, Vec<Problem>), BackupError> {
        let record = self.record;
        let failed = |source| io_error(&self.set.location().join(&record.name), source);
        match self.content {
            Content::Stored(mut reader) => {
                reader.drain().map_err(failed)?;
                let measured = reader.measured();
                Ok((
                    measured,
                    compare_stored(measured, record).into_iter().collect(),
                ))
            }
            Content::Encrypted(mut reader) => {
                let drained = reader.drain();
                let plaintext = reader.measured();
                let stored = reader.source.finish().map_err(failed)?;
                let problem = match (compare_stored(stored, record), drained) {
                    (Some(problem), _) => Some(problem),
                    (None, Err(error)) => Some(undecryptable(record, &error.to_string())),
                    (None, Ok(())) => compare_plaintext(plaintext, record),
                };
                Ok((plaintext, problem.into_iter().collect()))
            }
        }
    }
}

impl Read for Listed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Stored(reader) => reader.read(buffer),
            Content::Encrypted(reader) => reader.read(buffer),
        }
    }
}

/// Reads a file that the manifest lists against what that says of it.
pub(crate) fn check_file(
    set: &dyn StoredSet,
    record: &FileRecord,
    identities: Option<&Identities>,
) -> Result<Vec<Problem>, BackupError> {
    match Listed::open(set, record, identities)? {
        Ok(listed) => Ok(listed.conclude()?.1),
        Err(problem) => Ok(vec![problem]),
    }
}

/// The size of a file that the manifest lists; the inner error is what is wrong with the backup.
pub(crate) fn size_of_listed(
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

pub(crate) fn size_mismatch(bytes: u64, promised: u64) -> String {
    if bytes < promised {
        format!("is truncated: it ends at byte {bytes}, {MANIFEST_FILE} says {promised}")
    } else {
        format!(
            "has {bytes} bytes, {MANIFEST_FILE} says {promised}: something was added after byte {promised}"
        )
    }
}

pub(crate) fn compare_stored(found: Measured, record: &FileRecord) -> Option<Problem> {
    if found.bytes() != record.bytes {
        let what = size_mismatch(found.bytes(), record.bytes);
        return Some(Problem::new(&record.name, what));
    }
    let hash = found.sha256().to_string();
    (!hash.eq_ignore_ascii_case(&record.sha256)).then(|| {
        Problem::new(
            &record.name,
            format!(
                "its SHA-256 is {hash}, {MANIFEST_FILE} says {}: its content has changed",
                printable(&record.sha256)
            ),
        )
    })
}

fn compare_plaintext(found: Measured, record: &FileRecord) -> Option<Problem> {
    let promised = record.plaintext.as_ref()?;
    let hash = found.sha256().to_string();
    let is_it = found.bytes() == promised.bytes && hash.eq_ignore_ascii_case(&promised.sha256);
    (!is_it).then(|| {
        let what = format!(
            "what comes out of it has {} bytes and the SHA-256 {hash}, {MANIFEST_FILE} says {} and {}",
            found.bytes(),
            promised.bytes,
            printable(&promised.sha256)
        );
        Problem::new(&record.name, what)
    })
}

pub(crate) fn undecryptable(record: &FileRecord, why: &str) -> Problem {
    let why = printable(why);
    Problem::new(&record.name, format!("cannot be decrypted: {why}"))
}

/// Hashes and counts what is read through it.
pub(crate) struct HashingReader<R> {
    source: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            hasher: Hasher::default(),
        }
    }

    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    pub(crate) fn measured(&self) -> Measured {
        self.hasher.measured()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
