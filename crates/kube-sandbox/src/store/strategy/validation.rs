//! Rules for what an object says, new or changed.

use std::str::FromStr;

use serde_json::Value;

use super::metadata::{LABEL_RULE, is_label};
use crate::meta::{Cause, Resource};

pub(super) fn check(resource: &Resource, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    match (resource.group, resource.plural) {
        ("", "pods") => pod("spec", spec),
        ("", "persistentvolumeclaims") => claim(spec),
        ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets") => workload(spec),
        ("batch", "jobs") => job("spec", spec),
        ("batch", "cronjobs") => cron_job(spec),
        _ => Vec::new(),
    }
}

fn pod(at: &str, spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let containers = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    let volumes: Vec<&Value> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| &volume["name"])
        .collect();
    let init = spec["initContainers"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for (list, containers) in [("initContainers", init), ("containers", containers)] {
        for (index, one) in containers.iter().enumerate() {
            causes.extend(container(&format!("{at}.{list}[{index}]"), one, &volumes));
        }
    }
    let policy = &spec["restartPolicy"];
    if !matches!(
        policy.as_str(),
        None | Some("Always" | "OnFailure" | "Never")
    ) {
        causes.push(Cause::not_supported(
            format!("{at}.restartPolicy"),
            policy,
            &["Always", "OnFailure", "Never"],
        ));
    }
    causes
}

fn container(at: &str, container: &Value, volumes: &[&Value]) -> Vec<Cause> {
    let mut causes = Vec::new();
    match container["name"].as_str() {
        None | Some("") => causes.push(Cause::required(format!("{at}.name"), "")),
        Some(name) if !is_label(name) => {
            causes.push(Cause::invalid(
                format!("{at}.name"),
                &container["name"],
                LABEL_RULE,
            ));
        }
        Some(_) => {}
    }
    if container["image"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required(format!("{at}.image"), ""));
    }
    for (index, mount) in container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if !volumes.contains(&&mount["name"]) {
            let message = format!("Not found: {}", mount["name"]);
            causes.push(Cause {
                reason: "FieldValueNotFound",
                field: format!("{at}.volumeMounts[{index}].name"),
                message,
            });
        }
    }
    causes
}

fn workload(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let selector = spec["selector"]["matchLabels"].as_object();
    let labels = &spec["template"]["metadata"]["labels"];
    match selector {
        None if spec["selector"]["matchExpressions"].is_null() => {
            causes.push(Cause::required("spec.selector", ""));
        }
        Some(selector)
            if selector
                .iter()
                .any(|(key, value)| labels.get(key) != Some(value)) =>
        {
            let detail = "`selector` does not match template `labels`";
            causes.push(Cause::invalid(
                "spec.template.metadata.labels",
                labels,
                detail,
            ));
        }
        _ => {}
    }
    causes.extend(not_negative("spec.replicas", &spec["replicas"]));
    causes.extend(pod("spec.template.spec", &spec["template"]["spec"]));
    causes
}

fn job(at: &str, spec: &Value) -> Vec<Cause> {
    let mut causes = pod(&format!("{at}.template.spec"), &spec["template"]["spec"]);
    if spec["template"]["spec"]["restartPolicy"] == "Always" {
        let field = format!("{at}.template.spec.restartPolicy");
        causes.push(Cause::required(
            field,
            "valid values: \"OnFailure\", \"Never\"",
        ));
    }
    for field in ["parallelism", "completions", "backoffLimit"] {
        causes.extend(not_negative(&format!("{at}.{field}"), &spec[field]));
    }
    causes
}

fn cron_job(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match spec["schedule"].as_str() {
        None | Some("") => causes.push(Cause::required("spec.schedule", "")),
        // Since Kubernetes 1.29.
        Some(schedule) if schedule.contains("TZ") => {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            causes.push(Cause::invalid("spec.schedule", &spec["schedule"], detail));
        }
        Some(schedule) => {
            let fields = schedule.split_whitespace().count();
            let detail = if schedule.starts_with('@') {
                None
            } else if fields == 5 {
                croner::Cron::from_str(schedule)
                    .err()
                    .map(|error| error.to_string())
            } else {
                Some(format!(
                    "expected exactly 5 fields, found {fields}: [{schedule}]"
                ))
            };
            causes.extend(
                detail.map(|detail| Cause::invalid("spec.schedule", &spec["schedule"], &detail)),
            );
        }
    }
    causes.extend(time_zone(&spec["timeZone"]));
    let policy = &spec["concurrencyPolicy"];
    let policies = ["Allow", "Forbid", "Replace"];
    if !policies.iter().any(|one| policy == one) {
        causes.push(Cause::not_supported(
            "spec.concurrencyPolicy",
            policy,
            &policies,
        ));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        causes.extend(not_negative(&format!("spec.{field}"), &spec[field]));
    }
    causes.extend(job("spec.jobTemplate.spec", &spec["jobTemplate"]["spec"]));
    causes
}

fn time_zone(zone: &Value) -> Option<Cause> {
    let name = zone.as_str()?;
    let detail = if name.is_empty() {
        "timeZone must be nil or non-empty string".to_owned()
    } else if name.eq_ignore_ascii_case("local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            .to_owned()
    } else if jiff::tz::TimeZone::get(name).is_err() {
        format!("unknown time zone {name}")
    } else {
        return None;
    };
    Some(Cause::invalid("spec.timeZone", zone, &detail))
}

fn claim(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if spec["resources"]["requests"]["storage"].is_null() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
    causes
}

fn not_negative(field: &str, value: &Value) -> Option<Cause> {
    let negative = value.as_i64().is_some_and(|number| number < 0);
    negative.then(|| Cause::invalid(field, value, "must be greater than or equal to 0"))
}
