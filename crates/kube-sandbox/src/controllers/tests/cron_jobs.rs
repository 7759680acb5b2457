//! CronJobs.

use serde_json::{Value, json};

use super::super::owner_reference;
use super::{Cluster, cluster, in_time, job};
use crate::meta::{Resource, object, resources};

fn by_hand() -> Value {
    json!({ "cronjob.kubernetes.io/instantiate": "manual" })
}

/// A Job that a CronJob owns.
fn owned(owner: &Value, name: &str, annotations: Value) -> Value {
    let mut job = job(name, &json!({}));
    job["metadata"]["annotations"] = annotations;
    job["metadata"]["ownerReferences"] = json!([owner_reference(&resources::CRON_JOBS, owner)]);
    job
}

fn cron_job(specification: &Value) -> Value {
    let mut cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "wa-store-cronjob", "namespace": "cpd" },
        "spec": {
            "schedule": "* * * * *", "successfulJobsHistoryLimit": 1,
            "jobTemplate": { "metadata": { "labels": { "from": "template" } }, "spec": job("x", &json!({}))["spec"] },
        },
        "status": { "lastScheduleTime": "2020-01-01T00:00:00Z" },
    });
    object::map_mut(&mut cron_job["spec"])
        .extend(specification.as_object().cloned().unwrap_or_default());
    cron_job
}

#[tokio::test]
async fn a_cron_jobs_zone_stands_in_its_own_field_and_must_be_known() {
    let cluster = cluster();
    let zoned = json!({ "timeZone": "Europe/Berlin", "suspend": true });
    cluster.create(&resources::CRON_JOBS, cron_job(&zoned));
    for (field, value, why) in [
        (
            "schedule",
            "TZ=Europe/Berlin 0 2 * * *",
            "cannot use TZ or CRON_TZ in schedule",
        ),
        (
            "schedule",
            "CRON_TZ=UTC 0 2 * * *",
            "use timeZone field instead",
        ),
        (
            "timeZone",
            "Europe/Atlantis",
            "unknown time zone Europe/Atlantis",
        ),
        ("timeZone", "Local", "must be an explicit time zone"),
        ("timeZone", "", "must be nil or non-empty string"),
    ] {
        let mut cron_job = cron_job(&json!({ (field): value }));
        cron_job["metadata"]["name"] = "other".into();
        let refused = cluster.store.create(&resources::CRON_JOBS, cron_job);
        let message = refused.expect_err(value).message;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_cron_job_that_is_due_creates_one_job_from_its_template() {
    let cluster = cluster();
    cluster.create(&resources::CRON_JOBS, cron_job(&json!({})));
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    let job = cluster.get(
        &resources::JOBS,
        pod["metadata"]["ownerReferences"][0]["name"]
            .as_str()
            .expect("a name"),
    );
    assert_eq!(job["metadata"]["labels"]["from"], "template");
    assert!(
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
            .is_string()
    );
    let active = in_time(
        cluster.until(&resources::CRON_JOBS, "wa-store-cronjob", |one| {
            one["status"]["active"]
                .as_array()
                .is_some_and(|list| list.len() == 1)
        }),
    )
    .await;
    assert_ne!(active["status"]["lastScheduleTime"], "2020-01-01T00:00:00Z");

    cluster.set_phase(&pod, "Succeeded");
    let done = in_time(
        cluster.until(&resources::CRON_JOBS, "wa-store-cronjob", |one| {
            one["status"]["lastSuccessfulTime"].is_string()
        }),
    )
    .await;
    assert!(done["status"].get("active").is_none(), "{done}");
}

#[tokio::test]
async fn the_history_limit_counts_jobs_made_by_hand() {
    let cluster = cluster();
    let owner = cluster.create(&resources::CRON_JOBS, cron_job(&json!({ "suspend": true })));
    let finished = |name: &str, start: &str, annotations: Value| {
        let mut job = owned(&owner, name, annotations);
        job["status"] =
            json!({ "startTime": start, "conditions": [{ "type": "Complete", "status": "True" }] });
        cluster.create(&resources::JOBS, job);
    };
    finished("newest", "2026-01-03T00:00:00Z", json!({}));
    finished("by-hand", "2026-01-01T00:00:00Z", by_hand());
    in_time(cluster.gone(&resources::JOBS, "cpd", "by-hand")).await;
    cluster.get(&resources::JOBS, "newest");
    let deleted = in_time(cluster.reported("wa-store-cronjob", "SuccessfulDelete")).await;
    assert_eq!(deleted, "Deleted job by-hand");
}

#[tokio::test]
async fn a_job_made_by_hand_is_the_cron_jobs_and_not_among_its_active_ones() {
    let cluster = cluster();
    let owner = cluster.create(&resources::CRON_JOBS, cron_job(&json!({ "suspend": true })));
    cluster.create(&resources::JOBS, owned(&owner, "by-hand", by_hand()));
    cluster.create(&resources::JOBS, owned(&owner, "nightly", json!({})));
    let reported = in_time(
        cluster.until(&resources::CRON_JOBS, "wa-store-cronjob", |one| {
            one["status"]["active"].is_array()
        }),
    )
    .await;
    let active = reported["status"]["active"].as_array().expect("a list");
    let names: Vec<_> = active.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["nightly"]);
}

/// A CronJob whose last time was on New Year's Day, and which started its last Job in 2020.
fn yearly(name: &str, specification: &Value) -> Value {
    let mut fields = json!({ "schedule": "0 0 1 1 *", "timeZone": "Etc/UTC" });
    object::map_mut(&mut fields).extend(specification.as_object().cloned().unwrap_or_default());
    let mut cron_job = cron_job(&fields);
    cron_job["metadata"]["name"] = name.into();
    cron_job
}

/// That day, and the name of the Job of it.
fn new_year(cron_job: &str) -> (String, String) {
    let year = jiff::Zoned::now()
        .with_time_zone(jiff::tz::TimeZone::UTC)
        .year();
    let day = format!("{year:04}-01-01T00:00:00Z");
    let time: jiff::Timestamp = day.parse().expect("a time");
    (day, format!("{cron_job}-{}", time.as_second() / 60))
}

fn names(cluster: &Cluster, resource: &Resource) -> Vec<String> {
    let items = cluster.store.list(resource, Some("cpd")).items;
    items
        .iter()
        .map(|one| object::name(one).to_owned())
        .collect()
}

#[tokio::test]
async fn of_the_times_that_were_missed_the_last_alone_gets_a_job_once_the_cron_job_is_resumed() {
    let cluster = cluster();
    cluster.create(
        &resources::CRON_JOBS,
        yearly("paused", &json!({ "suspend": true })),
    );
    let late = json!({ "startingDeadlineSeconds": 3600 });
    cluster.create(&resources::CRON_JOBS, yearly("late", &late));
    cluster.create(&resources::CRON_JOBS, yearly("other", &json!({})));
    // They are looked at in the order of their names.
    in_time(cluster.reported("other", "SuccessfulCreate")).await;
    let (day, of_other) = new_year("other");
    assert_eq!(names(&cluster, &resources::JOBS), [of_other]);

    let resume = |one: &mut Value| one["spec"]["suspend"] = false.into();
    let resumed = cluster
        .store
        .modify(&resources::CRON_JOBS, "cpd", "paused", resume);
    resumed.expect("the CronJob is there");
    let (_, of_paused) = new_year("paused");
    let created = in_time(cluster.reported("paused", "SuccessfulCreate")).await;
    assert_eq!(created, format!("Created job {of_paused}"));
    let resumed = in_time(cluster.until(&resources::CRON_JOBS, "paused", |one| {
        one["status"]["lastScheduleTime"] != "2020-01-01T00:00:00Z"
    }));
    assert_eq!(resumed.await["status"]["lastScheduleTime"], day);
    // Few times were missed.
    let events = cluster.store.list(&resources::EVENTS, Some("cpd")).items;
    assert!(
        events
            .iter()
            .all(|event| event["reason"] != "TooManyMissedTimes")
    );
    let late = cluster.get(&resources::CRON_JOBS, "late");
    assert_eq!(late["status"]["lastScheduleTime"], "2020-01-01T00:00:00Z");
}

#[tokio::test]
async fn more_than_a_hundred_missed_times_are_worth_an_event_and_still_get_one_job() {
    let cluster = cluster();
    cluster.create(&resources::CRON_JOBS, cron_job(&json!({})));
    let said = in_time(cluster.reported("wa-store-cronjob", "TooManyMissedTimes")).await;
    assert!(said.contains("startingDeadlineSeconds"), "{said}");
    in_time(cluster.reported("wa-store-cronjob", "SuccessfulCreate")).await;
    assert_eq!(names(&cluster, &resources::JOBS).len(), 1);
}

#[tokio::test]
async fn a_job_of_the_schedule_holds_up_or_gives_way_to_the_next_as_the_policy_says() {
    let cluster = cluster();
    for policy in ["Forbid", "Replace"] {
        let name = policy.to_lowercase();
        let specification = json!({ "suspend": true, "concurrencyPolicy": policy });
        let owner = cluster.create(&resources::CRON_JOBS, yearly(&name, &specification));
        for (job, annotations) in [("by-hand", by_hand()), ("nightly", json!({}))] {
            let job = owned(&owner, &format!("{name}-{job}"), annotations);
            cluster.create(&resources::JOBS, job);
        }
        let resume = |one: &mut Value| one["spec"]["suspend"] = false.into();
        let resumed = cluster
            .store
            .modify(&resources::CRON_JOBS, "cpd", &name, resume);
        resumed.expect("the CronJob is there");
    }
    in_time(cluster.gone(&resources::JOBS, "cpd", "replace-nightly")).await;
    in_time(cluster.reported("replace", "SuccessfulCreate")).await;
    in_time(cluster.reported("forbid", "JobAlreadyActive")).await;
    let (_, of_forbid) = new_year("forbid");
    let (_, of_replace) = new_year("replace");
    let mut running = names(&cluster, &resources::JOBS);
    running.sort();
    let mut expected = [
        "forbid-by-hand",
        "forbid-nightly",
        &of_replace,
        "replace-by-hand",
    ];
    expected.sort_unstable();
    assert_eq!(running, expected);

    // The one made by hand goes on, and the schedule waits for its own alone.
    let ended = |job: &mut Value| {
        job["status"]["conditions"] = json!([{ "type": "Failed", "status": "True" }]);
    };
    let ended = cluster
        .store
        .modify(&resources::JOBS, "cpd", "forbid-nightly", ended);
    ended.expect("the Job is there");
    let created = in_time(cluster.reported("forbid", "SuccessfulCreate")).await;
    assert_eq!(created, format!("Created job {of_forbid}"));
    let completed = in_time(cluster.reported("forbid", "SawCompletedJob")).await;
    assert_eq!(
        completed,
        "Saw completed job: forbid-nightly, condition: Failed"
    );
}
