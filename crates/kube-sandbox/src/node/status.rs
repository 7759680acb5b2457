//! A pod's `.status`, as a kubelet reports it.

use serde_json::{Value, json};

use super::{
    spec::{Pod, RestartPolicy},
    state::{ContainerPhase, PodRuntime, PodState, Record, Terminated},
};
use crate::meta::object;

/// The status of a pod on this node. `object` is the stored pod: transition times of unchanged conditions are kept.
pub(super) fn pod_status(runtime: &PodRuntime, object: &Value) -> Value {
    let state = runtime.state();
    let phase = phase(runtime.pod.spec.restart_policy, &state);
    let generation = &object["metadata"]["generation"];
    let mut status = json!({
        "phase": phase,
        "conditions": conditions(&state, phase, generation, &object["status"]["conditions"]),
    });
    if let Some(machine) = runtime.machine() {
        status["hostIP"] = machine.address.into();
        status["hostIPs"] = json!([{"ip": machine.address}]);
    }
    if !generation.is_null() {
        status["observedGeneration"] = generation.clone();
    }
    if state.sandbox_ready {
        status["podIP"] = runtime.ip.as_str().into();
        status["podIPs"] = json!([{"ip": runtime.ip}]);
    }
    if let Some(started_at) = &state.started_at {
        status["startTime"] = started_at.as_str().into();
    }
    if let Some((reason, message)) = &state.ended_by_node {
        status["reason"] = (*reason).into();
        status["message"] = message.as_str().into();
    }
    if !state.init.is_empty() {
        status["initContainerStatuses"] = container_statuses(&runtime.pod, &state.init);
    }
    status["containerStatuses"] = container_statuses(&runtime.pod, &state.main);
    let class = &object["status"]["qosClass"];
    status["qosClass"] = if class.is_null() {
        "BestEffort".into()
    } else {
        class.clone()
    };
    status
}

/// The rules of the kubelet's `getPhase`.
fn phase(policy: RestartPolicy, state: &PodState) -> &'static str {
    if state.ended_by_node.is_some() {
        return "Failed";
    }
    let ended = |record: &Record| match &record.phase {
        ContainerPhase::Terminated(end) => Some(end.exit_code),
        ContainerPhase::Waiting { .. } => record.last.as_ref().map(|end| end.exit_code),
        ContainerPhase::Running { .. } => None,
    };
    for record in &state.init {
        match &record.phase {
            ContainerPhase::Terminated(end) if end.exit_code == 0 => {}
            ContainerPhase::Terminated(_) if policy == RestartPolicy::Never => return "Failed",
            _ => return "Pending",
        }
    }
    if state
        .main
        .iter()
        .any(|record| !record.is_running() && ended(record).is_none())
    {
        return "Pending";
    }
    if state.main.iter().any(Record::is_running) {
        return "Running";
    }
    let all_succeeded = state.main.iter().all(|record| ended(record) == Some(0));
    match policy {
        RestartPolicy::Always => "Running",
        _ if all_succeeded => "Succeeded",
        RestartPolicy::OnFailure => "Running",
        RestartPolicy::Never => "Failed",
    }
}

fn conditions(state: &PodState, phase: &str, generation: &Value, before: &Value) -> Value {
    let unready = |records: &[Record], is_ready: fn(&Record) -> bool| {
        let names: Vec<_> = records
            .iter()
            .filter(|record| !is_ready(record))
            .map(|record| record.spec.name.as_str())
            .collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    let not_initialized = unready(
        &state.init,
        |record| matches!(&record.phase, ContainerPhase::Terminated(end) if end.exit_code == 0),
    );
    let not_ready = unready(&state.main, |record| record.ready);

    let ready = match (phase, not_ready) {
        ("Succeeded", _) => no("PodCompleted"),
        ("Failed", _) => no("PodFailed"),
        (_, None) => yes(),
        (_, Some(names)) => because(
            "ContainersNotReady",
            format!("containers with unready status: [{names}]"),
        ),
    };
    let initialized = match (phase, not_initialized) {
        ("Succeeded", None) => ("True", Some("PodCompleted"), None),
        (_, None) => yes(),
        (_, Some(names)) => because(
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{names}]"),
        ),
    };
    let has_ended = matches!(phase, "Succeeded" | "Failed");
    let sandbox = if state.sandbox_ready && !has_ended {
        yes()
    } else {
        ("False", None, None)
    };

    [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized),
        ("Ready", ready.clone()),
        ("ContainersReady", ready),
        ("PodScheduled", yes()),
    ]
    .into_iter()
    .map(|(kind, verdict)| condition(kind, verdict, generation, before))
    .collect()
}

type Verdict = (&'static str, Option<&'static str>, Option<String>);

fn yes() -> Verdict {
    ("True", None, None)
}

fn no(reason: &'static str) -> Verdict {
    ("False", Some(reason), None)
}

fn because(reason: &'static str, message: String) -> Verdict {
    ("False", Some(reason), Some(message))
}

/// One condition. Its transition time is when its status, not its reason, last changed.
pub(super) fn condition(
    kind: &str,
    (status, reason, message): Verdict,
    generation: &Value,
    before: &Value,
) -> Value {
    let same = before
        .as_array()
        .into_iter()
        .flatten()
        .find(|known| known["type"] == kind && known["status"] == status);
    let since = same.map_or_else(
        || object::now().into(),
        |known| known["lastTransitionTime"].clone(),
    );
    let mut condition =
        json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": since});
    if !generation.is_null() {
        condition["observedGeneration"] = generation.clone();
    }
    if let Some(reason) = reason {
        condition["reason"] = reason.into();
    }
    if let Some(message) = message {
        condition["message"] = message.into();
    }
    condition
}

fn container_statuses(pod: &Pod, records: &[Record]) -> Value {
    records
        .iter()
        .map(|record| container_status(pod, record))
        .collect()
}

fn container_status(pod: &Pod, record: &Record) -> Value {
    let state = match &record.phase {
        ContainerPhase::Waiting { reason, message } => {
            let mut waiting = json!({"reason": reason});
            if let Some(message) = message {
                waiting["message"] = message.as_str().into();
            }
            json!({"waiting": waiting})
        }
        ContainerPhase::Running { started_at } => json!({"running": {"startedAt": started_at}}),
        ContainerPhase::Terminated(end) => terminated(end),
    };
    let mut status = json!({
        "name": record.spec.name, "state": state, "ready": record.ready, "restartCount": record.restart_count,
        "lastState": record.last.as_ref().map_or_else(|| json!({}), terminated),
        "image": record.spec.image, "imageID": record.image_id, "started": record.is_running(),
    });
    if let Some(id) = record.container_id() {
        status["containerID"] = id.into();
        status["resources"] = json!({});
        let config = record
            .container
            .as_ref()
            .map(|container| (container.config().user, container.config().group));
        if let Some((user, group)) = config {
            status["user"] =
                json!({"linux": {"uid": user, "gid": group, "supplementalGroups": [group]}});
        }
    }
    if !record.spec.volume_mounts.is_empty() {
        status["volumeMounts"] = volume_mounts(pod, record);
    }
    status
}

fn volume_mounts(pod: &Pod, record: &Record) -> Value {
    let mounts = record.spec.volume_mounts.iter().filter(|mount| {
        pod.spec
            .volumes
            .iter()
            .any(|volume| volume.name == mount.name)
    });
    mounts
        .map(|mount| {
            let mut status = json!({"name": mount.name, "mountPath": mount.mount_path});
            if mount.read_only {
                status["readOnly"] = true.into();
                status["recursiveReadOnly"] = "Disabled".into();
            }
            status
        })
        .collect()
}

fn terminated(end: &Terminated) -> Value {
    let mut terminated = json!({
        "exitCode": end.exit_code, "reason": end.reason, "startedAt": end.started_at, "finishedAt": end.finished_at,
        "containerID": end.container_id,
    });
    if let Some(message) = &end.message {
        terminated["message"] = message.as_str().into();
    }
    json!({"terminated": terminated})
}
