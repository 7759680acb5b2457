//! A driver that makes a claim's volume.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use wa_common::cluster::{Cluster, ClusterError};
use wa_common::report::printable;
use wa_common::run::Undoing;

use super::{Work, at_rest, is_transient};

/// Where a claim's provisioner is noted on the claim itself, newest first.
pub(crate) const PROVISIONER_NOTES: [&str; 2] = [
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
];
/// The binding mode of classes whose volumes are made only for a pod.
pub(crate) const WAIT_FOR_FIRST_CONSUMER: &str = "WaitForFirstConsumer";
const PROVISIONING_FAILED: &str = "ProvisioningFailed";
/// The node of the claim's first pod, where the volume is made only for that.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// So soon a claim is handed to its driver, if it is.
const HANDED_OVER: Duration = Duration::from_secs(3);

/// Waits until the driver does not work on the run's claim any more, or there is none.
pub(crate) async fn claim_at_rest(undoing: Undoing<'_>, name: &str) -> Result<(), ClusterError> {
    let cluster = undoing.cluster;
    let what = format!("the volume of persistentvolumeclaim {name}");
    at_rest(&what, &undoing, || async {
        let found: Option<PersistentVolumeClaim> = cluster.find(name).await?;
        let Some(claim) = found.filter(|claim| undoing.made(claim)) else {
            return Ok(Work::None);
        };
        let work = work_on(&claim);
        if work != Work::UnderWay {
            return Ok(work);
        }
        let failure = provisioning_failure(cluster, &claim).await;
        let failed = failure.is_some_and(|why| !is_transient(&why));
        Ok(if failed || waits_for_pod(cluster, &claim).await? {
            Work::None
        } else {
            Work::UnderWay
        })
    })
    .await
}

fn work_on(claim: &PersistentVolumeClaim) -> Work {
    let status = claim.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if claim.metadata.deletion_timestamp.is_some() || phase.unwrap_or("Pending") != "Pending" {
        return Work::None;
    }
    let noted = |note: &&str| claim.annotations().contains_key(*note);
    if PROVISIONER_NOTES.iter().any(noted) {
        Work::UnderWay
    } else {
        Work::NoneAfter(HANDED_OVER)
    }
}

/// Whether a claim that was handed to its driver has been given back, to wait for a pod on another node.
async fn waits_for_pod(
    cluster: &Cluster,
    claim: &PersistentVolumeClaim,
) -> Result<bool, ClusterError> {
    if claim.annotations().contains_key(SELECTED_NODE) {
        return Ok(false);
    }
    let spec = claim.spec.as_ref();
    let Some(name) = spec.and_then(|spec| spec.storage_class_name.as_deref()) else {
        return Ok(false);
    };
    match cluster.find_global::<StorageClass>(name).await {
        Ok(class) => Ok(class.is_some_and(|class| {
            class.volume_binding_mode.as_deref() == Some(WAIT_FOR_FIRST_CONSUMER)
        })),
        // Not everybody may look at what is outside of the namespace.
        Err(error) if error.code() == Some(403) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the provisioner of a claim said last, where that is a failure. Nothing where the user may not see events.
pub(crate) async fn provisioning_failure(
    cluster: &Cluster,
    claim: &PersistentVolumeClaim,
) -> Option<String> {
    let about_claim = format!(
        "involvedObject.kind=PersistentVolumeClaim,involvedObject.name={}",
        claim.name_any()
    );
    let events: Vec<Event> = cluster.explanations(&about_claim).await;
    let failures = events.into_iter().filter(|event| {
        event.reason.as_deref() == Some(PROVISIONING_FAILED)
            && event.involved_object.uid == claim.metadata.uid
    });
    let last = failures.max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))?;
    last.message.map(|message| printable(&message).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_claim_that_was_handed_to_its_driver_is_worked_on_until_it_is_bound() {
        let noted = json!({"annotations": {PROVISIONER_NOTES[0]: "ceph"}});
        let going = json!({
            "annotations": {PROVISIONER_NOTES[0]: "ceph"}, "deletionTimestamp": "2026-11-22T20:23:00Z",
        });
        for (metadata, status, expected) in [
            (&noted, json!({"phase": "Pending"}), Work::UnderWay),
            (&noted, Value::Null, Work::UnderWay),
            (&noted, json!({"phase": "Bound"}), Work::None),
            (&going, json!({"phase": "Pending"}), Work::None),
            (
                &json!({}),
                json!({"phase": "Pending"}),
                Work::NoneAfter(HANDED_OVER),
            ),
        ] {
            let claim = json!({"metadata": metadata, "status": status});
            let claim = serde_json::from_value(claim).unwrap();
            assert_eq!(work_on(&claim), expected, "{metadata} {status}");
        }
    }
}
