//! The backup that is to be restored.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use backup_set::{
    AUTH_ENCRYPTION_FILE, Backup, BackupError, DUMP_FILE, Intact, Manifest, ServiceInstance,
};
use kube_transfer::PodHandle;
use kube_transfer::file::{UploadEvent, UploadOptions, UploadSource};
use wa_common::report::{Reporter, TransferProgress};

/// A backup that was read from end to end, and is intact.
#[derive(Debug)]
pub struct Source {
    /// The set's directory, or the dump.
    pub path: PathBuf,
    /// The dump itself.
    pub dump: PathBuf,
    /// What is known of it, where it is a set.
    pub manifest: Option<Manifest>,
    /// What is in it.
    pub intact: Intact,
}

impl Source {
    /// Opens and reads it, from the first byte to the last.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let backup = Backup::open(path)?;
        let manifest = backup.manifest().cloned();
        Ok(Self {
            path: path.to_owned(),
            dump: match &manifest {
                Some(_) => path.join(DUMP_FILE),
                None => path.to_owned(),
            },
            intact: backup.verify()?,
            manifest,
        })
    }

    /// The release it was taken on, where it tells.
    pub fn release(&self) -> Option<&str> {
        self.manifest.as_ref()?.release.as_deref()
    }

    /// Its service instances that need a target; an error where they cannot be known.
    pub fn instances(&self) -> anyhow::Result<Vec<ServiceInstance>> {
        let verified = &self.intact.verified;
        ensure!(
            verified.live_instances().is_some(),
            "{} does not tell which service instances are in it: the rows of its table \"tenant\" cannot be read",
            self.dump.display()
        );
        let live = verified.instances.iter().filter(|one| one.is_live());
        Ok(live.cloned().collect())
    }

    /// Puts the dump as `path` into a pod of that name; an error where it is no longer what was read.
    pub(crate) async fn send_dump(
        &self,
        pod: &PodHandle,
        name: &str,
        path: String,
        reporter: &dyn Reporter,
    ) -> anyhow::Result<()> {
        let local = self.dump.display();
        let dump =
            UploadSource::open(&self.dump).with_context(|| format!("cannot read {local}"))?;
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

    /// The file of the set with the auth-encryption secret, where it has one.
    pub fn auth_encryption_file(&self) -> Option<PathBuf> {
        let files = self.manifest.as_ref()?.files();
        let has = files.iter().any(|file| file.name == AUTH_ENCRYPTION_FILE);
        has.then(|| self.path.join(AUTH_ENCRYPTION_FILE))
    }
}
