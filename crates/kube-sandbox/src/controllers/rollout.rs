//! How a Deployment moves its pods from old ReplicaSets to the current one.

use serde_json::Value;

use super::{count, replica_sets};
use crate::meta::{Object, Status};
use crate::store::Store;

/// How far a rolling update may deviate from the replicas asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Pods above.
    pub(super) surge: usize,
    /// Available pods below.
    pub(super) unavailable: usize,
}

/// The limits of a Deployment's strategy; `Recreate` has none of either.
pub(super) fn limits(deployment: &Value) -> Limits {
    let wanted = replica_sets::wanted(deployment);
    let strategy = &deployment["spec"]["strategy"];
    if strategy["type"] == "Recreate" {
        return Limits {
            surge: 0,
            unavailable: wanted,
        };
    }
    let rolling = &strategy["rollingUpdate"];
    let surge = share(&rolling["maxSurge"], wanted, usize::div_ceil);
    let unavailable = share(&rolling["maxUnavailable"], wanted, |part, whole| {
        part / whole
    });
    // With neither, nothing could ever move.
    let unavailable = if surge == 0 {
        unavailable.max(1)
    } else {
        unavailable
    };
    Limits {
        surge,
        unavailable: unavailable.min(wanted),
    }
}

/// A number of pods, or a percentage of those asked for; 25 % when left out.
fn share(limit: &Value, wanted: usize, round: fn(usize, usize) -> usize) -> usize {
    if let Some(number) = limit.as_u64() {
        return usize::try_from(number).unwrap_or(usize::MAX);
    }
    let percent = limit
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok())
        .unwrap_or(25);
    round(wanted.saturating_mul(percent), 100)
}

/// Takes the next step from `old` to `current`.
pub(super) fn advance(
    store: &Store,
    deployment: &Value,
    current: &Object,
    old: &[Object],
) -> Result<(), Status> {
    let wanted = replica_sets::wanted(deployment);
    let old: Vec<_> = old
        .iter()
        .filter(|set| replica_sets::wanted(set) > 0 || count(set, "replicas") > 0)
        .collect();
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        for set in &old {
            replica_sets::resize(store, set, 0)?;
        }
        let gone = old
            .iter()
            .all(|set| count(set, "replicas") + count(set, "terminatingReplicas") == 0);
        let replicas = if gone {
            wanted
        } else {
            replica_sets::wanted(current)
        };
        return replica_sets::resize(store, current, replicas).map(drop);
    }
    let limits = limits(deployment);
    let others: usize = old.iter().map(|set| replica_sets::wanted(set)).sum();
    let room = (wanted + limits.surge).saturating_sub(others);
    let replicas = wanted.min(room.max(replica_sets::wanted(current)));
    replica_sets::resize(store, current, replicas)?;

    // A set just scaled down still counts the pods it is about to lose.
    let serving = |set: &Value| count(set, "availableReplicas").min(replica_sets::wanted(set));
    let available: usize = old.iter().map(|set| serving(set)).sum();
    let least = wanted.saturating_sub(limits.unavailable);
    let mut spare = (available + serving(current)).saturating_sub(least);
    for set in old {
        // Pods that do not serve can go at once; of those that do, only as many as can be spared.
        let given = serving(set).min(spare);
        spare -= given;
        replica_sets::resize(store, set, serving(set) - given)?;
    }
    Ok(())
}
