//! Rows of snapshots: the columns that the definitions of `external-snapshotter` add.
//!
//! They are what a server makes of a definition's `additionalPrinterColumns`: a field that is missing has an empty cell.

use serde_json::Value;

use super::{Column, Layout, NAME, column, text};
use crate::meta::{Resource, resources};

const fn typed(name: &'static str, r#type: &'static str) -> Column {
    Column {
        r#type,
        ..column(name)
    }
}

const AGE: Column = typed("Age", "date");

pub(super) fn layout(resource: &Resource) -> Option<Layout> {
    if resource.group != resources::SNAPSHOTS.group {
        return None;
    }
    Some(match resource.plural {
        "volumesnapshots" => Layout {
            columns: const {
                &[
                    NAME,
                    typed("ReadyToUse", "boolean"),
                    column("SourcePVC"),
                    column("SourceSnapshotContent"),
                    column("RestoreSize"),
                    column("SnapshotClass"),
                    column("SnapshotContent"),
                    typed("CreationTime", "date"),
                    AGE,
                ]
            },
            cells: snapshot,
        },
        "volumesnapshotclasses" => Layout {
            columns: const { &[NAME, column("Driver"), column("DeletionPolicy"), AGE] },
            cells: |class| {
                vec![
                    text::name(class),
                    class["driver"].clone(),
                    class["deletionPolicy"].clone(),
                    text::age(class),
                ]
            },
        },
        "volumesnapshotcontents" => Layout {
            columns: const {
                &[
                    NAME,
                    typed("ReadyToUse", "boolean"),
                    typed("RestoreSize", "integer"),
                    column("DeletionPolicy"),
                    column("Driver"),
                    column("VolumeSnapshotClass"),
                    column("VolumeSnapshot"),
                    column("VolumeSnapshotNamespace"),
                    AGE,
                ]
            },
            cells: content,
        },
        _ => return None,
    })
}

fn snapshot(snapshot: &Value) -> Vec<Value> {
    let (spec, status) = (&snapshot["spec"], &snapshot["status"]);
    let created = &status["creationTime"];
    vec![
        text::name(snapshot),
        status["readyToUse"].clone(),
        spec["source"]["persistentVolumeClaimName"].clone(),
        spec["source"]["volumeSnapshotContentName"].clone(),
        status["restoreSize"].clone(),
        spec["volumeSnapshotClassName"].clone(),
        status["boundVolumeSnapshotContentName"].clone(),
        if created.is_null() {
            Value::Null
        } else {
            text::since(created).into()
        },
        text::age(snapshot),
    ]
}

fn content(content: &Value) -> Vec<Value> {
    let (spec, status) = (&content["spec"], &content["status"]);
    vec![
        text::name(content),
        status["readyToUse"].clone(),
        status["restoreSize"].clone(),
        spec["deletionPolicy"].clone(),
        spec["driver"].clone(),
        spec["volumeSnapshotClassName"].clone(),
        spec["volumeSnapshotRef"]["name"].clone(),
        spec["volumeSnapshotRef"]["namespace"].clone(),
        text::age(content),
    ]
}
