//! Backups that the CronJob "has taken" before the cluster started.
//!
//! The latest one is real: a Job from the CronJob's template takes it. The others are copies with the names and times of
//! earlier nights: its dump for the nights that retention has kept, its Job and the ended pod for as many as the history
//! limit keeps. Left out: those pods' logs and events.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use kube_sandbox::meta::{Object, Resource, object, resources};
use kube_sandbox::node::Node;
use kube_sandbox::store::Store;
use serde_json::{Value, json};

use super::{Names, WorldError, create, pods};

/// Days whose backups the default retention keeps: so many Sundays, so many others.
const KEPT_SUNDAYS: usize = 4;
const KEPT_OTHER_DAYS: usize = 6;
const DUMP: &str = "store.dump_";
/// Earlier nights whose Jobs are there: the CronJob keeps 30, and the latest is real.
const EARLIER_JOBS: usize = 29;

/// Takes the latest backup and copies it to the nights before.
pub(super) async fn take(store: &Store, node: &Node, names: &Names) -> Result<(), WorldError> {
    let cron_job = store
        .get(&resources::CRON_JOBS, &names.namespace, &names.cron_job())
        .map_err(|source| WorldError::Create {
            kind: "Job",
            name: names.cron_job(),
            source,
        })?;
    let now = Zoned::now();
    let job = create(
        store,
        &resources::JOBS,
        job(names, &cron_job, now.timestamp()),
    )?;
    let ended = |job: &Value| {
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|one| one["type"] == "Complete" || one["type"] == "Failed")
    };
    let job = pods::until(
        store,
        &resources::JOBS,
        &names.namespace,
        object::name(&job),
        ended,
    )
    .await?;
    let pods = store.list(&resources::PODS, Some(&names.namespace)).items;
    let is_of_job =
        |pod: &&Object| pod["metadata"]["ownerReferences"][0]["uid"] == object::uid(&job);
    if let Some(pod) = pods.iter().find(is_of_job) {
        for night in nights(&now).take(EARLIER_JOBS) {
            let earlier = self::job(names, &cron_job, night.timestamp());
            repeat_on(store, &night, &job, pod, earlier)?;
        }
    }
    let claim = store
        .get(&resources::CLAIMS, &names.namespace, &names.backup_claim)
        .map_err(|source| WorldError::Create {
            kind: "Job",
            name: names.backup_claim.clone(),
            source,
        })?;
    let volume = node.volume_directory(claim["spec"]["volumeName"].as_str().unwrap_or_default());
    copy_to_earlier_nights(&volume, &names.instance, &now).map_err(|source| WorldError::Io {
        what: "copy the backup to earlier nights",
        source,
    })
}

fn job(names: &Names, cron_job: &Value, time: Timestamp) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": format!("{}-backup-job-{}", names.instance, time.as_second()),
            "namespace": names.namespace,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "controller": true, "blockOwnerDeletion": true,
                "name": object::name(cron_job), "uid": object::uid(cron_job),
            }],
        },
        "spec": template["spec"],
    })
}

/// Adds a Job of an earlier night and its pod, which ended as `job` and `pod` did.
fn repeat_on(
    store: &Store,
    night: &Zoned,
    job: &Value,
    pod: &Value,
    earlier: Value,
) -> Result<(), WorldError> {
    let started = job["status"]["startTime"].as_str().unwrap_or_default();
    let started = started.parse().unwrap_or(night.timestamp());
    let later_by = started.duration_since(night.timestamp());
    let created = object::timestamp(night.timestamp());
    let add = |resource: &'static Resource, manifest: Value, like: &Value| {
        let mut status = like["status"].clone();
        shift_times(&mut status, later_by);
        let name = object::name(&manifest).to_owned();
        store
            .create_and(resource, manifest, |object| {
                object["metadata"]["creationTimestamp"] = created.clone().into();
                object["status"] = status;
            })
            .map_err(|source| WorldError::Create {
                kind: resource.kind,
                name,
                source,
            })
    };
    let earlier = add(&resources::JOBS, earlier, job)?;
    let pod_of_earlier = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", object::name(&earlier)), "namespace": object::namespace(&earlier),
            "labels": earlier["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "controller": true, "blockOwnerDeletion": true,
                "name": object::name(&earlier), "uid": object::uid(&earlier),
            }],
        },
        "spec": pod["spec"],
    });
    add(&resources::PODS, pod_of_earlier, pod).map(drop)
}

/// Moves every time in a status back.
fn shift_times(value: &mut Value, by: SignedDuration) {
    match value {
        Value::String(text) => {
            let earlier = text.parse::<Timestamp>().ok();
            if let Some(earlier) = earlier.and_then(|time| time.checked_sub(by).ok()) {
                *text = object::timestamp(earlier);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift_times(item, by)),
        Value::Object(fields) => fields.values_mut().for_each(|item| shift_times(item, by)),
        _ => {}
    }
}

fn copy_to_earlier_nights(volume: &Path, instance: &str, now: &Zoned) -> io::Result<()> {
    let latest = fs::read_dir(volume)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix(DUMP).map(str::to_owned))
        .max()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the backup job left no dump"))?;
    for night in earlier_nights(now) {
        let stamp = night.strftime("%Y%m%d-%H%M%S").to_string();
        let time = SystemTime::from(night.timestamp());
        let key = |stamp: &str| format!("auth-encryption-{instance}_{stamp}.yaml");
        for (from, to) in [
            (format!("{DUMP}{latest}"), format!("{DUMP}{stamp}")),
            (key(&latest), key(&stamp)),
        ] {
            let (from, to) = (volume.join(from), volume.join(to));
            if from.exists() {
                fs::copy(&from, &to)?;
                File::options().write(true).open(&to)?.set_modified(time)?;
            }
        }
    }
    Ok(())
}

/// The nights whose backups retention has kept beside today's. The next backup takes the place of the oldest.
fn earlier_nights(now: &Zoned) -> Vec<Zoned> {
    let today = at_eleven(now, 0);
    let (sundays, others): (Vec<_>, Vec<_>) = today
        .into_iter()
        .chain(nights(now).take(40))
        .partition(|night| night.weekday() == Weekday::Sunday);
    let kept = sundays
        .into_iter()
        .take(KEPT_SUNDAYS)
        .chain(others.into_iter().take(KEPT_OTHER_DAYS));
    kept.filter(|night| night.date() != now.date()).collect()
}

/// The nights before today, the latest first.
fn nights(now: &Zoned) -> impl Iterator<Item = Zoned> {
    (1..).map_while(|days| at_eleven(now, days))
}

/// When the backup of so many days ago was taken.
fn at_eleven(now: &Zoned, days_ago: i64) -> Option<Zoned> {
    let day = now.checked_sub(days_ago.days()).ok()?;
    day.with()
        .hour(23)
        .minute(0)
        .second(4)
        .subsec_nanosecond(0)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_nights_and_today_are_what_retention_keeps() {
        for (today, others, sundays) in [
            ("2026-11-21T08:00[UTC]", 5, 4),
            ("2026-11-22T08:00[UTC]", 6, 3),
        ] {
            let today: Zoned = today.parse().expect("a time");
            let nights = earlier_nights(&today);
            let on_sunday = nights
                .iter()
                .filter(|night| night.weekday() == Weekday::Sunday)
                .count();
            assert_eq!(
                (nights.len() - on_sunday, on_sunday),
                (others, sundays),
                "{today}"
            );
            assert!(nights.iter().all(|night| *night < today));
        }
    }
}
