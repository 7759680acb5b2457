//! Reading a backup back, and finding out whether it is intact.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use human_text::printable;
use pg_archive::{Archive, Visitor};
use transfer_proof::Measured;

use crate::both::Both;
use crate::encryption::{Broken, Decrypted};
use crate::error::{BackupError, io_error};
use crate::listed::{
    HashingReader, Listed, check_file, size_mismatch, size_of_listed, undecryptable,
};
use crate::manifest_file::{Unusable, read_full_manifest, read_manifest};
use crate::store::StoredSet;
use crate::verdict::Problem;
use crate::{
    DUMP_FILE, DirectorySet, FileRecord, FileRole, Identities, MANIFEST_FILE, Manifest, NotJudged,
    Rehearsal, TenantRows, Verdict, VerificationFailed, Verified,
};

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// A backup: a set, wherever it is kept, or a dump on this machine that stands alone.
#[derive(Debug)]
pub struct Backup {
    pub(crate) path: PathBuf,
    pub(crate) dump: PathBuf,
    /// None where it is a dump that stands alone.
    pub(crate) set: Option<(Box<dyn StoredSet + Send + Sync>, Manifest)>,
    /// The keys to read it with, where it is encrypted.
    identities: Option<Identities>,
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
        Self::open_with(path, None)
    }

    /// As [`Self::open`], with the keys to read it with where it is encrypted.
    pub fn open_with(path: &Path, identities: Option<&Identities>) -> Result<Self, BackupError> {
        let metadata = fs::metadata(path).map_err(|source| io_error(path, source))?;
        if !metadata.is_dir() {
            return Ok(Self {
                path: path.to_owned(),
                dump: path.to_owned(),
                set: None,
                identities: None,
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
        Self::with_manifest(Box::new(set), manifest, identities)
    }

    /// Opens a set, wherever it is kept.
    pub fn open_set(
        set: Box<dyn StoredSet + Send + Sync>,
        identities: Option<&Identities>,
    ) -> Result<Self, BackupError> {
        match read_manifest(&*set)? {
            Ok(manifest) => Self::with_manifest(set, manifest, identities),
            Err(unusable) => Err(unusable.into_error(&*set)),
        }
    }

    fn with_manifest(
        set: Box<dyn StoredSet + Send + Sync>,
        manifest: Manifest,
        identities: Option<&Identities>,
    ) -> Result<Self, BackupError> {
        let path = set.location().to_owned();
        let manifest = match identities {
            None => manifest,
            Some(identities) => match read_full_manifest(&*set, manifest, identities)? {
                Ok(manifest) => manifest,
                Err(problem) => return Err(failed(&path, vec![problem])),
            },
        };
        let dump = dump_of(&manifest).map_or(DUMP_FILE, |record| &record.name);
        Ok(Self {
            dump: path.join(dump),
            path,
            set: Some((set, manifest)),
            identities: identities.cloned(),
        })
    }

    /// The manifest, where it is a set.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.set.as_ref().map(|(_, manifest)| manifest)
    }

    /// What came of the last trial to restore it, where it is a set.
    pub fn rehearsal(&self) -> Option<Rehearsal> {
        let (set, manifest) = self.set.as_ref()?;
        Rehearsal::of_stored(&**set, manifest)
    }

    /// The file with the dump, which may be encrypted.
    pub fn dump_path(&self) -> &Path {
        &self.dump
    }

    /// Whether it is a set whose dump is encrypted.
    pub fn is_encrypted(&self) -> bool {
        let record = self.manifest().and_then(dump_of);
        record.is_some_and(FileRecord::is_encrypted)
    }

    /// Whether it is on this machine, so that reading it is cheap.
    pub fn is_here(&self) -> bool {
        let set = self.set.as_ref();
        set.is_none_or(|(set, _)| set.local_path(MANIFEST_FILE).is_some())
    }

    /// The dump's path on this machine, for what must have one; none where it is not here, or is not its plaintext.
    pub fn local_dump(&self) -> Option<PathBuf> {
        let Some((set, manifest)) = &self.set else {
            return Some(self.dump.clone());
        };
        let record = dump_of(manifest).filter(|record| record.is_stored_plain())?;
        set.local_path(&record.name)
    }

    /// The plaintext of the dump from byte `offset` on, of which nothing before is read; none where that is not possible,
    /// since it is encrypted or alone.
    pub fn open_dump_from(&self, offset: u64) -> Result<Option<Box<dyn Read + Send>>, BackupError> {
        let (Some((set, _)), Some(record)) = (&self.set, self.manifest().and_then(dump_of)) else {
            return Ok(None);
        };
        if !record.is_stored_plain() {
            return Ok(None);
        }
        let read = set.read_range(&record.name, offset..record.bytes);
        read.map(Some)
            .map_err(|source| io_error(&set.location().join(&record.name), source))
    }

    /// Puts what came of a trial beside the manifest, where it is a set; whether it is one.
    pub fn keep_rehearsal(&self, rehearsal: &Rehearsal) -> io::Result<bool> {
        let Some((set, _)) = &self.set else {
            return Ok(false);
        };
        rehearsal.put(&**set)?;
        Ok(true)
    }

    /// The plaintext of the dump. Whether it is what was dumped, [`verify`](Self::verify) tells.
    pub fn open_dump(&self) -> Result<Box<dyn Read + Send>, BackupError> {
        if let (Some((set, _)), Some(record)) = (&self.set, self.manifest().and_then(dump_of)) {
            return self.open_plaintext(&**set, record);
        }
        let file = File::open(&self.dump);
        Ok(Box::new(
            file.map_err(|source| io_error(&self.dump, source))?,
        ))
    }

    /// The file of the set that plays this part, and its plaintext; none where there is none.
    pub fn open_file(&self, role: &FileRole) -> Result<Option<OpenedFile>, BackupError> {
        let Some((set, manifest)) = &self.set else {
            return Ok(None);
        };
        let Some(record) = manifest.files.iter().find(|record| record.role == *role) else {
            return Ok(None);
        };
        let plaintext = self.open_plaintext(&**set, record)?;
        Ok(Some((set.location().join(&record.name), plaintext)))
    }

    /// Whether what is stored is not the plaintext, and does not become it with the keys there are.
    fn is_closed(&self, record: &FileRecord) -> bool {
        !record.is_stored_plain() && (self.identities.is_none() || !record.is_encrypted())
    }

    fn open_plaintext(
        &self,
        set: &dyn StoredSet,
        record: &FileRecord,
    ) -> Result<Box<dyn Read + Send>, BackupError> {
        let path = || set.location().join(&record.name);
        if let Err(problem) = size_of_listed(set, record)? {
            return Err(failed(&self.path, vec![problem]));
        }
        let keys = self.identities.as_ref();
        if self.is_closed(record) {
            return Err(closed(&self.path, record, false).into());
        }
        let stored = set.read(&record.name);
        let stored = stored.map_err(|source| io_error(&path(), source))?;
        let Some(keys) = keys.filter(|_| record.is_encrypted()) else {
            return Ok(stored);
        };
        match Decrypted::new(stored, keys) {
            Ok(decrypted) => Ok(Box::new(BufReader::with_capacity(
                READ_BUFFER_BYTES,
                decrypted,
            ))),
            Err(Broken::Unread(source)) => Err(io_error(&path(), source)),
            Err(Broken::NoKey(_)) => Err(BackupError::NoKey { path: path() }),
            Err(Broken::Damaged(why, _)) => {
                Err(failed(&self.path, vec![undecryptable(record, &why)]))
            }
        }
    }

    /// Reads everything: sizes and hashes against the manifest, and every data block of the dump.
    pub fn verify(&self) -> Result<Intact, BackupError> {
        self.verify_with(&mut ())
    }

    /// As [`Self::verify`]; meanwhile `visitor` is shown the rows of the tables that it wants.
    pub fn verify_with(&self, visitor: &mut impl Visitor) -> Result<Intact, BackupError> {
        let mut problems = Vec::new();
        let keys = self.identities.as_ref();
        let dump_record = self.manifest().and_then(dump_of);
        for (set, record) in self.listed() {
            if Some(record) != dump_record {
                problems.extend(check_file(set, record, keys)?);
            }
        }
        if self.set.is_some() && dump_record.is_none() {
            problems.push(Problem::new(
                MANIFEST_FILE,
                format!("does not list {DUMP_FILE}"),
            ));
        }
        let closed_dump = dump_record.filter(|record| self.is_closed(record));
        if let (Some((set, _)), Some(record)) = (&self.set, closed_dump) {
            problems.extend(check_file(&**set, record, None)?);
            return Err(if problems.is_empty() {
                closed(&self.path, record, true).into()
            } else {
                failed(&self.path, problems)
            });
        }
        let Some((read, mismatch)) = self.read_dump(dump_record, &mut problems, visitor)? else {
            return Err(failed(&self.path, problems));
        };
        problems.extend(mismatch);
        let is_encrypted = dump_record.is_some_and(FileRecord::is_encrypted);
        match read.verdict {
            Verdict::Failed(fault) => {
                let failed = VerificationFailed::at_rest(&self.path, &self.dump, &fault, problems);
                Err(if is_encrypted {
                    failed.without_repair()
                } else {
                    failed
                }
                .into())
            }
            Verdict::NotJudged(why) if !problems.is_empty() => {
                problems.push(Problem::new(DUMP_FILE, why));
                Err(failed(&self.path, problems))
            }
            // What cannot be decrypted is not read to its end.
            Verdict::Intact(_) | Verdict::Unread(_) if !problems.is_empty() => {
                Err(failed(&self.path, problems))
            }
            Verdict::Unread(source) => Err(io_error(&self.dump, source)),
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
        sets.flat_map(|(set, manifest)| {
            let set: &dyn StoredSet = &**set;
            manifest.files.iter().map(move |record| (set, record))
        })
    }

    /// One pass over the dump: hash and archive together. The second value is how it differs from its record. None where
    /// the set has no such file, which is then among the problems.
    fn read_dump(
        &self,
        record: Option<&FileRecord>,
        problems: &mut Vec<Problem>,
        visitor: &mut impl Visitor,
    ) -> Result<Option<(ReadDump, Vec<Problem>)>, BackupError> {
        if let (Some((set, _)), Some(record)) = (&self.set, record) {
            let mut listed = match Listed::open(&**set, record, self.identities.as_ref())? {
                Ok(listed) => listed,
                Err(problem) => {
                    problems.push(problem);
                    return Ok(None);
                }
            };
            let verdict = judge(&mut listed, visitor);
            // The hash is of the whole file, also after the place where the archive broke off.
            let (measured, mismatch) = listed.conclude()?;
            return Ok(Some((ReadDump { verdict, measured }, mismatch)));
        }
        let unread = |source| io_error(&self.dump, source);
        let mut reader = HashingReader::new(File::open(&self.dump).map_err(unread)?);
        let verdict = judge(&mut reader, visitor);
        reader.drain().map_err(unread)?;
        let measured = reader.measured();
        Ok(Some((ReadDump { verdict, measured }, Vec::new())))
    }
}

/// Where a file of a set is, and its plaintext.
pub type OpenedFile = (PathBuf, Box<dyn Read + Send>);

/// A file that cannot be read without a key, or not by this tool at all.
fn closed(path: &Path, record: &FileRecord, as_recorded: bool) -> NotJudged {
    let why = |what| format!("{} {what}", printable(&record.name));
    if record.is_encrypted() {
        NotJudged::encrypted(path, why(ENCRYPTED), as_recorded)
    } else {
        NotJudged::new(path, why(ENCODED), as_recorded)
    }
}

/// The dump that a manifest lists.
pub(crate) fn dump_of(manifest: &Manifest) -> Option<&FileRecord> {
    let mut files = manifest.files.iter();
    files.find(|record| record.role == FileRole::StoreDump)
}

/// Walks the archive.
fn judge(mut reader: impl Read, visitor: &mut impl Visitor) -> Verdict {
    let mut tenants = TenantRows::default();
    let mut both = Both::new(&mut tenants, visitor);
    let read = Archive::open(&mut reader).and_then(|archive| archive.verify_with(&mut both));
    Verdict::from_read(read, tenants)
}

/// A dump that was read from end to end.
struct ReadDump {
    verdict: Verdict,
    measured: Measured,
}

const DIRECTORY_DUMP: &str = "it is a directory-format dump (`pg_dump -Fd`), which pg_restore reads and this tool does not; \
     a dump for it, and for IBM's restore, is made with `pg_dump -Fc`";

const ENCRYPTED: &str =
    "is encrypted, and no key was given to read it with (`age -d` gets the plaintext out of it)";

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
        if let Some(problem) = odd_size(set, record)? {
            return Ok(corrupt(problem));
        }
    }
    Ok(SetState::Complete(Box::new(manifest)))
}

/// What is wrong with a file, as far as its size tells.
pub(crate) fn odd_size(
    set: &dyn StoredSet,
    record: &FileRecord,
) -> Result<Option<Problem>, BackupError> {
    Ok(match size_of_listed(set, record)? {
        Err(problem) => Some(problem),
        Ok(bytes) if bytes == record.bytes => None,
        Ok(bytes) => {
            let what = size_mismatch(bytes, record.bytes);
            Some(Problem::new(&record.name, what))
        }
    })
}

pub(crate) fn failed(path: &Path, problems: Vec<Problem>) -> BackupError {
    VerificationFailed::new(path, problems).into()
}

pub(crate) fn not_judged(path: &Path, why: String) -> BackupError {
    NotJudged::new(path, why, false).into()
}
