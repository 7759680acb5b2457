//! The row of a pod, whose status is put together from all its containers.

use serde_json::{Value, json};

use super::text;

pub(super) fn cells(pod: &Value) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let statuses = || status["containerStatuses"].as_array().into_iter().flatten();
    let total = spec["containers"].as_array().map_or(0, Vec::len);
    let ready = statuses().filter(|one| one["ready"] == true).count();
    let gates = match spec["readinessGates"].as_array() {
        Some(gates) => json!(format!("0/{}", gates.len())),
        None => json!(text::NONE),
    };
    vec![
        text::name(pod),
        format!("{ready}/{total}").into(),
        reason(pod).into(),
        restarts(statuses()).into(),
        text::age(pod),
        text::or_none(&status["podIP"]),
        text::or_none(&spec["nodeName"]),
        text::or_none(&status["nominatedNodeName"]),
        gates,
    ]
}

fn restarts<'a>(statuses: impl Iterator<Item = &'a Value> + Clone) -> String {
    let count: u64 = statuses
        .clone()
        .map(|one| text::count(&one["restartCount"]))
        .sum();
    let last = statuses
        .filter_map(|one| one["lastState"]["terminated"]["finishedAt"].as_str())
        .max();
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", text::since(&last.into())),
        _ => count.to_string(),
    }
}

fn reason(pod: &Value) -> String {
    let status = &pod["status"];
    let phase = status["phase"].as_str().unwrap_or_default();
    let mut reason = status["reason"]
        .as_str()
        .filter(|reason| !reason.is_empty())
        .unwrap_or(phase)
        .to_owned();
    let initializing = initializing(pod);
    if let Some(state) = &initializing {
        reason.clone_from(state);
    }
    let mut running = false;
    if initializing.is_none() {
        for container in status["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
            .rev()
        {
            let state = &container["state"];
            if let Some(waiting) = state["waiting"]["reason"].as_str() {
                waiting.clone_into(&mut reason);
            } else if state["terminated"].is_object() {
                reason = terminated(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
            }
        }
    }
    if reason == "Completed" && running {
        let ready = status["conditions"].as_array().into_iter().flatten();
        let ready = ready
            .into_iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True");
        reason = String::from(if ready { "Running" } else { "NotReady" });
    }
    let ended = matches!(phase, "Succeeded" | "Failed");
    if pod["metadata"]["deletionTimestamp"].is_string() && !ended {
        reason = String::from("Terminating");
    }
    reason
}

/// What holds a pod at its init containers, if anything does.
fn initializing(pod: &Value) -> Option<String> {
    let total = pod["spec"]["initContainers"].as_array()?.len();
    let statuses = pod["status"]["initContainerStatuses"].as_array()?;
    statuses.iter().enumerate().find_map(|(index, container)| {
        let state = &container["state"];
        if state["terminated"]["exitCode"] == 0 {
            return None;
        }
        let waiting = state["waiting"]["reason"]
            .as_str()
            .filter(|reason| *reason != "PodInitializing");
        Some(match waiting {
            Some(reason) => format!("Init:{reason}"),
            None if state["terminated"].is_object() => {
                format!("Init:{}", terminated(&state["terminated"]))
            }
            None => format!("Init:{index}/{total}"),
        })
    })
}

fn terminated(state: &Value) -> String {
    match (state["reason"].as_str(), state["signal"].as_i64()) {
        (Some(reason), _) if !reason.is_empty() => reason.to_owned(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!(
            "ExitCode:{}",
            state["exitCode"].as_i64().unwrap_or_default()
        ),
    }
}
