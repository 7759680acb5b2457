//! `meta.k8s.io` tables: what `kubectl get` prints is made here, column by column as the real server's printers do.
//!
//! Left out: the descriptions of columns, which no client shows.

mod cluster;
mod pods;
mod snapshots;
mod text;
mod workloads;

use serde_json::{Value, json};

use super::versions::in_version;
use crate::meta::Resource;

/// A column: its name, and how important it is (1 is shown only by `-o wide`).
#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    r#type: &'static str,
    format: &'static str,
    priority: u8,
}

/// How a kind is shown.
struct Layout {
    columns: &'static [Column],
    cells: fn(&Value) -> Vec<Value>,
}

const fn column(name: &'static str) -> Column {
    Column {
        name,
        r#type: "string",
        format: "",
        priority: 0,
    }
}

const fn wide(name: &'static str) -> Column {
    Column {
        name,
        r#type: "string",
        format: "",
        priority: 1,
    }
}

const fn integer(name: &'static str) -> Column {
    Column {
        name,
        r#type: "integer",
        format: "",
        priority: 0,
    }
}

const NAME: Column = Column {
    name: "Name",
    r#type: "string",
    format: "name",
    priority: 0,
};
const AGE: Column = column("Age");

const DEFAULT: Layout = Layout {
    columns: &[
        NAME,
        Column {
            name: "Age",
            r#type: "date",
            format: "",
            priority: 0,
        },
    ],
    cells: |object| vec![text::name(object), text::age(object)],
};

fn layout(resource: &Resource) -> Layout {
    workloads::layout(resource)
        .or_else(|| cluster::layout(resource))
        .or_else(|| snapshots::layout(resource))
        .unwrap_or(DEFAULT)
}

/// What a row holds beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowObject {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// The whole object.
    Whole,
}

/// A table of objects.
pub(super) fn table(
    resource: &Resource,
    version: &str,
    metadata: &Value,
    objects: &[&Value],
    with_headers: bool,
    row_object: RowObject,
) -> Value {
    let layout = layout(resource);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({ "cells": (layout.cells)(object) });
            match row_object {
                RowObject::None => {}
                RowObject::Metadata => row["object"] = partial(object, version),
                RowObject::Whole => {
                    row["object"] = in_version(resource, object).into_owned();
                }
            }
            row
        })
        .collect();
    let columns: Vec<Value> = layout
        .columns
        .iter()
        .filter(|_| with_headers)
        .map(|column| {
            json!({
                "name": column.name, "type": column.r#type, "format": column.format, "description": "",
                "priority": column.priority,
            })
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": columns, "rows": rows,
    })
}

/// An object's metadata alone.
pub(super) fn partial(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"],
    })
}
