//! Another restore of the same instance, which is not over.

use store_restore::checks::Checked;
use store_restore::procedure::Restore;
use wa_common::cluster::Cluster;
use wa_common::run::journal::{FoundState, JournalError, JournaledRun, Procedure as _};

/// Adds to what was checked whether there is one. Where there is no instance, the other conditions say so.
pub(super) async fn check(cluster: &Cluster, checked: &mut Checked) {
    let Some(instance) = &checked.facts.instance else {
        return;
    };
    let look = async |()| require_none(cluster, &instance.name).await;
    let detail = |(): &()| "none that is not over".to_owned();
    checked
        .conditions
        .check("other restores", (), look, detail)
        .await;
}

/// Refuses where a run on the instance is not over, before the user is asked anything.
pub(super) async fn require_none(cluster: &Cluster, instance: &str) -> anyhow::Result<()> {
    let Some(found) = JournaledRun::<Restore>::find(cluster, instance).await? else {
        return Ok(());
    };
    let namespace = cluster.namespace().to_owned();
    let journal = format!("{}-{instance}", Restore::PLUGIN);
    match found.state() {
        FoundState::Done | FoundState::Undone => Ok(()),
        FoundState::Running { holder, since, .. } => Err(JournalError::Held {
            lock: journal,
            namespace,
            holder: holder.clone(),
            since: *since,
            command: found.command().to_owned(),
        }
        .into()),
        FoundState::Stopped => Err(JournalError::Unfinished {
            run: found.run_id().to_owned(),
            journal,
            command: found.command().to_owned(),
            advice: Restore::advice(found.plan(), &namespace),
            namespace,
        }
        .into()),
    }
}
