//! The backup that is to be restored. Of an encrypted one the plaintext is read as a stream, and is on no disk here.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use backup_set::{
    Backup, BackupError, DUMP_FILE, FileRole, Identities, Intact, Manifest, ServiceInstance,
};
use kube_transfer::PodHandle;
use kube_transfer::file::{UploadEvent, UploadOptions, UploadSource};
use wa_common::report::{Reporter, TransferProgress};

use crate::encryption_key::KeyValue;

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

impl OpenedBackup {
    /// Opens it; `identities` are the keys to read it with, where it is encrypted.
    pub fn open(path: &Path, identities: Option<&Identities>) -> Result<Self, BackupError> {
        Ok(Self(Arc::new(Backup::open_with(path, identities)?)))
    }

    /// The file with the dump.
    pub(crate) fn dump_path(&self) -> &Path {
        self.0.dump_path()
    }

    /// The dump, of `bytes` in plaintext, to be sent.
    pub(crate) fn upload_source(&self, bytes: u64) -> anyhow::Result<UploadSource> {
        let dump = self.dump_path();
        if !self.0.is_encrypted() {
            return UploadSource::open(dump)
                .with_context(|| format!("cannot read {}", dump.display()));
        }
        // That there is no key is told before anything is sent.
        self.0.open_dump()?;
        let backup = Arc::clone(&self.0);
        Ok(UploadSource::reopened(bytes, move || {
            backup.open_dump().map_err(io::Error::other)
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
    pub fn read(path: &Path, identities: Option<&Identities>) -> Result<Self, BackupError> {
        let opened = OpenedBackup::open(path, identities)?;
        Ok(Self {
            path: path.to_owned(),
            intact: opened.0.verify()?,
            opened,
        })
    }

    /// What is known of it, where it is a set.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.opened.0.manifest()
    }

    /// The file with the dump.
    pub fn dump_path(&self) -> &Path {
        self.opened.dump_path()
    }

    /// Whether its dump is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.opened.0.is_encrypted()
    }

    /// The release it was taken on, where it tells.
    pub fn release(&self) -> Option<&str> {
        self.manifest()?.release.as_deref()
    }

    /// Its service instances that need a target; an error where they cannot be known.
    pub fn instances(&self) -> anyhow::Result<Vec<ServiceInstance>> {
        let verified = &self.intact.verified;
        ensure!(
            verified.live_instances().is_some(),
            "{} does not tell which service instances are in it: the rows of its table \"tenant\" cannot be read",
            self.dump_path().display()
        );
        let live = verified.instances.iter().filter(|one| one.is_live());
        Ok(live.cloned().collect())
    }

    /// What reads the dump once more, on another thread.
    pub(crate) fn dump_reader(
        &self,
    ) -> impl FnOnce() -> Result<Box<dyn Read + Send>, BackupError> + Send + use<> {
        let OpenedBackup(backup) = self.opened.clone();
        move || backup.open_dump()
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

    /// The encryption key that is in the set, where it has one.
    pub fn key(&self) -> anyhow::Result<Option<KeyValue>> {
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
