//! Jobs and CronJobs.

use futures::StreamExt;
use serde_json::{Value, json};

use super::super::{conditions, controlled, owner_reference};
use super::{cluster, in_time, job};
use crate::meta::{object, resources};

fn condition_types(object: &Value) -> Vec<&str> {
    let conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .filter_map(|condition| condition["type"].as_str())
        .collect()
}

#[tokio::test]
async fn a_job_announces_its_success_before_it_is_complete() {
    let cluster = cluster();
    let mut seen = cluster.store.watch(&resources::JOBS, None, None).boxed();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "backoffLimit": 0 })),
    );
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    assert!(object::name(&pod).starts_with("backup-"));
    cluster.set_phase(&pod, "Succeeded");

    let mut steps = Vec::new();
    while steps.last().is_none_or(|step: &Vec<String>| step.len() < 2) {
        let object = in_time(seen.next())
            .await
            .expect("watches do not end")
            .expect("the watch goes on")
            .object;
        let types: Vec<_> = condition_types(&object)
            .into_iter()
            .map(str::to_owned)
            .collect();
        if !types.is_empty() {
            steps.push(types);
        }
    }
    assert_eq!(
        steps,
        [
            vec!["SuccessCriteriaMet"],
            vec!["SuccessCriteriaMet", "Complete"]
        ]
    );
    let done = cluster.get(&resources::JOBS, "backup");
    assert_eq!(done["status"]["succeeded"], 1);
    assert!(done["status"]["completionTime"].is_string());
    assert!(done["status"].get("active").is_none(), "{done}");
}

#[tokio::test]
async fn a_job_fails_when_its_retries_are_used_up() {
    let cluster = cluster();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "backoffLimit": 1 })),
    );
    for _ in 0..2 {
        let pod = in_time(cluster.pods("job", 1, |pod| pod["status"]["phase"] == "Pending"))
            .await
            .remove(0);
        cluster.set_phase(&pod, "Failed");
    }
    let failed = in_time(cluster.until(&resources::JOBS, "backup", |job| {
        conditions::is_true(job, "Failed")
    }))
    .await;
    assert_eq!(condition_types(&failed), ["FailureTarget", "Failed"]);
    assert_eq!(failed["status"]["failed"], 2);
    assert_eq!(
        conditions::find(&failed, "Failed").expect("a condition")["reason"],
        "BackoffLimitExceeded"
    );
    assert!(failed["status"].get("completionTime").is_none(), "{failed}");
}

#[tokio::test]
async fn a_job_past_its_deadline_fails_and_its_pod_is_deleted() {
    let cluster = cluster();
    cluster.create(
        &resources::JOBS,
        job("backup", &json!({ "activeDeadlineSeconds": 1 })),
    );
    let pod = in_time(cluster.pods("job", 1, |_| true)).await.remove(0);
    cluster.set_phase(&pod, "Running");
    let failed = in_time(cluster.until(&resources::JOBS, "backup", |job| {
        conditions::is_true(job, "Failed")
    }))
    .await;
    assert_eq!(
        conditions::find(&failed, "Failed").expect("a condition")["reason"],
        "DeadlineExceeded"
    );
    assert!(object::is_terminating(
        &cluster.get(&resources::PODS, object::name(&pod))
    ));
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
async fn the_history_limit_spares_jobs_made_by_hand() {
    let cluster = cluster();
    let owner = cluster.create(&resources::CRON_JOBS, cron_job(&json!({ "suspend": true })));
    let finished = |name: &str, start: &str, annotations: Value| {
        let mut job = job(name, &json!({}));
        job["metadata"]["annotations"] = annotations;
        job["metadata"]["ownerReferences"] =
            json!([owner_reference(&resources::CRON_JOBS, &owner)]);
        job["status"] =
            json!({ "startTime": start, "conditions": [{ "type": "Complete", "status": "True" }] });
        cluster.create(&resources::JOBS, job);
    };
    finished(
        "by-hand",
        "2026-01-01T00:00:00Z",
        json!({ "cronjob.kubernetes.io/instantiate": "manual" }),
    );
    finished("newest", "2026-01-03T00:00:00Z", json!({}));
    finished("oldest", "2026-01-02T00:00:00Z", json!({}));
    let mut changes = cluster.store.watch(&resources::JOBS, None, None).boxed();
    while controlled(&cluster.store, &resources::JOBS, &owner).len() > 2 {
        in_time(changes.next())
            .await
            .expect("watches do not end")
            .expect("the watch goes on");
    }
    cluster.get(&resources::JOBS, "by-hand");
    cluster.get(&resources::JOBS, "newest");
}

#[tokio::test]
async fn a_job_made_by_hand_is_the_cron_jobs_and_not_among_its_active_ones() {
    let cluster = cluster();
    let owner = cluster.create(&resources::CRON_JOBS, cron_job(&json!({ "suspend": true })));
    let start = |name: &str, annotations: Value| {
        let mut job = job(name, &json!({}));
        job["metadata"]["annotations"] = annotations;
        job["metadata"]["ownerReferences"] =
            json!([owner_reference(&resources::CRON_JOBS, &owner)]);
        cluster.create(&resources::JOBS, job);
    };
    let by_hand = json!({ "cronjob.kubernetes.io/instantiate": "manual" });
    start("by-hand", by_hand);
    start("nightly", json!({}));
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
