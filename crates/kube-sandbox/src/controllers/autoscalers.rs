//! HorizontalPodAutoscalers, as those of a cluster without metrics: they keep the replicas of their target between the
//! least and the most, and otherwise as they are.
//!
//! Left out: metrics and behaviour, targets other than Deployments, and the fifteen seconds between two looks.

use std::time::Duration;

use serde_json::{Value, json};

use super::conditions::{self, Condition};
use super::events::Recorder;
use super::{Concerns, Controller, key, replica_sets};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::Store;

/// Scales the Deployments of autoscalers.
#[derive(Debug)]
pub(super) struct Autoscalers;

impl Controller for Autoscalers {
    fn kind(&self) -> &'static Resource {
        &resources::AUTOSCALERS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] = &[(&resources::DEPLOYMENTS, |store, target| {
            let namespace = object::namespace(target);
            let mut all = store.list(&resources::AUTOSCALERS, Some(namespace)).items;
            all.retain(|one| target_name(one) == Some(object::name(target)));
            all.iter().map(|one| key(one)).collect()
        })];
        WATCHED
    }

    fn reconcile(&self, store: &Store, autoscaler: &Object) -> Result<Option<Duration>, Status> {
        let namespace = object::namespace(autoscaler);
        let target = target_name(autoscaler)
            .and_then(|name| store.get(&resources::DEPLOYMENTS, namespace, name).ok());
        let Some(target) = target else {
            let condition = Condition {
                kind: "AbleToScale",
                status: false,
                reason: "FailedGetScale",
                message: "the HPA controller was unable to get the target's current scale"
                    .to_owned(),
            };
            report(store, autoscaler, |status| {
                conditions::set(status, &condition);
            })?;
            return Ok(None);
        };
        let current = replica_sets::wanted(&target);
        let wanted = bounded(&autoscaler["spec"], current);
        if wanted != current {
            store.modify(
                &resources::DEPLOYMENTS,
                namespace,
                object::name(&target),
                |target| {
                    target["spec"]["replicas"] = json!(wanted);
                },
            )?;
            let reason = if wanted < current {
                "above Spec.MaxReplicas"
            } else {
                "below Spec.MinReplicas"
            };
            let message =
                format!("New size: {wanted}; reason: Current number of replicas {reason}");
            let component = "horizontal-pod-autoscaler";
            Recorder { store, component }.normal(autoscaler, "SuccessfulRescale", &message);
        }
        report(store, autoscaler, |autoscaler| {
            autoscaler["status"]["currentReplicas"] = target["status"]["replicas"]
                .as_u64()
                .unwrap_or_default()
                .into();
            autoscaler["status"]["desiredReplicas"] = wanted.into();
            for condition in [able(), active(current)] {
                conditions::set(autoscaler, &condition);
            }
        })?;
        Ok(None)
    }
}

/// The Deployment that an autoscaler is for.
fn target_name(autoscaler: &Value) -> Option<&str> {
    let target = &autoscaler["spec"]["scaleTargetRef"];
    (target["kind"] == "Deployment").then(|| target["name"].as_str())?
}

/// What the bounds make of a number of replicas. At 0 an autoscaler is switched off.
fn bounded(spec: &Value, current: usize) -> usize {
    let bound = |field: &str, left_out: usize| {
        spec[field]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(left_out)
    };
    match current {
        0 => 0,
        current => current
            .max(bound("minReplicas", 1))
            .min(bound("maxReplicas", usize::MAX)),
    }
}

fn able() -> Condition {
    Condition {
        kind: "AbleToScale",
        status: true,
        reason: "SucceededGetScale",
        message: "the HPA controller was able to get the target's current scale".to_owned(),
    }
}

fn active(current: usize) -> Condition {
    let (reason, message) = if current == 0 {
        (
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )
    } else {
        (
            "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: no metrics are served",
        )
    };
    Condition {
        kind: "ScalingActive",
        status: false,
        reason,
        message: message.to_owned(),
    }
}

fn report(
    store: &Store,
    autoscaler: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<Object, Status> {
    let (namespace, name) = (object::namespace(autoscaler), object::name(autoscaler));
    store.modify(&resources::AUTOSCALERS, namespace, name, change)
}
