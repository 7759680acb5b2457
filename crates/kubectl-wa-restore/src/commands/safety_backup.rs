//! The backup of the current database that a restore takes first.

use anyhow::Context as _;
use backup_places::Bucket;
use backup_set::{DirectoryStore, EncryptedStore, Recipients, Store, ToolRecord};
use store_restore::checks::SafetyPlace;
use store_restore::procedure::{Phase, SafetyBackup, SafetyRecord, begin_phase};
use wa_common::cli::Context;
use wa_common::cluster::Cluster;

/// The backup of the current database.
pub(super) struct Safety<'a> {
    pub(super) place: &'a SafetyPlace,
    /// Where that is in one.
    pub(super) bucket: &'a Bucket,
    /// Who can read it, where it is encrypted.
    pub(super) recipients: Option<Recipients>,
    pub(super) database_bytes: u64,
}

impl Safety<'_> {
    pub(super) async fn take(
        self,
        cluster: &Cluster,
        context: &Context,
        instance: &str,
    ) -> anyhow::Result<SafetyRecord> {
        let step = begin_phase(&*context.reporter, Phase::SafetyBackup);
        let (to, bucket) = (&self.place.to, self.bucket);
        let taken = match bucket.store_to_write(to, self.database_bytes, context)? {
            Some(store) => self.take_into(store, cluster, context, instance).await,
            None => {
                self.take_into(DirectoryStore::new(to), cluster, context, instance)
                    .await
            }
        };
        let safety = taken.context("there is no safety backup, and nothing was stopped")?;
        step.done(safety.path.clone());
        Ok(safety)
    }

    async fn take_into(
        self,
        store: impl Store,
        cluster: &Cluster,
        context: &Context,
        instance: &str,
    ) -> anyhow::Result<SafetyRecord> {
        let tool = ToolRecord {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let reporter = &*context.reporter;
        if let Some(recipients) = self.recipients {
            let store = EncryptedStore::new(store, recipients);
            let backup = SafetyBackup { store, tool };
            return backup.take(cluster, reporter, instance).await;
        }
        let backup = SafetyBackup { store, tool };
        backup.take(cluster, reporter, instance).await
    }
}
