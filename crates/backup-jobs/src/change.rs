//! Changing settings of the nightly backup, and seeing whether they stay changed.
//!
//! By server-side apply with our field manager, so that the CronJob says who set what. A manager that applies less than
//! before gives the rest up, which would then be removed: what is ours already is applied again as it is.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use wa_common::assistant::{BackupCronJob, Instance, Schedule};
use wa_common::cluster::{Cluster, ClusterError, Probe, Wait, WaitError};
use wa_common::preflight::Preflight;
use wa_common::report::Reporter;

use crate::missed::due_on_resume;
use crate::permissions::to_change_schedule;
use crate::settings::{Setting, SettingName};
use crate::trigger::cron_job_of;

/// Who a CronJob says has set what we set.
pub const FIELD_MANAGER: &str = "kubectl-wa-backup";
/// How often is looked whether a change is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A setting that is to be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub name: SettingName,
    /// What it is to be.
    pub value: String,
}

/// A setting and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// As IBM's page calls it.
    pub name: &'static str,
    /// Where it stands in the CronJob.
    #[serde(rename = "where")]
    pub place: String,
    /// What it is now.
    pub old: Option<String>,
    /// What it is to be.
    pub new: String,
}

/// Settings that can be changed.
pub struct ScheduleChange {
    cluster: Cluster,
    instance: Instance,
    cron_job: BackupCronJob,
    wishes: Vec<Wish>,
    changes: Vec<SettingChange>,
    configuration: Value,
}

/// A setting that somebody has set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reverted {
    /// As IBM's page calls it.
    pub name: &'static str,
    /// What it was set to.
    pub wanted: String,
    /// What it is now.
    pub found: Option<String>,
    /// Who wrote the CronJob last, as it says.
    pub by: Option<String>,
}

impl ScheduleChange {
    /// Looks at what is to be changed; an error names everything that cannot be.
    pub async fn prepare(
        cluster: &Cluster,
        instance: Option<&str>,
        wishes: Vec<Wish>,
    ) -> anyhow::Result<Self> {
        let mut conditions = Preflight::default();
        let needed = to_change_schedule(instance.is_some());
        let permissions = conditions.permissions((), cluster, &needed).await;
        let instance = conditions.instance(&permissions, cluster, instance).await;
        let look = async |instance: &Instance| cron_job_of(cluster, instance).await;
        let cron_job = conditions
            .check("cronjob", &instance, look, BackupCronJob::name)
            .await;
        let look = async |cron_job: &BackupCronJob| settings_of(cron_job, &wishes);
        let settings = conditions
            .check("settings", &cron_job, look, |_| String::new())
            .await;
        match (
            instance.into_value(),
            cron_job.into_value(),
            settings.into_value(),
        ) {
            (Some(instance), Some(cron_job), Some(settings)) => {
                let configuration = configuration(&cron_job, &wishes);
                let differs = |(setting, wish): &(&Setting, &Wish)| {
                    setting.value.as_deref() != Some(&*wish.value)
                };
                let change = |(setting, wish): (&Setting, &Wish)| SettingChange {
                    name: setting.name.name(),
                    place: setting.place.clone().unwrap_or_default(),
                    old: setting.value.clone(),
                    new: wish.value.clone(),
                };
                let pairs = settings.iter().zip(&wishes);
                let changes = pairs.filter(differs).map(change).collect();
                Ok(Self {
                    cluster: cluster.clone(),
                    instance,
                    cron_job,
                    wishes,
                    changes,
                    configuration,
                })
            }
            _ => Err(conditions.into_error()),
        }
    }

    /// The CronJob.
    pub fn cron_job(&self) -> &BackupCronJob {
        &self.cron_job
    }

    /// What is different then.
    pub fn changes(&self) -> &[SettingChange] {
        &self.changes
    }

    /// The run that was missed while the CronJob was suspended, and that starts at once when this resumes it.
    pub fn starts(&self) -> Option<Timestamp> {
        let resumes = self
            .changes
            .iter()
            .any(|change| change.name == SettingName::Suspend.name() && change.new == "false");
        resumes
            .then(|| due_on_resume(&self.cron_job, Timestamp::now()))
            .flatten()
    }

    /// Makes the change, or has the API server say whether it would.
    pub async fn apply(&self, dry_run: bool) -> Result<(), ClusterError> {
        let kind = self.cron_job.kind();
        let object = json!({
            "apiVersion": kind.api_version, "kind": kind.kind,
            "metadata": {"name": self.cron_job.name()},
            "spec": self.configuration,
        });
        let mut parameters = PatchParams::apply(FIELD_MANAGER).force();
        parameters.dry_run = dry_run;
        let what = format!("change CronJob {}", self.cron_job.name());
        let api = self.api(&kind);
        let name = self.cron_job.name();
        let patch = Patch::Apply(&object);
        // The same configuration may be applied again.
        let apply = || async { api.patch(&name, &parameters, &patch).await.map(drop) };
        self.cluster.send_idempotent(&what, apply).await
    }

    /// Looks for as long as `limit` whether the settings stay as they were set; what was set back, as soon as it was.
    pub async fn watch(
        &self,
        limit: Duration,
        reporter: &dyn Reporter,
    ) -> anyhow::Result<Vec<Reverted>> {
        let look = || async { cron_job_of(&self.cluster, &self.instance).await };
        let judge = |found: BackupCronJob| {
            let reverted = self.reverted(&found);
            Ok(if reverted.is_empty() {
                Probe::Pending("the settings are as they were set".to_owned())
            } else {
                Probe::Done(reverted)
            })
        };
        let wait = Wait::new("whether the operator sets them back", limit, reporter);
        match wait.every(LOOK_EVERY).until(look, judge).await {
            Ok(reverted) => Ok(reverted),
            Err(WaitError::TimedOut(_)) => Ok(Vec::new()),
            Err(WaitError::Failed(error)) => Err(error),
        }
    }

    fn reverted(&self, found: &BackupCronJob) -> Vec<Reverted> {
        let mut reverted = Vec::new();
        for wish in &self.wishes {
            let setting = Setting::from_cron_job(found, wish.name);
            if setting.value.as_deref() != Some(&*wish.value) {
                reverted.push(Reverted {
                    name: wish.name.name(),
                    wanted: wish.value.clone(),
                    found: setting.value,
                    by: last_writer(found),
                });
            }
        }
        reverted
    }

    fn api(&self, kind: &ApiResource) -> Api<DynamicObject> {
        let client = self.cluster.client().clone();
        Api::namespaced_with(client, self.cluster.namespace(), kind)
    }
}

/// Who wrote the CronJob's settings last, ourselves left out.
fn last_writer(cron_job: &BackupCronJob) -> Option<String> {
    let managers = cron_job.object().managed_fields().iter();
    let others = managers.filter(|entry| {
        entry.manager.as_deref() != Some(FIELD_MANAGER) && entry.subresource.is_none()
    });
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last?.manager.clone()
}

/// The settings as they are, in the order of the wishes.
fn settings_of(cron_job: &BackupCronJob, wishes: &[Wish]) -> anyhow::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut problems = Vec::new();
    for wish in wishes {
        let setting = Setting::from_cron_job(cron_job, wish.name);
        if setting.place.is_none() {
            problems.push(format!(
                "{}: no container of CronJob {} has a variable whose name ends in {}",
                wish.name.name(),
                cron_job.name(),
                wish.name.ending().unwrap_or_default()
            ));
        } else if let Some(variable) = setting.variable.as_ref().filter(|one| one.elsewhere) {
            problems.push(format!(
                "{}: variable {} takes its value from elsewhere; change it there",
                wish.name.name(),
                variable.name
            ));
        }
        if wish.name == SettingName::Schedule {
            // Beside a time zone of its own, or another one than is asked for, Kubernetes refuses it.
            if let Err(error) = Schedule::parse(&wish.value, cron_job.time_zone()) {
                problems.push(error.to_string());
            } else if wish.value.contains("TZ=") {
                problems.push(
                    "Kubernetes takes no TZ= in a schedule; the zone is spec.timeZone of the CronJob".to_owned(),
                );
            }
        }
        settings.push(setting);
    }
    if !problems.is_empty() {
        bail!("{}; nothing was changed", problems.join("; "));
    }
    Ok(settings)
}

/// What is applied: the wishes, and what is ours already.
fn configuration(cron_job: &BackupCronJob, wishes: &[Wish]) -> Value {
    let mut configuration = json!({});
    for setting in Setting::all(cron_job) {
        let wish = wishes.iter().find(|wish| wish.name == setting.name);
        let kept = || {
            setting
                .value
                .as_ref()
                .filter(|_| is_ours(cron_job, &setting))
        };
        let value = wish.map(|wish| &wish.value).or_else(kept);
        if let Some(part) = value.and_then(|value| setting.configuration(value)) {
            merge(&mut configuration, part);
        }
    }
    configuration
}

fn is_ours(cron_job: &BackupCronJob, setting: &Setting) -> bool {
    let Some(path) = setting.owned_path() else {
        return false;
    };
    let managers = cron_job.object().managed_fields().iter();
    let mut ours = managers.filter(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
    });
    ours.any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let end = path
            .iter()
            .try_fold(fields, |fields, key| Some(fields?.get(key)));
        end.flatten().is_some()
    })
}

/// Lays `part` into `whole`; containers and variables of the same name are one.
fn merge(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                merge(whole.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            for item in part {
                match whole.iter_mut().find(|one| one["name"] == item["name"]) {
                    Some(one) => merge(one, item),
                    None => whole.push(item),
                }
            }
        }
        (whole, part) => *whole = part,
    }
}

/// The instance's CronJob, to look at its settings.
pub async fn nightly_backup(
    cluster: &Cluster,
    instance: Option<&str>,
) -> anyhow::Result<(Instance, BackupCronJob)> {
    let instance = Instance::find(cluster, instance).await?;
    let cron_job = cron_job_of(cluster, &instance).await;
    let cron_job = cron_job.context("the nightly backup cannot be looked at")?;
    Ok((instance, cron_job))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron_job(managed: &Value) -> BackupCronJob {
        let object = json!({
            "metadata": {"name": "wa-store-cronjob", "managedFields": managed},
            "spec": {"schedule": "0 23 * * *", "suspend": false, "jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "c", "env": [
                    {"name": "X_KEEP_DAILY", "value": "6"},
                    {"name": "X_KEEP_WEEKLY", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
                ]}],
            }}}}},
        });
        let object: k8s_openapi::api::batch::v1::CronJob = serde_json::from_value(object).unwrap();
        object.into()
    }

    fn wish(name: SettingName, value: &str) -> Wish {
        Wish {
            name,
            value: value.to_owned(),
        }
    }

    #[test]
    fn what_is_ours_already_is_applied_again_and_what_is_not_is_left() {
        let wishes = [wish(SettingName::Schedule, "0 1 * * *")];
        let untouched = cron_job(&json!([]));
        assert_eq!(
            configuration(&untouched, &wishes),
            json!({"schedule": "0 1 * * *"})
        );
        let ours = json!([{
            "manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": "batch/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:jobTemplate": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"c\"}": {"f:env": {"k:{\"name\":\"X_KEEP_DAILY\"}": {"f:value": {}}}},
            }}}}}}},
        }]);
        let applied = configuration(&cron_job(&ours), &wishes);
        assert_eq!(applied["schedule"], "0 1 * * *");
        let container = &applied["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        let expected = json!({"name": "c", "env": [{"name": "X_KEEP_DAILY", "value": "6"}]});
        assert_eq!(*container, expected);
        assert!(applied.get("suspend").is_none());
    }

    #[test]
    fn a_setting_that_nothing_matches_or_that_stands_elsewhere_is_refused_with_all_others() {
        let wishes = [
            wish(SettingName::WeeklyDay, "1"),
            wish(SettingName::KeepWeekly, "5"),
            wish(SettingName::Schedule, "0 25 * * *"),
        ];
        let error = settings_of(&cron_job(&json!([])), &wishes)
            .unwrap_err()
            .to_string();
        for part in [
            "ends in WEEKLY_BACKUP_DAY",
            "X_KEEP_WEEKLY takes its value from elsewhere",
            "`25` is no hour",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
