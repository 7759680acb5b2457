//! A run of the schedule that was due, and which no Job was started for.
//!
//! What is said of it is certain, or nothing: a schedule that was changed after the run was due, or that stands in a zone of
//! which nobody knows whether it is the controller's, may have been another one at the time.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;
use serde::Serialize;
use serde_json::Value;
use wa_common::assistant::{BackupCronJob, Schedule};

/// Controllers that are busy start a Job a moment after it is due.
const MOMENT: SignedDuration = SignedDuration::from_mins(2);

/// The last run that was due, where none was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedRun {
    /// When it was due.
    pub due: Timestamp,
    /// Why none was started, as far as the CronJob tells.
    pub why: Option<String>,
}

impl MissedRun {
    /// The last run, where it was due a moment ago or longer and none was started. `running` are the Jobs that the
    /// schedule has started and that have not ended.
    pub(crate) fn find(
        cron_job: &BackupCronJob,
        schedule: &Schedule,
        running: &[&str],
        now: Timestamp,
    ) -> Option<Self> {
        if cron_job.is_suspended() {
            return None;
        }
        let due = unmet(cron_job, schedule, now)?;
        let is_settled = changed(cron_job.object()).is_none_or(|changed| changed < due)
            && now.duration_since(due) >= MOMENT;
        is_settled.then(|| Self {
            due,
            why: why(cron_job, running, due, now),
        })
    }
}

/// The run that a suspended CronJob has missed, and which its controller starts at once when it is resumed.
pub fn due_on_resume(cron_job: &BackupCronJob, now: Timestamp) -> Option<Timestamp> {
    let schedule = cron_job.read_schedule().ok()?;
    let due = unmet(cron_job, &schedule, now).filter(|_| cron_job.is_suspended())?;
    (!is_too_late(cron_job, due, now)).then_some(due)
}

/// The last run that was due, where the CronJob has started none since.
fn unmet(cron_job: &BackupCronJob, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let object = cron_job.object();
    let status = object.status.as_ref();
    let started = status.and_then(|status| status.last_schedule_time.as_ref());
    let since = match started {
        // A controller whose clock is another than was taken for it starts Jobs at other times.
        Some(started)
            if schedule.zone_name().is_some() || schedule.last(started.0) == Some(started.0) =>
        {
            started
        }
        None if schedule.zone_name().is_some() => object.metadata.creation_timestamp.as_ref()?,
        _ => return None,
    };
    schedule.last(now).filter(|due| *due > since.0)
}

fn is_too_late(cron_job: &BackupCronJob, due: Timestamp, now: Timestamp) -> bool {
    let deadline = starting_deadline(cron_job);
    deadline.is_some_and(|seconds| now.duration_since(due).as_secs() > seconds)
}

fn starting_deadline(cron_job: &BackupCronJob) -> Option<i64> {
    cron_job.object().spec.as_ref()?.starting_deadline_seconds
}

fn why(
    cron_job: &BackupCronJob,
    running: &[&str],
    due: Timestamp,
    now: Timestamp,
) -> Option<String> {
    if let Some(seconds) = starting_deadline(cron_job)
        && is_too_late(cron_job, due, now)
    {
        return Some(format!(
            "it may start no later than its startingDeadlineSeconds, {seconds}, and the next one is waited for"
        ));
    }
    (cron_job.concurrency_policy() == "Forbid" && !running.is_empty()).then(|| {
        format!(
            "job {} still runs, and concurrencyPolicy is Forbid: it is started when that has ended",
            running.join(", ")
        )
    })
}

/// When somebody last changed what decides when a run is due.
fn changed(object: &CronJob) -> Option<Timestamp> {
    const FIELDS: [&str; 3] = ["f:schedule", "f:timeZone", "f:suspend"];
    let entries = object.metadata.managed_fields.iter().flatten();
    let times = entries.filter_map(|entry| {
        let Value::Object(fields) = &entry.fields_v1.as_ref()?.0["f:spec"] else {
            return None;
        };
        let decides = FIELDS.iter().any(|field| fields.contains_key(*field));
        entry.time.as_ref().filter(|_| decides).map(|time| time.0)
    });
    times.max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A CronJob that runs at 23:00 in UTC, and what of it is otherwise.
    fn cron_job(spec: &Value, started: Option<&str>, changed: &str) -> BackupCronJob {
        let mut object = json!({
            "metadata": {
                "name": "wa-store-cronjob", "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [
                    {"time": changed, "fieldsV1": {"f:spec": {"f:schedule": {}}}},
                    {"time": "2026-11-27T11:00:00Z", "fieldsV1": {"f:status": {}}},
                    {"time": "2026-11-27T11:00:00Z", "fieldsV1": {"f:spec": {"f:jobTemplate": {}}}},
                ],
            },
            "spec": {
                "schedule": "0 23 * * *", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid",
                "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}},
            },
            "status": {"lastScheduleTime": started},
        });
        let fields = spec.as_object().unwrap().clone();
        object["spec"].as_object_mut().unwrap().extend(fields);
        BackupCronJob::from(serde_json::from_value::<CronJob>(object).unwrap())
    }

    const LONG_AGO: &str = "2026-01-01T00:00:00Z";
    const TWO_NIGHTS_AGO: Option<&str> = Some("2026-11-25T23:00:00Z");

    fn found(cron_job: &BackupCronJob, running: &[&str], now: &str) -> Option<(String, String)> {
        let schedule = cron_job.read_schedule().unwrap();
        let missed = MissedRun::find(cron_job, &schedule, running, now.parse().unwrap())?;
        Some((missed.due.to_string(), missed.why.unwrap_or_default()))
    }

    #[test]
    fn a_run_that_was_due_and_not_started_is_found_with_what_kept_it_from_starting() {
        let noon = "2026-11-27T12:00:00Z";
        let due = "2026-11-26T23:00:00Z".to_owned();
        let usual = cron_job(&json!({}), TWO_NIGHTS_AGO, LONG_AGO);
        assert_eq!(found(&usual, &[], noon), Some((due.clone(), String::new())));
        let (_, why) = found(&usual, &["nightly"], noon).unwrap();
        assert!(why.contains("job nightly still runs"), "{why}");
        let late = cron_job(
            &json!({"startingDeadlineSeconds": 600}),
            TWO_NIGHTS_AGO,
            LONG_AGO,
        );
        let (_, why) = found(&late, &["nightly"], noon).unwrap();
        assert!(why.contains("startingDeadlineSeconds, 600"), "{why}");
        // It never ran, and has been there for long.
        let never = cron_job(&json!({}), None, LONG_AGO);
        assert_eq!(found(&never, &[], noon), Some((due, String::new())));
    }

    #[test]
    fn what_may_not_have_been_due_is_not_said_to_be_missed() {
        let noon = "2026-11-27T12:00:00Z";
        let last_night = Some("2026-11-26T23:00:00Z");
        for (spec, started, changed, now) in [
            (json!({}), last_night, LONG_AGO, noon),
            // It is only just due.
            (json!({}), TWO_NIGHTS_AGO, LONG_AGO, "2026-11-26T23:01:00Z"),
            (json!({"suspend": true}), TWO_NIGHTS_AGO, LONG_AGO, noon),
            // The schedule was another one at the time.
            (json!({}), TWO_NIGHTS_AGO, "2026-11-27T08:00:00Z", noon),
            // The controller's clock shows another time than UTC, or may.
            (
                json!({"timeZone": null}),
                Some("2026-11-25T21:00:00Z"),
                LONG_AGO,
                noon,
            ),
            (json!({"timeZone": null}), None, LONG_AGO, noon),
        ] {
            let cron_job = cron_job(&spec, started, changed);
            assert_eq!(found(&cron_job, &[], now), None, "{spec} {started:?}");
        }
        let as_taken = cron_job(&json!({"timeZone": null}), TWO_NIGHTS_AGO, LONG_AGO);
        assert!(found(&as_taken, &[], noon).is_some());
    }

    #[test]
    fn the_run_that_resuming_starts_at_once_is_known() {
        let now = "2026-11-27T12:00:00Z".parse().unwrap();
        let due = |spec| {
            let cron_job = cron_job(&spec, TWO_NIGHTS_AGO, "2026-11-26T08:00:00Z");
            due_on_resume(&cron_job, now).map(|due| due.to_string())
        };
        assert_eq!(
            due(json!({"suspend": true})).as_deref(),
            Some("2026-11-26T23:00:00Z")
        );
        assert_eq!(due(json!({"suspend": false})), None);
        assert_eq!(
            due(json!({"suspend": true, "startingDeadlineSeconds": 600})),
            None
        );
    }
}
