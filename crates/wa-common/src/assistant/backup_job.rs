//! The CronJob that dumps the store database every night, and the volume it writes to.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, PodTemplateSpec};
use kube::ResourceExt as _;

use super::{AssistantError, Instance, names};
use crate::cluster::{Cluster, ClusterError};

/// The backup CronJob of an instance.
#[derive(Debug, Clone)]
pub struct BackupCronJob(CronJob);

/// How many dumps the CronJob keeps. Read from the environment of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The day whose dumps count as weekly.
    pub weekly_day: Weekday,
    /// How many weekly dumps are kept, where that is told.
    pub keep_weekly: Option<u32>,
    /// How many dumps of the other days are kept, where that is told.
    pub keep_daily: Option<u32>,
}

impl BackupCronJob {
    /// The CronJob, or `None` where the instance has none.
    pub async fn find(
        cluster: &Cluster,
        instance: &Instance,
    ) -> Result<Option<Self>, ClusterError> {
        let name = names::backup_cron_job(&instance.name);
        if let Some(found) = cluster.find::<CronJob>(&name).await? {
            return Ok(Some(Self(found)));
        }
        // OpenShift 4.6 and 4.7 serve it only by its older version, whose fields are the same.
        let found = cluster
            .find_custom(&names::cron_job_v1beta1(), &name)
            .await?;
        Ok(found
            .and_then(|object| serde_json::to_value(object).ok())
            .and_then(|json| serde_json::from_value(json).ok())
            .map(Self))
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.0.name_any()
    }

    /// When it runs, as cron writes it.
    pub fn schedule(&self) -> &str {
        self.0.spec.as_ref().map_or("", |spec| &spec.schedule)
    }

    /// The time zone of the schedule, where it names one; else it is the cluster's, which is nearly always UTC.
    pub fn time_zone(&self) -> Option<&str> {
        self.0.spec.as_ref()?.time_zone.as_deref()
    }

    /// Whether it starts no Jobs.
    pub fn is_suspended(&self) -> bool {
        let spec = self.0.spec.as_ref();
        spec.is_some_and(|spec| spec.suspend == Some(true))
    }

    /// The first time after `now` that it starts a Job; `None` when suspended, or when the schedule cannot be read.
    pub fn next_run(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_suspended() {
            return None;
        }
        let zone = match self.time_zone() {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::UTC,
        };
        let next = parse(self.schedule())?.find_next_occurrence(&now.to_zoned(zone), false);
        next.ok().map(|time| time.timestamp())
    }

    /// The Jobs of it that run now.
    pub fn active_jobs(&self) -> Vec<String> {
        let active = self.0.status.iter().flat_map(|status| status.active.iter());
        active
            .flatten()
            .filter_map(|job| job.name.clone())
            .collect()
    }

    /// What the pods it starts are like.
    pub fn pod_template(&self) -> Option<&PodTemplateSpec> {
        let job = self.0.spec.as_ref()?.job_template.spec.as_ref()?;
        Some(&job.template)
    }

    /// What it keeps; `None` where its containers do not say.
    pub fn retention(&self) -> Option<Retention> {
        let containers = &self.pod_template()?.spec.as_ref()?.containers;
        let weekly_day = variable(containers, "WEEKLY_BACKUP_DAY")?.parse().ok()?;
        Some(Retention {
            weekly_day: Weekday::from_sunday_zero_offset(weekly_day).ok()?,
            keep_weekly: variable(containers, "KEEP_WEEKLY").and_then(|value| value.parse().ok()),
            keep_daily: variable(containers, "KEEP_DAILY").and_then(|value| value.parse().ok()),
        })
    }
}

/// The claim of the volume that the CronJob writes to, or all names looked for.
pub async fn backup_claim(
    cluster: &Cluster,
    instance: &Instance,
) -> Result<PersistentVolumeClaim, AssistantError> {
    let candidates = names::backup_claims(&instance.name);
    for name in &candidates {
        if let Some(claim) = cluster.find(name).await? {
            return Ok(claim);
        }
    }
    Err(AssistantError::NoBackupClaim {
        instance: instance.name.clone(),
        namespace: instance.namespace.clone(),
        tried: candidates.into(),
    })
}

/// Kubernetes takes five fields, and names such as `@daily`.
fn parse(schedule: &str) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    parser.parse(schedule).ok()
}

/// The names of the variables are not published: only how they end is known.
fn variable(containers: &[Container], ending: &str) -> Option<String> {
    let mut variables = containers.iter().flat_map(|one| one.env.iter().flatten());
    variables
        .find(|variable| variable.name.to_ascii_uppercase().ends_with(ending))
        .and_then(|variable| variable.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cron_job(spec: &Value) -> BackupCronJob {
        let mut object = json!({"metadata": {"name": "wa-store-cronjob"}, "spec": {
        "schedule": "0 23 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [
            {"name": "store_backup_weekly_backup_day", "value": "0"}, {"name": "KEEP_WEEKLY", "value": "4"},
        ]}]}}}}}});
        object["spec"]
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        BackupCronJob(serde_json::from_value(object).unwrap())
    }

    fn next(spec: &Value) -> Option<String> {
        let now: Timestamp = "2026-11-22T22:30:00Z".parse().unwrap();
        cron_job(spec).next_run(now).map(|time| time.to_string())
    }

    #[test]
    fn the_next_backup_follows_schedule_and_time_zone() {
        assert_eq!(next(&json!({})).as_deref(), Some("2026-11-22T23:00:00Z"));
        let berlin = json!({"timeZone": "Europe/Berlin"});
        assert_eq!(next(&berlin).as_deref(), Some("2026-11-23T22:00:00Z"));
        let daily = json!({"schedule": "@daily"});
        assert_eq!(next(&daily).as_deref(), Some("2026-11-23T00:00:00Z"));
    }

    #[test]
    fn there_is_no_next_backup_when_suspended_or_unreadable() {
        assert_eq!(next(&json!({"suspend": true})), None);
        assert_eq!(next(&json!({"schedule": "now and then"})), None);
        assert_eq!(next(&json!({"timeZone": "Middle/Earth"})), None);
    }

    #[test]
    fn retention_variables_are_known_by_their_endings() {
        let expected = Retention {
            weekly_day: Weekday::Sunday,
            keep_weekly: Some(4),
            keep_daily: None,
        };
        assert_eq!(cron_job(&json!({})).retention(), Some(expected));
    }
}
