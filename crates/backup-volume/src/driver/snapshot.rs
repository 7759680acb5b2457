//! A driver that takes a snapshot.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use wa_common::cluster::ClusterError;
use wa_common::run::Undoing;

use super::{Work, at_rest, is_transient};

/// The API group of snapshots.
pub(crate) const SNAPSHOT_GROUP: &str = "snapshot.storage.k8s.io";
/// What the snapshot controller leaves in the status when two of its own writes met; it tries again by itself.
const CONFLICT: &str = "the object has been modified";
/// So long nobody has touched a new snapshot where no snapshot controller runs.
const UNTOUCHED: Duration = Duration::from_secs(10);
/// Once taken, a snapshot may be made ready for hours, between questions to the driver that take a moment each. One that
/// is not ready after this is of that kind.
const TAKEN: Duration = Duration::from_secs(10);

/// VolumeSnapshots of a CSI driver.
pub(crate) fn volume_snapshots() -> ApiResource {
    let kind = GroupVersionKind::gvk(SNAPSHOT_GROUP, "v1", "VolumeSnapshot");
    ApiResource::from_gvk_with_plural(&kind, "volumesnapshots")
}

/// The classes of snapshots, which belong to no namespace.
pub(crate) fn volume_snapshot_classes() -> ApiResource {
    let kind = GroupVersionKind::gvk(SNAPSHOT_GROUP, "v1", "VolumeSnapshotClass");
    ApiResource::from_gvk_with_plural(&kind, "volumesnapshotclasses")
}

/// Waits until the driver does not work on the run's snapshot any more, or there is none.
pub(crate) async fn snapshot_at_rest(undoing: Undoing<'_>, name: &str) -> Result<(), ClusterError> {
    let kind = volume_snapshots();
    at_rest(&format!("volumesnapshot {name}"), &undoing, || async {
        let found = undoing.cluster.find_custom(&kind, name).await?;
        let ours = found.filter(|snapshot| undoing.made(snapshot));
        Ok(ours.map_or(Work::None, |snapshot| work_on(&snapshot)))
    })
    .await
}

fn work_on(snapshot: &DynamicObject) -> Work {
    let status = &snapshot.data["status"];
    let error = status["error"]["message"].as_str();
    if snapshot.metadata.deletion_timestamp.is_some()
        || status["readyToUse"] == true
        || error.is_some_and(is_lasting)
    {
        Work::None
    } else if status["creationTime"].is_string() {
        Work::NoneAfter(TAKEN)
    } else if status.is_null() && snapshot.finalizers().is_empty() {
        Work::NoneAfter(UNTOUCHED)
    } else {
        Work::UnderWay
    }
}

/// Whether an error of a snapshot is to be taken for its last.
pub(crate) fn is_lasting(error: &str) -> bool {
    !error.contains(CONFLICT) && !is_transient(error)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_snapshot_that_is_still_being_made_has_not_failed() {
        assert!(is_lasting(
            "rpc error: code = InvalidArgument desc = no such pool"
        ));
        assert!(!is_lasting(
            "rpc error: code = DeadlineExceeded desc = not yet"
        ));
        assert!(!is_lasting(
            "Operation cannot be fulfilled: the object has been modified"
        ));
    }

    #[test]
    fn a_snapshot_can_be_deleted_once_it_is_ready_or_failed_for_good() {
        let protected = json!({"finalizers": ["snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"]});
        let error = |message: &str| json!({"readyToUse": false, "error": {"message": message}});
        let taken = json!({"readyToUse": false, "creationTime": "2026-11-22T20:23:00Z"});
        for (metadata, status, expected) in [
            (&protected, json!({"readyToUse": true}), Work::None),
            (
                &protected,
                error("code = Internal desc = no pool"),
                Work::None,
            ),
            (
                &protected,
                error("code = Aborted desc = pending"),
                Work::UnderWay,
            ),
            (&protected, json!({"readyToUse": false}), Work::UnderWay),
            (&protected, Value::Null, Work::UnderWay),
            (&protected, taken, Work::NoneAfter(TAKEN)),
            (&json!({}), Value::Null, Work::NoneAfter(UNTOUCHED)),
            (
                &json!({"deletionTimestamp": "2026-11-22T20:23:00Z"}),
                json!({"readyToUse": false}),
                Work::None,
            ),
        ] {
            let snapshot = json!({"metadata": metadata, "status": status});
            let snapshot = serde_json::from_value(snapshot).unwrap();
            assert_eq!(work_on(&snapshot), expected, "{metadata} {status}");
        }
    }
}
