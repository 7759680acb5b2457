//! A journal as it was last stored, and how it is written without overwriting what somebody else wrote.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt as _};

use super::super::retry::RetryBudget;
use super::super::{RENEW_WITHIN, RunError, swap};
use super::content::Content;
use super::{JournalError, Procedure};
use crate::cluster::Cluster;
use crate::report::Reporter;

/// How long an API server that is away is waited for in the middle of a run.
pub(super) const ABSENCE_LIMIT: Duration = Duration::from_mins(5);
/// How often a journal is written again after somebody changed its labels or the like.
const CONFLICTS: u32 = 5;

pub(super) struct StoredJournal<P: Procedure> {
    pub(super) content: Content<P>,
    /// With a deadline of its own for each request.
    cluster: Cluster,
    object: ConfigMap,
}

/// The ConfigMap called `name` as it is now.
pub(super) async fn look(cluster: &Cluster, name: &str) -> Result<Option<ConfigMap>, JournalError> {
    let found = cluster.find(name).await;
    Ok(found.map_err(RunError::cluster(format!("read configmap {name}")))?)
}

impl<P: Procedure> StoredJournal<P> {
    /// Reads the journal called `name`.
    pub(super) async fn read(cluster: &Cluster, name: &str) -> Result<Option<Self>, JournalError> {
        let cluster = cluster.with_deadline(RENEW_WITHIN);
        let Some(object) = look(&cluster, name).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            content: Content::from_config_map(&object)?,
            cluster,
            object,
        }))
    }

    /// What it says now, whoever wrote that.
    pub(super) async fn read_again(&self) -> Result<Option<Content<P>>, JournalError> {
        let found = Self::read(&self.cluster, &self.object.name_any()).await?;
        Ok(found.map(|journal| journal.content))
    }

    /// Begins the journal called `name`, in place of that of the run `before`, which is over.
    pub(super) async fn begin(
        cluster: &Cluster,
        name: &str,
        before: Option<Self>,
        content: Content<P>,
        reporter: &dyn Reporter,
    ) -> Result<Self, JournalError> {
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(content.labels()),
                ..ObjectMeta::default()
            },
            data: Some(content.to_data()?),
            ..ConfigMap::default()
        };
        // A run whose journal cannot be read could never be resumed.
        let content = Content::from_config_map(&object)?;
        if let Some(mut journal) = before {
            journal.write(content, reporter).await?;
            return Ok(journal);
        }
        let cluster = cluster.with_deadline(RENEW_WITHIN);
        let api: Api<ConfigMap> = Api::namespaced(cluster.client().clone(), cluster.namespace());
        let created = cluster.create_object(&api, &object).await;
        let created = match created {
            Err(error) if error.code() == Some(409) => {
                return Err(changed(name, "somebody else, who began one just now"));
            }
            created => created.map_err(RunError::cluster(format!("create configmap {name}")))?,
        };
        // Where the answer was lost, what is found may be somebody else's.
        if created.data != object.data {
            return Err(changed(name, "somebody else, who began one just now"));
        }
        Ok(Self {
            content,
            cluster,
            object: created,
        })
    }

    /// Stores `next` in place of what is there, if that is what was last stored.
    pub(super) async fn write(
        &mut self,
        next: Content<P>,
        reporter: &dyn Reporter,
    ) -> Result<(), JournalError> {
        let name = self.object.name_any();
        let data = next.to_data()?;
        let mut budget = RetryBudget::new(reporter, ABSENCE_LIMIT, "to write the journal");
        for _ in 0..CONFLICTS {
            let mut object = self.object.clone();
            object.data = Some(data.clone());
            object.labels_mut().extend(next.labels());
            let replaced = budget.with(|| swap::replace(&self.cluster, &object)).await;
            let replaced =
                replaced.map_err(RunError::cluster(format!("update configmap {name}")))?;
            if let Some(object) = replaced {
                (self.object, self.content) = (object, next);
                return Ok(());
            }
            let what = format!("read configmap {name} again");
            let found: Option<ConfigMap> = budget
                .with(|| self.cluster.find(&name))
                .await
                .map_err(RunError::cluster(what))?;
            let found = found.filter(|found| found.uid() == self.object.uid());
            let found = found.ok_or_else(|| JournalError::Gone {
                journal: name.clone(),
            })?;
            if found.data.as_ref() == Some(&data) {
                // The request was repeated, because only its answer was lost.
                (self.object, self.content) = (found, next);
                return Ok(());
            }
            if (&found.data, &found.binary_data) != (&self.object.data, &self.object.binary_data) {
                return Err(changed(&name, &self.changed_by(&found)));
            }
            // Somebody put a label on it, or the like.
            self.object = found;
        }
        Err(JournalError::Contended { journal: name })
    }

    /// Who wrote what was found.
    fn changed_by(&self, found: &ConfigMap) -> String {
        if let Ok(theirs) = Content::<P>::from_config_map(found)
            && (theirs.run != self.content.run
                || theirs.holding.epoch != self.content.holding.epoch)
        {
            return format!(
                "{}, running `{}`",
                theirs.holding.writer, theirs.holding.command
            );
        }
        let managers = found.metadata.managed_fields.iter().flatten();
        let last = managers.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        let last = last.and_then(|entry| entry.manager.as_deref());
        last.map_or_else(
            || "somebody else".to_owned(),
            |manager| format!("somebody else, with {manager}"),
        )
    }
}

fn changed(journal: &str, by: &str) -> JournalError {
    JournalError::Changed {
        journal: journal.to_owned(),
        by: by.to_owned(),
    }
}
