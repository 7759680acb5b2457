//! Backups that the CronJob "has taken" before the cluster started.
//!
//! The latest one is real: a Job from the CronJob's template takes it. The others are copies of its dump with the names
//! and times of earlier nights.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use jiff::civil::Weekday;
use jiff::{ToSpan, Zoned};
use serde_json::{Value, json};

use super::{Names, WorldError, create, pods};
use crate::api::resources;
use crate::node::Node;
use crate::store::{Store, object};

/// Days whose backups the default retention keeps: so many Sundays, so many others.
const KEPT_SUNDAYS: usize = 4;
const KEPT_OTHER_DAYS: usize = 6;
const DUMP: &str = "store.dump_";

/// Takes the latest backup and copies it to the nights before.
pub(super) async fn take(store: &Store, node: &Node, names: &Names) -> Result<(), WorldError> {
    let cron_job = store
        .get(&resources::CRON_JOBS, &names.namespace, &names.cron_job())
        .map_err(|source| WorldError::Create {
            kind: "Job",
            name: names.cron_job(),
            source,
        })?;
    let job = create(store, &resources::JOBS, job(names, &cron_job))?;
    let ended = |job: &Value| {
        let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|one| one["type"] == "Complete" || one["type"] == "Failed")
    };
    pods::until(
        store,
        &resources::JOBS,
        &names.namespace,
        object::name(&job),
        ended,
    )
    .await?;
    let claim = store
        .get(&resources::CLAIMS, &names.namespace, &names.backup_claim)
        .map_err(|source| WorldError::Create {
            kind: "Job",
            name: names.backup_claim.clone(),
            source,
        })?;
    let volume = node.volume_directory(claim["spec"]["volumeName"].as_str().unwrap_or_default());
    copy_to_earlier_nights(&volume, &names.instance, &Zoned::now()).map_err(|source| {
        WorldError::Io {
            what: "copy the backup to earlier nights",
            source,
        }
    })
}

fn job(names: &Names, cron_job: &Value) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": format!("{}-backup-job-{}", names.instance, jiff::Timestamp::now().as_second()),
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
    let at_eleven = |days: i64| {
        let day = now.checked_sub(days.days()).ok()?;
        day.with()
            .hour(23)
            .minute(0)
            .second(4)
            .subsec_nanosecond(0)
            .build()
            .ok()
    };
    let today = now.date();
    let (sundays, others): (Vec<_>, Vec<_>) = (0..=40)
        .filter_map(at_eleven)
        .partition(|night| night.weekday() == Weekday::Sunday);
    let kept = sundays
        .into_iter()
        .take(KEPT_SUNDAYS)
        .chain(others.into_iter().take(KEPT_OTHER_DAYS));
    kept.filter(|night| night.date() != today).collect()
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
