//! The CronJob that dumps the store database every night, and the volume it writes to.

use jiff::Timestamp;
use jiff::civil::Weekday;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, PodTemplateSpec};
use kube::ResourceExt as _;
use kube::api::ApiResource;

use super::{AssistantError, Instance, Schedule, ScheduleError, names};
use crate::cluster::{Cluster, ClusterError};

/// The backup CronJob of an instance.
#[derive(Debug, Clone)]
pub struct BackupCronJob {
    object: CronJob,
    /// Whether the cluster knows CronJobs by their older version only.
    beta: bool,
}

/// How many dumps the CronJob keeps. Read from the environment of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The day whose dumps count as weekly.
    pub weekly_day: Weekday,
    /// How many weekly dumps are kept, where that is known.
    pub keep_weekly: Option<u32>,
    /// How many dumps of the other days are kept, where that is known.
    pub keep_daily: Option<u32>,
}

impl From<CronJob> for BackupCronJob {
    fn from(object: CronJob) -> Self {
        Self {
            object,
            beta: false,
        }
    }
}

impl BackupCronJob {
    /// The CronJob, or `None` where the instance has none.
    pub async fn find(
        cluster: &Cluster,
        instance: &Instance,
    ) -> Result<Option<Self>, ClusterError> {
        let name = names::backup_cron_job(&instance.name);
        if let Some(found) = cluster.find::<CronJob>(&name).await? {
            return Ok(Some(Self {
                object: found,
                beta: false,
            }));
        }
        // OpenShift 4.6 and 4.7 serve it only by its older version, whose fields are the same.
        let found = cluster
            .find_custom(&names::cron_job_v1beta1(), &name)
            .await?;
        Ok(found
            .and_then(|object| serde_json::to_value(object).ok())
            .and_then(|json| serde_json::from_value(json).ok())
            .map(|object| Self { object, beta: true }))
    }

    /// What the CronJob of an instance is called.
    pub fn name_for(instance: &Instance) -> String {
        names::backup_cron_job(&instance.name)
    }

    /// The CronJob as the API server has it.
    pub fn object(&self) -> &CronJob {
        &self.object
    }

    /// How the cluster serves it.
    pub fn kind(&self) -> ApiResource {
        if self.beta {
            names::cron_job_v1beta1()
        } else {
            ApiResource::erase::<CronJob>(&())
        }
    }

    /// What it does when a backup is due while another one runs.
    pub fn concurrency_policy(&self) -> &str {
        let spec = self.object.spec.as_ref();
        let policy = spec.and_then(|spec| spec.concurrency_policy.as_deref());
        policy.unwrap_or("Allow")
    }

    /// The claims that its pods have.
    pub fn claims(&self) -> Vec<String> {
        let spec = self.pod_template().and_then(|pod| pod.spec.as_ref());
        let volumes = spec.and_then(|spec| spec.volumes.as_ref());
        let volumes = volumes.into_iter().flatten();
        let claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
        claims.map(|claim| claim.claim_name.clone()).collect()
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// When it runs, as cron writes it.
    pub fn schedule(&self) -> &str {
        self.object.spec.as_ref().map_or("", |spec| &spec.schedule)
    }

    /// The time zone of the schedule, where it names one; else it is the cluster's, which is nearly always UTC.
    pub fn time_zone(&self) -> Option<&str> {
        self.object.spec.as_ref()?.time_zone.as_deref()
    }

    /// Whether it starts no Jobs.
    pub fn is_suspended(&self) -> bool {
        let spec = self.object.spec.as_ref();
        spec.is_some_and(|spec| spec.suspend == Some(true))
    }

    /// The first time after `now` that it starts a Job; `None` when suspended, or when the schedule cannot be read.
    pub fn next_run(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_suspended() {
            return None;
        }
        let schedule = self.read_schedule().ok()?;
        schedule.next(now, 1).first().copied()
    }

    /// Its schedule with the zone, read as the cluster reads it.
    pub fn read_schedule(&self) -> Result<Schedule, ScheduleError> {
        Schedule::parse(self.schedule(), self.time_zone())
    }

    /// The backups that run now: the CronJob's own, and those that somebody has made from it by hand, of which its status
    /// does not tell.
    pub async fn jobs_at_work(&self, cluster: &Cluster) -> Result<Vec<String>, ClusterError> {
        let at_work = |job: &Job| !has_ended(job) && self.is_backup(job);
        let jobs = cluster.list_matching("", at_work).await?;
        Ok(jobs.iter().map(Job::name_any).collect())
    }

    /// Whether a Job is one of this CronJob, or a copy of one without its owner: with the same images and claims.
    fn is_backup(&self, job: &Job) -> bool {
        let own = self.object.metadata.uid.as_ref();
        let mut owners = job.owner_references().iter();
        if owners.any(|owner| Some(&owner.uid) == own) {
            return true;
        }
        let of_job = job.spec.as_ref().map(|spec| works_with(&spec.template));
        let of_own = self.pod_template().map(works_with);
        of_job.is_some() && of_job == of_own
    }

    /// The Jobs of it that run now, as its status tells.
    pub fn active_jobs(&self) -> Vec<String> {
        let active = self
            .object
            .status
            .iter()
            .flat_map(|status| status.active.iter());
        active
            .flatten()
            .filter_map(|job| job.name.clone())
            .collect()
    }

    /// What the pods it starts are like.
    pub fn pod_template(&self) -> Option<&PodTemplateSpec> {
        let job = self.object.spec.as_ref()?.job_template.spec.as_ref()?;
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

/// Whether nothing of a Job runs any more.
fn has_ended(job: &Job) -> bool {
    let status = job.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| matches!(&one.type_[..], "Complete" | "Failed") && one.status == "True")
}

/// The images and the claims of a pod.
fn works_with(template: &PodTemplateSpec) -> (Vec<&str>, Vec<&str>) {
    let containers = template.spec.iter().flat_map(|spec| &spec.containers);
    let volumes = template
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    (
        containers
            .filter_map(|container| container.image.as_deref())
            .collect(),
        claims.map(|claim| claim.claim_name.as_str()).collect(),
    )
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
        BackupCronJob {
            object: serde_json::from_value(object).unwrap(),
            beta: false,
        }
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
    fn a_job_is_a_backup_by_its_owner_or_by_what_it_works_with() {
        let pod = |image: &str, claim: &str| {
            json!({"spec": {
                "containers": [{"name": "c", "image": image}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
            }})
        };
        let template = json!({"spec": {"template": pod("dumps", "backups")}});
        let mut cron_job = cron_job(&json!({"jobTemplate": template}));
        cron_job.object.metadata.uid = Some("1".to_owned());
        let job = |owner: Option<&str>, template: Value| -> Job {
            let owner = owner.map(|uid| {
                json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "wa-store-cronjob", "uid": uid})
            });
            let job = json!({
                "metadata": {"name": "j", "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
                "spec": {"template": template},
            });
            serde_json::from_value(job).unwrap()
        };
        for (owner, template, expected) in [
            (Some("1"), pod("other", "others"), true),
            (None, pod("dumps", "backups"), true),
            (Some("2"), pod("dumps", "others"), false),
            (None, pod("rsync", "backups"), false),
        ] {
            let job = job(owner, template);
            assert_eq!(cron_job.is_backup(&job), expected, "{job:?}");
        }
        let ended = |kind: &str| {
            let mut job = job(None, pod("dumps", "backups"));
            let conditions = json!({"conditions": [{"type": kind, "status": "True"}]});
            job.status = serde_json::from_value(conditions).unwrap();
            has_ended(&job)
        };
        assert!(ended("Complete") && ended("Failed") && !ended("SuccessCriteriaMet"));
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
