//! CronJobs: a Job at each time of a schedule.
//!
//! Left out: `startingDeadlineSeconds`; times missed while the cluster was down, which it never outlives.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Concerns, Controller, controlled, controlled_by, jobs, owner_reference};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Propagation, Store};

const INSTANTIATED: &str = "cronjob.kubernetes.io/instantiate";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

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
        prune(store, cron_job, &jobs)?;
        report(store, cron_job, &jobs)?;
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
        if let Some(time) = schedule
            .last(now)
            .filter(|time| *time > seen_until(cron_job, now))
        {
            run(store, cron_job, &jobs, time)?;
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

    /// The last time not after `now`.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self
            .cron
            .find_previous_occurrence(&now.to_zoned(self.zone.clone()), true);
        last.ok().map(|time| time.timestamp())
    }
}

/// Times until here had their Job, or were before the CronJob's.
fn seen_until(cron_job: &Value, now: Timestamp) -> Timestamp {
    let last = cron_job["status"]["lastScheduleTime"].as_str();
    let time = last.or_else(|| cron_job["metadata"]["creationTimestamp"].as_str());
    time.and_then(|text| text.parse().ok()).unwrap_or(now)
}

fn run(store: &Store, cron_job: &Value, jobs: &[Object], time: Timestamp) -> Result<(), Status> {
    let active = jobs.iter().filter(|job| !jobs::has_finished(job));
    match cron_job["spec"]["concurrencyPolicy"].as_str() {
        Some("Forbid") if active.clone().next().is_some() => return Ok(()),
        Some("Replace") => active.clone().try_for_each(|job| delete(store, job))?,
        _ => {}
    }
    let name = format!("{}-{}", object::name(cron_job), time.as_second() / 60);
    match store.create(&resources::JOBS, job(cron_job, &name, time)) {
        Err(error) if error.reason != "AlreadyExists" => return Err(error),
        _ => {}
    }
    modify(store, cron_job, |cron_job| {
        cron_job["status"]["lastScheduleTime"] = object::timestamp(time).into();
    })
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

/// Deletes the oldest finished Jobs beyond the history limits; those made by hand stay.
fn prune(store: &Store, cron_job: &Value, jobs: &[Object]) -> Result<(), Status> {
    let scheduled = |job: &&Object| {
        jobs::has_finished(job) && job["metadata"]["annotations"][INSTANTIATED] != "manual"
    };
    let (mut good, mut bad): (Vec<_>, Vec<_>) = jobs
        .iter()
        .filter(scheduled)
        .partition(|job| jobs::has_succeeded(job));
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
            .try_for_each(|job| delete(store, job))?;
    }
    Ok(())
}

/// States which of its Jobs run. As in Kubernetes, one that somebody has made by hand is not among them, though the
/// CronJob owns it.
fn report(store: &Store, cron_job: &Value, jobs: &[Object]) -> Result<(), Status> {
    let is_own = |job: &&Object| job["metadata"]["annotations"][INSTANTIATED] != "manual";
    let active: Vec<_> = jobs
        .iter()
        .filter(|job| !jobs::has_finished(job))
        .filter(is_own)
        .map(|job| reference(job))
        .collect();
    let latest = jobs
        .iter()
        .filter_map(|job| job["status"]["completionTime"].as_str())
        .max();
    modify(store, cron_job, |cron_job| {
        let status = object::map_mut(&mut cron_job["status"]);
        if active.is_empty() {
            status.remove("active");
        } else {
            status.insert("active".into(), active.into());
        }
        if let Some(time) = latest {
            status.insert("lastSuccessfulTime".into(), time.into());
        }
    })
}

fn reference(job: &Value) -> Value {
    json!({
        "kind": "Job", "namespace": object::namespace(job), "name": object::name(job), "uid": object::uid(job),
        "apiVersion": "batch/v1", "resourceVersion": job["metadata"]["resourceVersion"],
    })
}

fn delete(store: &Store, job: &Object) -> Result<(), Status> {
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        ..DeleteOptions::default()
    };
    store
        .delete(
            &resources::JOBS,
            object::namespace(job),
            object::name(job),
            &options,
        )
        .map(drop)
}

fn modify(store: &Store, cron_job: &Value, change: impl FnOnce(&mut Value)) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(cron_job), object::name(cron_job));
    store
        .modify(&resources::CRON_JOBS, namespace, name, change)
        .map(drop)
}
