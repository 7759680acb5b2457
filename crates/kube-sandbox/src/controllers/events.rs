//! Events that controllers record, one object for the same thing said again (`EventAggregator` of client-go).

use rand::RngExt;
use serde_json::{Value, json};

use crate::meta::{object, resources};
use crate::store::Store;

/// Who says something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorder<'a> {
    pub(super) store: &'a Store,
    pub(super) component: &'a str,
}

impl Recorder<'_> {
    /// Says that something went as it should.
    pub(super) fn normal(&self, about: &Value, reason: &str, message: &str) {
        self.record(about, "Normal", reason, message);
    }

    /// Says that something needs attention.
    pub(super) fn warning(&self, about: &Value, reason: &str, message: &str) {
        self.record(about, "Warning", reason, message);
    }

    fn record(&self, about: &Value, severity: &str, reason: &str, message: &str) {
        let namespace = match object::namespace(about) {
            "" => "default",
            namespace => namespace,
        };
        let now = object::now();
        let known = self.store.list(&resources::EVENTS, Some(namespace)).items;
        let same = known.iter().find(|event| {
            event["involvedObject"]["uid"] == object::uid(about)
                && event["source"]["component"] == self.component
                && event["reason"] == reason
                && event["message"] == message
        });
        let recorded = if let Some(same) = same {
            let name = object::name(same);
            self.store
                .modify(&resources::EVENTS, namespace, name, |event| {
                    event["count"] = (event["count"].as_u64().unwrap_or(1) + 1).into();
                    event["lastTimestamp"] = now.into();
                })
        } else {
            let number: u64 = rand::rng().random();
            let event = json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": { "name": format!("{}.{number:016x}", object::name(about)), "namespace": namespace },
                "involvedObject": {
                    "kind": about["kind"], "apiVersion": about["apiVersion"], "namespace": object::namespace(about),
                    "name": object::name(about), "uid": object::uid(about),
                    "resourceVersion": about["metadata"]["resourceVersion"],
                },
                "reason": reason, "message": message, "type": severity,
                "source": { "component": self.component }, "reportingComponent": self.component,
                "reportingInstance": "", "eventTime": null, "firstTimestamp": now, "lastTimestamp": now, "count": 1,
            });
            self.store.create(&resources::EVENTS, event)
        };
        if let Err(refused) = recorded {
            // As in a real cluster, an event that cannot be written (its namespace is gone) is not worth more than this.
            tracing::debug!(about = object::name(about), %refused, "event not recorded");
        }
    }
}
