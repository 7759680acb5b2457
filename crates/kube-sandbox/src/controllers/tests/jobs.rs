//! Jobs.

use futures::StreamExt;
use serde_json::{Value, json};

use super::super::conditions;
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
