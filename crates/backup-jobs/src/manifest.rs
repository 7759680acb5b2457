//! The Job that the CronJob would make, as `kubectl create job --from` makes it.

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt as _;

/// Says that a person started a Job, and not the schedule.
pub(crate) const INSTANTIATED: (&str, &str) = ("cronjob.kubernetes.io/instantiate", "manual");

/// The Job called `name`. The cluster removes it so many seconds after its end, where it does not say otherwise itself.
pub(crate) fn job(cron_job: &CronJob, name: &str, removed_after: Option<i32>) -> Option<Job> {
    let template = &cron_job.spec.as_ref()?.job_template;
    let labels = template
        .metadata
        .as_ref()
        .and_then(|one| one.labels.clone());
    let annotations = template.metadata.as_ref();
    let mut annotations = annotations
        .and_then(|one| one.annotations.clone())
        .unwrap_or_default();
    annotations.insert(INSTANTIATED.0.to_owned(), INSTANTIATED.1.to_owned());
    let spec = template.spec.clone()?;
    let ttl = spec.ttl_seconds_after_finished.or(removed_after);
    Some(Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels,
            annotations: Some(annotations),
            // As the CronJob's own: its history limits count it, and it goes when the CronJob goes.
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "CronJob".to_owned(),
                name: cron_job.name_any(),
                uid: cron_job.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            ttl_seconds_after_finished: ttl,
            ..spec
        }),
        ..Job::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cron_job(ttl: Option<i32>) -> CronJob {
        serde_json::from_value(json!({
            "metadata": {"name": "wa-store-cronjob", "uid": "u"},
            "spec": {"schedule": "0 23 * * *", "jobTemplate": {
                "metadata": {"labels": {"component": "store-cronjob"}, "annotations": {"a": "b"}},
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {"spec": {"containers": []}}},
            }},
        }))
        .unwrap()
    }

    #[test]
    fn a_job_is_the_cron_jobs_own_and_says_that_a_person_made_it() {
        let made = job(&cron_job(None), "wa-backup-1", Some(60)).unwrap();
        let annotations = made.annotations();
        assert_eq!(annotations["cronjob.kubernetes.io/instantiate"], "manual");
        assert_eq!(annotations["a"], "b");
        assert_eq!(made.labels()["component"], "store-cronjob");
        assert_eq!(made.owner_references()[0].controller, Some(true));
        assert_eq!(made.spec.unwrap().ttl_seconds_after_finished, Some(60));
    }

    #[test]
    fn a_template_that_says_when_its_jobs_are_removed_is_believed() {
        let made = job(&cron_job(Some(5)), "wa-backup-1", Some(60)).unwrap();
        assert_eq!(made.spec.unwrap().ttl_seconds_after_finished, Some(5));
        let kept = job(&cron_job(None), "wa-backup-1", None).unwrap();
        assert_eq!(kept.spec.unwrap().ttl_seconds_after_finished, None);
    }
}
