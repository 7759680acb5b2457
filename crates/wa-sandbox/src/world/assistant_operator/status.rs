//! What the operator states of the instance and of its parts.

use kube_sandbox::meta::{Resource, Status, object};
use kube_sandbox::store::Store;
use serde_json::{Value, json};

use super::active::Failure;
use crate::world::kinds;

/// States how many of an instance's Deployments are ready.
pub(super) fn report(
    store: &Store,
    (namespace, instance): (&str, &str),
    ready: usize,
    all: usize,
) -> Result<(), Status> {
    let done = ready == all;
    let progress = format!("{}%", ready * 100 / all.max(1));
    let current = store.get(&kinds::ASSISTANTS, namespace, instance)?;
    let state = if done { "Completed" } else { "InProgress" };
    if current["status"]["progress"] == progress
        && current["status"]["watsonAssistantStatus"] == state
    {
        return Ok(());
    }
    let conditions = if done {
        [
            condition("Ready", true, "Stable", ""),
            condition("Updating", false, "Stable", ""),
        ]
    } else {
        [
            condition("Ready", false, "InProgress", ""),
            condition("Updating", true, "VerifyWait", ""),
        ]
    };
    let written = store.modify(&kinds::ASSISTANTS, namespace, instance, |assistant| {
        let status = &mut assistant["status"];
        status["progress"] = progress.into();
        status["watsonAssistantStatus"] = state.into();
        status["conditions"] = json!(conditions);
        status["componentStatus"] = json!({
            "deployed": format!("{all}/{all}"), "verified": format!("{ready}/{all}"),
        });
    });
    written.map(drop)
}

/// States that a part cannot be reconciled, and why.
pub(super) fn fail(
    store: &Store,
    kind: &'static Resource,
    part: &Value,
    failure: &Failure,
) -> Result<(), Status> {
    let found = ready_condition(part);
    if found["reason"] == failure.reason && found["message"] == failure.message {
        return Ok(());
    }
    let message = failure.message.as_str();
    let conditions = [
        condition("Ready", false, failure.reason, message),
        condition("Updating", false, "Errored", message),
    ];
    set(store, kind, part, &conditions)
}

/// States that a part can be reconciled again, where it could not before.
pub(super) fn recover(store: &Store, kind: &'static Resource, part: &Value) -> Result<(), Status> {
    let reason = &ready_condition(part)["reason"];
    if *reason != "ConfigError" && *reason != "Errored" {
        return Ok(());
    }
    let conditions = [
        condition("Ready", true, "Stable", "Verify Complete"),
        condition("Updating", false, "Stable", "Rollout Complete"),
    ];
    set(store, kind, part, &conditions)
}

fn set(
    store: &Store,
    kind: &'static Resource,
    part: &Value,
    conditions: &[Value],
) -> Result<(), Status> {
    let (namespace, name) = (object::namespace(part), object::name(part));
    let written = store.modify(kind, namespace, name, |part| {
        part["status"]["conditions"] = json!(conditions);
    });
    written.map(drop)
}

fn ready_condition(part: &Value) -> &Value {
    let mut conditions = part["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .find(|one| one["type"] == "Ready")
        .unwrap_or(&Value::Null)
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f");
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransactionTime": now.to_string(),
    })
}
