//! The backup that is to be restored. Of one that is encrypted, or elsewhere, the plaintext is read as a stream, and is on no
//! disk here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use backup_set::{
    Backup, BackupError, DUMP_FILE, FileRole, Identities, Intact, Manifest, Places, Recorded,
    Rehearsal, ServiceInstance, TableRecord, ThisMachine,
};
use jiff::Timestamp;
use kube_transfer::PodHandle;
use kube_transfer::file::{UploadEvent, UploadOptions, UploadSource};
use pg_archive::{Header, Visitor};
use wa_common::report::{Reporter, TransferProgress};

use crate::encryption_key::KeyValue;

/// How backups are opened: where they may be, and the keys to read them with where they are encrypted.
#[derive(Debug, Clone)]
pub struct Opener {
    /// Where they may be.
    pub places: Arc<dyn Places>,
    /// The keys.
    pub identities: Option<Identities>,
}

/// A backup as it lies there, not read yet.
#[derive(Debug, Clone)]
pub struct OpenedBackup(Arc<Backup>);

/// A backup that was read from end to end, and is intact.
#[derive(Debug)]
pub struct Source {
    /// The set's directory, or the dump.
    pub path: PathBuf,
    /// What is in it.
    pub intact: Intact,
    opened: OpenedBackup,
}

/// A backup as it must be known before a restore is begun. One that is on this machine was read from end to end. Of one that
/// is elsewhere, and was verified when it was made, header and table of contents were: whether it is what was verified, its
/// SHA-256 tells when it is in the pod, while production still runs.
#[derive(Debug)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// The size of its dump in bytes.
    pub bytes: u64,
    /// The SHA-256 of its dump.
    pub sha256: String,
    /// The header of its dump.
    pub header: Header,
    /// `5 tables, 1204 rows, 3 service instances`
    pub counts: String,
    /// What there is to know of it.
    pub remarks: Vec<String>,
    /// When it was verified, where that was not done just now.
    pub verified_at: Option<Timestamp>,
    tables: Vec<TableRecord>,
    /// None where they cannot be counted.
    live: Option<Vec<ServiceInstance>>,
    opened: OpenedBackup,
}

impl Opener {
    /// Of what is at these places; `identities` are the keys, where some are given.
    pub fn new(places: impl Places + 'static, identities: Option<Identities>) -> Self {
        Self {
            places: Arc::new(places),
            identities,
        }
    }

    /// Of what is on this machine and not encrypted.
    pub fn local() -> Self {
        Self::new(ThisMachine, None)
    }
}

impl OpenedBackup {
    /// Opens it.
    pub fn open(opener: &Opener, path: &Path) -> Result<Self, BackupError> {
        let backup = opener.places.open(path, opener.identities.as_ref())?;
        Ok(Self(Arc::new(backup)))
    }

    /// The file with the dump.
    pub(crate) fn dump_path(&self) -> &Path {
        self.0.dump_path()
    }

    /// The plaintext of the dump.
    pub(crate) fn open_dump(&self) -> Result<Box<dyn Read + Send>, BackupError> {
        self.0.open_dump()
    }

    /// The dump, of `bytes` in plaintext, to be sent.
    pub(crate) fn upload_source(&self, bytes: u64) -> anyhow::Result<UploadSource> {
        if let Some(local) = self.0.local_dump() {
            return UploadSource::open(&local)
                .with_context(|| format!("cannot read {}", local.display()));
        }
        // That there is no key is told before anything is sent.
        self.0.open_dump()?;
        let backup = Arc::clone(&self.0);
        if self.0.is_encrypted() {
            return Ok(UploadSource::reopened(bytes, move || {
                backup.open_dump().map_err(io::Error::other)
            }));
        }
        Ok(UploadSource::reopened_at(bytes, move |offset| {
            let dump = backup.open_dump_from(offset).map_err(io::Error::other)?;
            dump.ok_or_else(|| io::ErrorKind::Unsupported.into())
        }))
    }

    /// The encryption key that is in the set, where it has one.
    pub(crate) fn key(&self) -> anyhow::Result<Option<KeyValue>> {
        let opened = self.0.open_file(&FileRole::AuthEncryption)?;
        opened
            .map(|(path, file)| KeyValue::read(file, &path))
            .transpose()
    }
}

impl Source {
    /// Opens and reads it, from the first byte to the last.
    pub fn read(how: &Opener, path: &Path) -> Result<Self, BackupError> {
        Self::read_with(how, path, &mut ())
    }

    /// As [`Self::read`]; meanwhile `visitor` is shown the rows of the tables that it wants.
    pub fn read_with(
        how: &Opener,
        path: &Path,
        visitor: &mut impl Visitor,
    ) -> Result<Self, BackupError> {
        let opened = OpenedBackup::open(how, path)?;
        Ok(Self {
            path: path.to_owned(),
            intact: opened.0.verify_with(visitor)?,
            opened,
        })
    }

    /// The file with the dump.
    pub fn dump_path(&self) -> &Path {
        self.opened.dump_path()
    }

    /// The dump on this machine, for a program that reads it itself; none where it is elsewhere or encrypted.
    pub(crate) fn local_dump(&self) -> Option<PathBuf> {
        self.opened.0.local_dump()
    }

    /// What it was read from.
    pub(crate) fn opened(&self) -> OpenedBackup {
        self.opened.clone()
    }

    /// Whether its dump is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.opened.0.is_encrypted()
    }

    /// Its service instances that need a target; an error where they cannot be known.
    pub fn instances(&self) -> anyhow::Result<Vec<ServiceInstance>> {
        require_counted(live(&self.intact), self.dump_path())
    }

    /// Puts what came of a trial beside the manifest, where it is a set.
    pub fn keep_rehearsal(&self, rehearsal: &Rehearsal) -> io::Result<()> {
        self.opened.0.keep_rehearsal(rehearsal).map(drop)
    }

    /// Puts the dump as `path` into a pod of that name; an error where it is no longer what was read.
    pub(crate) async fn send_dump(
        &self,
        pod: &PodHandle,
        name: &str,
        path: String,
        reporter: &dyn Reporter,
    ) -> anyhow::Result<()> {
        let local = self.dump_path().display();
        let dump = self.opened.upload_source(self.intact.bytes)?;
        let shown = TransferProgress::begin(reporter, DUMP_FILE, Some(dump.bytes()), None);
        let uploaded = pod
            .file(path)
            .upload(&dump, &UploadOptions::default(), |event| {
                if let UploadEvent::Progress { bytes } = event {
                    shown.received(bytes);
                }
            })
            .await
            .with_context(|| format!("cannot send {local} to pod {name}"))?;
        ensure!(
            uploaded
                .sha256()
                .to_string()
                .eq_ignore_ascii_case(&self.intact.sha256),
            "{local} was changed since it was read"
        );
        Ok(())
    }
}

impl Candidate {
    /// The size of the rows of all tables, uncompressed, as COPY writes them.
    pub fn table_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Opens it, and reads as much of it as it must be.
    pub fn read(how: &Opener, path: &Path) -> Result<Self, BackupError> {
        let opened = OpenedBackup::open(how, path)?;
        if !opened.0.is_here()
            && let Some(recorded) = opened.0.recorded()?
        {
            return Ok(Self::from_recorded(path, recorded, opened));
        }
        let intact = opened.0.verify()?;
        Ok(Self::from_intact(path, &intact, opened))
    }

    fn from_intact(path: &Path, intact: &Intact, opened: OpenedBackup) -> Self {
        let verified = &intact.verified;
        Self {
            path: path.to_owned(),
            bytes: intact.bytes,
            sha256: intact.sha256.clone(),
            header: verified.contents.header.clone(),
            counts: verified.to_string(),
            remarks: verified.remarks.iter().map(ToString::to_string).collect(),
            verified_at: None,
            tables: TableRecord::from_contents(&verified.contents),
            live: live(intact),
            opened,
        }
    }

    fn from_recorded(path: &Path, recorded: Recorded, opened: OpenedBackup) -> Self {
        let counted = recorded.live_instances.is_some();
        Self {
            path: path.to_owned(),
            bytes: recorded.bytes,
            counts: recorded.to_string(),
            remarks: Vec::new(),
            verified_at: Some(recorded.verified_at),
            live: counted.then(|| of_users(&recorded.instances)),
            sha256: recorded.sha256,
            header: recorded.header,
            tables: recorded.tables,
            opened,
        }
    }

    /// What is known of it, where it is a set.
    fn manifest(&self) -> Option<&Manifest> {
        self.opened.0.manifest()
    }

    /// Whether its dump is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.opened.0.is_encrypted()
    }

    /// The release it was taken on, where it tells.
    pub fn release(&self) -> Option<&str> {
        self.manifest()?.release.as_deref()
    }

    /// The file with the dump.
    pub fn dump_path(&self) -> &Path {
        self.opened.dump_path()
    }

    /// How many rows the table has, where that is known.
    pub(crate) fn rows(&self, table: &str) -> Option<u64> {
        self.tables.iter().find(|one| one.name == table)?.rows
    }

    /// Its service instances that need a target; an error where they cannot be known.
    pub fn instances(&self) -> anyhow::Result<Vec<ServiceInstance>> {
        require_counted(self.live.clone(), self.dump_path())
    }

    /// The encryption key that is in the set, where it has one.
    pub(crate) fn key(&self) -> anyhow::Result<Option<KeyValue>> {
        self.opened.key()
    }

    /// The file of the set with the auth-encryption secret, where it has one.
    pub fn auth_encryption_file(&self) -> Option<PathBuf> {
        let files = self.manifest()?.files();
        let found = files
            .iter()
            .find(|file| file.role == FileRole::AuthEncryption)?;
        Some(self.path.join(&found.name))
    }
}

fn of_users(instances: &[ServiceInstance]) -> Vec<ServiceInstance> {
    let live = instances.iter().filter(|one| one.is_live());
    live.cloned().collect()
}

/// The service instances that need a target; none where they cannot be counted.
fn live(intact: &Intact) -> Option<Vec<ServiceInstance>> {
    let verified = &intact.verified;
    verified
        .live_instances()
        .map(|_| of_users(&verified.instances))
}

fn require_counted(
    live: Option<Vec<ServiceInstance>>,
    dump: &Path,
) -> anyhow::Result<Vec<ServiceInstance>> {
    live.with_context(|| {
        format!(
            "{} does not tell which service instances are in it: the rows of its table \"tenant\" cannot be read",
            dump.display()
        )
    })
}
