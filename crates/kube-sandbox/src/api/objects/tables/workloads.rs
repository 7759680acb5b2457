//! Rows of pods and of what makes pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Layout, NAME, column, integer, pods, text, wide};
use crate::meta::Resource;

pub(super) fn layout(resource: &Resource) -> Option<Layout> {
    Some(match (resource.group, resource.plural) {
        ("", "pods") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Ready"),
                    column("Status"),
                    column("Restarts"),
                    AGE,
                    wide("IP"),
                    wide("Node"),
                    wide("Nominated Node"),
                    wide("Readiness Gates"),
                ]
            },
            cells: pods::cells,
        },
        ("apps", "daemonsets") => daemon_sets(),
        ("autoscaling", "horizontalpodautoscalers") => autoscalers(),
        ("apps", "deployments") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Ready"),
                    column("Up-to-date"),
                    column("Available"),
                    AGE,
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            },
            cells: deployment,
        },
        ("apps", "replicasets") => Layout {
            columns: const {
                &[
                    NAME,
                    integer("Desired"),
                    integer("Current"),
                    integer("Ready"),
                    AGE,
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            },
            cells: replica_set,
        },
        ("apps", "statefulsets") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Ready"),
                    AGE,
                    wide("Containers"),
                    wide("Images"),
                ]
            },
            cells: stateful_set,
        },
        ("batch", "jobs") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Status"),
                    column("Completions"),
                    column("Duration"),
                    AGE,
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            },
            cells: job,
        },
        ("batch", "cronjobs") => Layout {
            columns: const {
                &[
                    NAME,
                    column("Schedule"),
                    column("Timezone"),
                    column("Suspend"),
                    integer("Active"),
                    column("Last Schedule"),
                    AGE,
                    wide("Containers"),
                    wide("Images"),
                    wide("Selector"),
                ]
            },
            cells: cron_job,
        },
        _ => return None,
    })
}

fn daemon_sets() -> Layout {
    Layout {
        columns: const {
            &[
                NAME,
                integer("Desired"),
                integer("Current"),
                integer("Ready"),
                integer("Up-to-date"),
                integer("Available"),
                column("Node Selector"),
                AGE,
                wide("Containers"),
                wide("Images"),
                wide("Selector"),
            ]
        },
        cells: daemon_set,
    }
}

fn template(object: &Value) -> [Value; 3] {
    let pod = &object["spec"]["template"]["spec"];
    let selector = text::labels(&object["spec"]["selector"]["matchLabels"]);
    [
        text::containers(pod, "name"),
        text::containers(pod, "image"),
        selector,
    ]
}

fn daemon_set(object: &Value) -> Vec<Value> {
    let mut cells = vec![text::name(object)];
    for number in [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ] {
        cells.push(text::count(&object["status"][number]).into());
    }
    cells.push(text::labels(
        &object["spec"]["template"]["spec"]["nodeSelector"],
    ));
    cells.push(text::age(object));
    cells.extend(template(object));
    cells
}

fn autoscalers() -> Layout {
    Layout {
        columns: const {
            &[
                NAME,
                column("Reference"),
                column("Targets"),
                column("MinPods"),
                column("MaxPods"),
                integer("Replicas"),
                AGE,
            ]
        },
        cells: autoscaler,
    }
}

fn autoscaler(object: &Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = &spec["scaleTargetRef"];
    let metrics = spec["metrics"].as_array().into_iter().flatten();
    let targets: Vec<String> = metrics
        .map(|metric| {
            let resource = &metric["resource"];
            let share = &resource["target"]["averageUtilization"];
            format!("{}: <unknown>/{share}%", text_of(&resource["name"]))
        })
        .collect();
    vec![
        text::name(object),
        format!("{}/{}", text_of(&target["kind"]), text_of(&target["name"])).into(),
        targets.join(", ").into(),
        text::count(&spec["minReplicas"]).to_string().into(),
        text::count(&spec["maxReplicas"]).to_string().into(),
        text::count(&status["currentReplicas"]).into(),
        text::age(object),
    ]
}

fn deployment(object: &Value) -> Vec<Value> {
    let status = &object["status"];
    let ready = format!(
        "{}/{}",
        text::count(&status["readyReplicas"]),
        text::count(&object["spec"]["replicas"])
    );
    let mut cells = vec![
        text::name(object),
        ready.into(),
        text::count(&status["updatedReplicas"]).to_string().into(),
        text::count(&status["availableReplicas"]).to_string().into(),
        text::age(object),
    ];
    cells.extend(template(object));
    cells
}

fn replica_set(object: &Value) -> Vec<Value> {
    let mut cells = vec![
        text::name(object),
        text::count(&object["spec"]["replicas"]).into(),
        text::count(&object["status"]["replicas"]).into(),
        text::count(&object["status"]["readyReplicas"]).into(),
        text::age(object),
    ];
    cells.extend(template(object));
    cells
}

fn stateful_set(object: &Value) -> Vec<Value> {
    let ready = format!(
        "{}/{}",
        text::count(&object["status"]["readyReplicas"]),
        text::count(&object["spec"]["replicas"])
    );
    let [names, images, _] = template(object);
    vec![
        text::name(object),
        ready.into(),
        text::age(object),
        names,
        images,
    ]
}

fn job(object: &Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let holds = |condition: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|one| one["type"] == condition && one["status"] == "True")
    };
    let state = if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if object["metadata"]["deletionTimestamp"].is_string() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let completions = spec["completions"].as_u64().unwrap_or(1);
    let mut cells = vec![
        text::name(object),
        state.into(),
        format!("{}/{completions}", text::count(&status["succeeded"])).into(),
        job_duration(status).into(),
        text::age(object),
    ];
    cells.extend(template(object));
    cells
}

fn job_duration(status: &Value) -> String {
    let time = |field: &str| {
        status[field]
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok())
    };
    match (time("startTime"), time("completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => {
            text::duration(end.unwrap_or_else(Timestamp::now).as_second() - start.as_second())
        }
    }
}

fn cron_job(object: &Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let last = match &status["lastScheduleTime"] {
        Value::Null => text::NONE.to_owned(),
        time => text::since(time),
    };
    let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
    vec![
        text::name(object),
        text::plain(&spec["schedule"]),
        text::or_none(&spec["timeZone"]),
        if spec["suspend"] == true {
            "True"
        } else {
            "False"
        }
        .into(),
        status["active"].as_array().map_or(0, Vec::len).into(),
        last.into(),
        text::age(object),
        text::containers(pod, "name"),
        text::containers(pod, "image"),
        text::labels(&spec["jobTemplate"]["spec"]["selector"]["matchLabels"]),
    ]
}
