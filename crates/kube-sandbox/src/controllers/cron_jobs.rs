//! CronJobs: a Job at each time of a schedule.
//!
//! Of the times that were missed, while the CronJob was suspended, its last Job ran or the controller was away, only the
//! last one gets a Job, as soon as that may be, unless `startingDeadlineSeconds` is over.
//!
//! Left out: that Kubernetes looks at a changed schedule only when its next time comes, or something else changes.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::events::Recorder;
use super::{Concerns, Controller, controlled, controlled_by, jobs, owner_reference};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Propagation, Store};

const INSTANTIATED: &str = "cronjob.kubernetes.io/instantiate";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than these are worth an event.
const FEW_MISSED: i64 = 100;

/// Creates the Jobs of CronJobs and deletes old ones.
#[derive(Debug)]
pub(super) struct CronJobs;

impl Controller for CronJobs {
    fn kind(&self) -> &'static Resource {
        &resources::CRON_JOBS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] =
            &[(&resources::JOBS, |_, job| controlled_by(job, "CronJob"))];
        WATCHED
    }

    fn reconcile(&self, store: &Store, cron_job: &Object) -> Result<Option<Duration>, Status> {
        if object::is_terminating(cron_job) {
            return Ok(None);
        }
        let jobs = controlled(store, &resources::JOBS, cron_job);
        let recorder = Recorder {
            store,
            component: "cronjob-controller",
        };
        report(recorder, cron_job, &jobs)?;
        prune(recorder, cron_job, &jobs)?;
        if cron_job["spec"]["suspend"] == true {
            return Ok(None);
        }
        let Some(schedule) = Schedule::from_cron_job(cron_job) else {
            tracing::warn!(
                name = object::name(cron_job),
                "a CronJob's schedule or time zone cannot be read"
            );
            return Ok(None);
        };
        let now = Timestamp::now();
        let since = unmet_since(cron_job, now);
        if let Some(time) = schedule.last(now).filter(|time| *time > since) {
            if schedule.about_missed(since, now) > FEW_MISSED {
                recorder.warning(
                    cron_job,
                    "TooManyMissedTimes",
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
                );
            }
            run(recorder, cron_job, &jobs, time)?;
        }
        Ok(schedule
            .next(now)
            .map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default()))
    }
}

struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    fn from_cron_job(cron_job: &Value) -> Option<Self> {
        let zone = match cron_job["spec"]["timeZone"].as_str() {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::system(),
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser.parse(cron_job["spec"]["schedule"].as_str()?).ok()?;
        Some(Self { cron, zone })
    }

    /// The first time after `now`.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self
            .cron
            .find_next_occurrence(&now.to_zoned(self.zone.clone()), false);
        next.ok().map(|time| time.timestamp())
    }

    /// About how many times there were since `since`, taken as far apart as the first two are.
    fn about_missed(&self, since: Timestamp, now: Timestamp) -> i64 {
        let Some(first) = self.next(since).filter(|first| *first <= now) else {
            return 0;
        };
        let second = self.next(first).unwrap_or(now);
        let apart = second.duration_since(first).as_secs().max(1);
        now.duration_since(first).as_secs() / apart + 1
    }

    /// The last time not after `now`.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self
            .cron
            .find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
        last.ok().map(|time| time.timestamp())
    }
}

/// No Job is started for times until here: they had theirs, were before the CronJob, or are longer ago than a start may be
/// late.
fn unmet_since(cron_job: &Value, now: Timestamp) -> Timestamp {
    let last = cron_job["status"]["lastScheduleTime"].as_str();
    let seen = last.or_else(|| cron_job["metadata"]["creationTimestamp"].as_str());
    let seen = seen.and_then(|text| text.parse().ok()).unwrap_or(now);
    let deadline = cron_job["spec"]["startingDeadlineSeconds"].as_i64();
    let too_late = deadline.map(|seconds| now.saturating_sub(SignedDuration::from_secs(seconds)));
    too_late
        .and_then(Result::ok)
        .map_or(seen, |too_late| seen.max(too_late))
}

fn run(
    recorder: Recorder<'_>,
    cron_job: &Value,
    jobs: &[Object],
    time: Timestamp,
) -> Result<(), Status> {
    let store = recorder.store;
    let mut active = jobs.iter().filter(|job| is_active(job));
    match cron_job["spec"]["concurrencyPolicy"].as_str() {
        Some("Forbid") if active.next().is_some() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            recorder.normal(cron_job, "JobAlreadyActive", message);
            return Ok(());
        }
        Some("Replace") => active.try_for_each(|job| delete(recorder, cron_job, job))?,
        _ => {}
    }
    let name = format!("{}-{}", object::name(cron_job), time.as_second() / 60);
    match store.create(&resources::JOBS, job(cron_job, &name, time)) {
        Ok(_) => recorder.normal(cron_job, "SuccessfulCreate", &format!("Created job {name}")),
        Err(error) if error.reason == "AlreadyExists" => {}
        Err(error) => {
            let message = format!("Error creating job: {}", error.message);
            recorder.warning(cron_job, "FailedCreate", &message);
            return Err(error);
        }
    }
    modify(store, cron_job, |cron_job| {
        cron_job["status"]["lastScheduleTime"] = object::timestamp(time).into();
    })
}

/// Whether a Job runs that the schedule has started. As in Kubernetes, one that somebody has made by hand does not count,
/// though the CronJob owns it: no policy keeps the schedule from starting another one beside it.
fn is_active(job: &Value) -> bool {
    !jobs::has_finished(job) && job["metadata"]["annotations"][INSTANTIATED] != "manual"
}

/// The Job that a CronJob creates for one time of its schedule.
fn job(cron_job: &Value, name: &str, time: Timestamp) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    let mut metadata = template["metadata"].clone();
    let map = object::map_mut(&mut metadata);
    map.insert("name".into(), name.into());
    map.insert("namespace".into(), object::namespace(cron_job).into());
    map.insert(
        "ownerReferences".into(),
        json!([owner_reference(&resources::CRON_JOBS, cron_job)]),
    );
    object::map_mut(&mut metadata["annotations"])
        .insert(SCHEDULED_AT.into(), object::timestamp(time).into());
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"] })
}

/// Deletes the oldest finished Jobs beyond the history limits, those made by hand among them.
fn prune(recorder: Recorder<'_>, cron_job: &Value, jobs: &[Object]) -> Result<(), Status> {
    let finished = jobs.iter().filter(|job| jobs::has_finished(job));
    let (mut good, mut bad): (Vec<_>, Vec<_>) = finished.partition(|job| jobs::has_succeeded(job));
    for (jobs, field, default) in [
        (&mut good, "successfulJobsHistoryLimit", 3),
        (&mut bad, "failedJobsHistoryLimit", 1),
    ] {
        let limit = cron_job["spec"][field].as_u64().unwrap_or(default);
        let surplus = jobs
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        jobs.sort_by_key(|job| job["status"]["startTime"].as_str().map(str::to_owned));
        jobs.iter()
            .take(surplus)
            .try_for_each(|job| delete(recorder, cron_job, job))?;
    }
    Ok(())
}

/// States which of its Jobs run, and says which have ended.
fn report(recorder: Recorder<'_>, cron_job: &Value, jobs: &[Object]) -> Result<(), Status> {
    let before = cron_job["status"]["active"]
        .as_array()
        .into_iter()
        .flatten();
    for (job, ended) in before.filter_map(|reference| {
        let mut jobs = jobs.iter();
        let job = jobs.find(|job| reference["uid"] == object::uid(job))?;
        Some((job, ended_as(job)?))
    }) {
        let message = format!(
            "Saw completed job: {}, condition: {ended}",
            object::name(job)
        );
        recorder.normal(cron_job, "SawCompletedJob", &message);
    }
    let active: Vec<_> = jobs
        .iter()
        .filter(|job| is_active(job))
        .map(|job| reference(job))
        .collect();
    let latest = jobs
        .iter()
        .filter_map(|job| job["status"]["completionTime"].as_str())
        .max();
    modify(recorder.store, cron_job, |cron_job| {
        let status = object::map_mut(&mut cron_job["status"]);
        if active.is_empty() {
            status.remove("active");
        } else {
            status.insert("active".into(), active.into());
        }
        let known = status.get("lastSuccessfulTime").and_then(Value::as_str);
        // The Job may be gone.
        if let Some(time) = latest.max(known).map(str::to_owned) {
            status.insert("lastSuccessfulTime".into(), time.into());
        }
    })
}

/// The condition with which a Job has ended.
fn ended_as(job: &Value) -> Option<&'static str> {
    if jobs::has_succeeded(job) {
        Some("Complete")
    } else {
        jobs::has_finished(job).then_some("Failed")
    }
}

fn reference(job: &Value) -> Value {
    json!({
        "kind": "Job", "namespace": object::namespace(job), "name": object::name(job), "uid": object::uid(job),
        "apiVersion": "batch/v1", "resourceVersion": job["metadata"]["resourceVersion"],
    })
}

fn delete(recorder: Recorder<'_>, cron_job: &Value, job: &Object) -> Result<(), Status> {
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        ..DeleteOptions::default()
    };
    let (namespace, name) = (object::namespace(job), object::name(job));
    recorder
        .store
        .delete(&resources::JOBS, namespace, name, &options)?;
    let message = format!("Deleted job {name}");
    recorder.normal(cron_job, "SuccessfulDelete", &message);
    Ok(())
}

fn modify(store: &Store, cron_job: &Value, change: impl FnOnce(&mut Value)) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(cron_job), object::name(cron_job));
    store
        .modify(&resources::CRON_JOBS, namespace, name, change)
        .map(drop)
}
