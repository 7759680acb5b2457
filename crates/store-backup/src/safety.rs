//! The backup that is taken before something is changed, in order to be able to go back.

use backup_set::{Purpose, Store, ToolRecord};
use wa_common::cluster::Cluster;
use wa_common::report::{Reporter, Steps};

use crate::backup::{Backup, BackupOptions, StoredBackup};
use crate::preflight::prepare;

/// Takes a verified backup of `instance` into a set in `store` that is marked as a safety backup, so that nobody takes
/// it for the latest one to restore. Fails where its dump is broken; one that cannot be judged is kept, and whoever calls
/// decides by [`StoredBackup::judged`] whether to go on. Whether there is room, whoever calls has looked at.
pub async fn take_safety_backup(
    cluster: &Cluster,
    reporter: &dyn Reporter,
    instance: &str,
    store: &impl Store,
    tool: ToolRecord,
) -> anyhow::Result<StoredBackup> {
    let steps = Steps::new(reporter);
    let ready = prepare(cluster, reporter, &steps, Some(instance), None).await?;
    let options = BackupOptions {
        purpose: Purpose::Safety,
        ..BackupOptions::new(tool)
    };
    Backup::new(cluster, reporter, &steps, &ready, &options)?
        .to_set(store)
        .await
}
