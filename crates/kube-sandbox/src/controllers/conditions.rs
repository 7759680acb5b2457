//! `status.conditions`, written the way Kubernetes' own controllers do.

use serde_json::{Value, json};

use crate::meta::object;

/// A condition without its times.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) kind: &'static str,
    pub(super) status: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Condition {
    fn status(&self) -> &'static str {
        if self.status { "True" } else { "False" }
    }
}

/// The condition of that type, if the object has it.
pub(super) fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Whether the object has the condition with status `True`.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    find(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Sets a Deployment's condition: moved to the end of the list, and only if status, reason or message differ.
pub(super) fn set(object: &mut Value, condition: &Condition) {
    let now = object::now();
    let previous = find(object, condition.kind);
    if previous.is_some_and(|one| {
        one["status"] == condition.status()
            && one["reason"] == condition.reason
            && one["message"] == condition.message
    }) {
        return;
    }
    let since = previous
        .filter(|one| one["status"] == condition.status())
        .map_or_else(|| json!(now), |one| one["lastTransitionTime"].clone());
    push(
        object,
        condition.kind,
        json!({
            "type": condition.kind, "status": condition.status(), "lastUpdateTime": now, "lastTransitionTime": since,
            "reason": condition.reason, "message": condition.message,
        }),
    );
}

/// Adds a Job's condition, which is only ever set once.
pub(super) fn add_to_job(object: &mut Value, condition: &Condition) {
    let now = object::now();
    push(
        object,
        condition.kind,
        json!({
            "type": condition.kind, "status": condition.status(), "lastProbeTime": now, "lastTransitionTime": now,
            "reason": condition.reason, "message": condition.message,
        }),
    );
}

fn push(object: &mut Value, kind: &str, condition: Value) {
    let conditions = object::map_mut(&mut object["status"])
        .entry("conditions")
        .or_insert_with(|| json!([]));
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|one| one["type"] != kind);
        list.push(condition);
    }
}
