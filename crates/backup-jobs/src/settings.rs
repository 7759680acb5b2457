//! The seven settings of the nightly backup, as IBM's page has them, and where they stand in the CronJob.

use k8s_openapi::api::batch::v1::CronJobSpec;
use k8s_openapi::api::core::v1::{Container, EnvVar};
use serde::Serialize;
use serde_json::{Value, json};
use wa_common::assistant::BackupCronJob;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettingName {
    /// No Jobs are created when true.
    Suspend,
    /// When Jobs are created.
    Schedule,
    /// How many Jobs are kept that succeeded.
    JobsSuccess,
    /// How many Jobs are kept that failed.
    JobsFailed,
    /// The day whose files count as weekly, 0 for Sunday.
    WeeklyDay,
    /// How many files of that day are kept.
    KeepWeekly,
    /// How many files of the other days are kept.
    KeepDaily,
}

/// A setting as the CronJob has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// As IBM's page calls it.
    pub name: SettingName,
    /// What it is; `None` where the CronJob does not say.
    pub value: Option<String>,
    /// What it is unless somebody changed it.
    pub default: &'static str,
    /// Where it stands in the CronJob; `None` where nothing matches.
    #[serde(rename = "where")]
    pub place: Option<String>,
    #[serde(skip)]
    pub(crate) variable: Option<Variable>,
}

/// The variable of a container that is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) container: String,
    pub(crate) name: String,
    /// Whether its value stands elsewhere.
    pub(crate) elsewhere: bool,
}

impl Serialize for SettingName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl SettingName {
    /// All of them, in the order of IBM's table.
    pub const ALL: [Self; 7] = [
        Self::Suspend,
        Self::Schedule,
        Self::JobsSuccess,
        Self::JobsFailed,
        Self::WeeklyDay,
        Self::KeepWeekly,
        Self::KeepDaily,
    ];

    /// As IBM's page calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspend => "store.backup.suspend",
            Self::Schedule => "store.backup.schedule",
            Self::JobsSuccess => "store.backup.history.jobs.success",
            Self::JobsFailed => "store.backup.history.jobs.failed",
            Self::WeeklyDay => "store.backup.history.files.weekly_backup_day",
            Self::KeepWeekly => "store.backup.history.files.keep_weekly",
            Self::KeepDaily => "store.backup.history.files.keep_daily",
        }
    }

    /// What it is unless somebody changed it.
    pub fn default(self) -> &'static str {
        match self {
            Self::Suspend => "false",
            Self::Schedule => "0 23 * * *",
            Self::JobsSuccess => "30",
            Self::JobsFailed => "10",
            Self::WeeklyDay => "0",
            Self::KeepWeekly => "4",
            Self::KeepDaily => "6",
        }
    }

    /// How the variable ends that holds it, where a variable does: their whole names are not published.
    pub(crate) fn ending(self) -> Option<&'static str> {
        match self {
            Self::WeeklyDay => Some("WEEKLY_BACKUP_DAY"),
            Self::KeepWeekly => Some("KEEP_WEEKLY"),
            Self::KeepDaily => Some("KEEP_DAILY"),
            _ => None,
        }
    }

    /// The field of the CronJob's spec that it is.
    pub(crate) fn field(self) -> Option<&'static str> {
        match self {
            Self::Suspend => Some("suspend"),
            Self::Schedule => Some("schedule"),
            Self::JobsSuccess => Some("successfulJobsHistoryLimit"),
            Self::JobsFailed => Some("failedJobsHistoryLimit"),
            _ => None,
        }
    }
}

impl Setting {
    /// All seven.
    pub fn all(cron_job: &BackupCronJob) -> Vec<Self> {
        let all = SettingName::ALL.into_iter();
        all.map(|name| Self::from_cron_job(cron_job, name))
            .collect()
    }

    pub(crate) fn from_cron_job(cron_job: &BackupCronJob, name: SettingName) -> Self {
        let (value, variable) = match name.ending() {
            None => {
                let spec = cron_job.object().spec.as_ref();
                (spec.and_then(|spec| field_value(spec, name)), None)
            }
            Some(ending) => match variable(cron_job, ending) {
                Some((container, variable)) => {
                    let elsewhere = variable.value_from.is_some();
                    let value = variable.value.clone().filter(|_| !elsewhere);
                    let variable = Variable {
                        container: container.name.clone(),
                        name: variable.name.clone(),
                        elsewhere,
                    };
                    (value, Some(variable))
                }
                None => (None, None),
            },
        };
        let of_variable = variable.as_ref().map(|variable| {
            let elsewhere = if variable.elsewhere {
                ", whose value stands elsewhere"
            } else {
                ""
            };
            format!(
                "variable {} of container {}{elsewhere}",
                variable.name, variable.container
            )
        });
        Self {
            name,
            value,
            default: name.default(),
            place: name
                .field()
                .map(|field| format!("spec.{field}"))
                .or(of_variable),
            variable,
        }
    }

    /// The part of a CronJob's spec that says this value.
    pub(crate) fn configuration(&self, value: &str) -> Option<Value> {
        if let Some(field) = self.name.field() {
            let value = match self.name {
                SettingName::Schedule => json!(value),
                _ => serde_json::from_str(value).ok()?,
            };
            return Some(json!({ field: value }));
        }
        let variable = self.variable.as_ref()?;
        Some(
            json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": [{
                "name": variable.container, "env": [{"name": variable.name, "value": value}],
            }]}}}}}),
        )
    }

    /// Where a manager's own fields have it, key by key.
    pub(crate) fn owned_path(&self) -> Option<Vec<String>> {
        if let Some(field) = self.name.field() {
            return Some(vec!["f:spec".to_owned(), format!("f:{field}")]);
        }
        let variable = self.variable.as_ref()?;
        let key = |name: &str| format!("k:{}", json!({ "name": name }));
        let mut path: Vec<String> = [
            "f:spec",
            "f:jobTemplate",
            "f:spec",
            "f:template",
            "f:spec",
            "f:containers",
        ]
        .map(str::to_owned)
        .to_vec();
        path.extend([
            key(&variable.container),
            "f:env".to_owned(),
            key(&variable.name),
            "f:value".to_owned(),
        ]);
        Some(path)
    }
}

fn field_value(spec: &CronJobSpec, name: SettingName) -> Option<String> {
    match name {
        SettingName::Suspend => Some(spec.suspend.unwrap_or_default().to_string()),
        SettingName::Schedule => Some(spec.schedule.clone()),
        SettingName::JobsSuccess => spec
            .successful_jobs_history_limit
            .map(|one| one.to_string()),
        SettingName::JobsFailed => spec.failed_jobs_history_limit.map(|one| one.to_string()),
        _ => None,
    }
}

fn variable<'a>(cron_job: &'a BackupCronJob, ending: &str) -> Option<(&'a Container, &'a EnvVar)> {
    let containers = &cron_job.pod_template()?.spec.as_ref()?.containers;
    containers.iter().find_map(|container| {
        let mut variables = container.env.iter().flatten();
        let variable =
            variables.find(|variable| variable.name.to_ascii_uppercase().ends_with(ending))?;
        Some((container, variable))
    })
}
