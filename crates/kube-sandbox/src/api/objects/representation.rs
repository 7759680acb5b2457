//! The forms an object is answered in: itself, a row of a table, or its metadata alone.

use std::borrow::Cow;

use axum::response::Response;
use serde_json::{Value, json};

use super::tables::{self, RowObject};
use super::versions::in_version;
use crate::api::respond;
use crate::meta::{Object, Resource, Status};

/// What the client accepts and the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    /// The object.
    Object,
    /// `meta.k8s.io` Table of that version, with this in its rows.
    Table(&'static str, RowObject),
    /// `meta.k8s.io/v1` PartialObjectMetadata.
    Metadata,
}

const SERVED: &[&str] = &[
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
];

impl Representation {
    /// The first of the accepted media types that is served; 406 when none is.
    pub(super) fn accepted(accept: &str, include_object: Option<&str>) -> Result<Self, Status> {
        if accept.is_empty() {
            return Ok(Self::Object);
        }
        let rows = match include_object {
            Some("None") => RowObject::None,
            Some("Object") => RowObject::Whole,
            _ => RowObject::Metadata,
        };
        accept
            .split(',')
            .find_map(|range| Self::of_range(range, rows))
            .ok_or_else(|| Status::not_acceptable(SERVED))
    }

    fn of_range(range: &str, rows: RowObject) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !matches!(
            parts.next(),
            Some("application/json" | "application/*" | "*/*")
        ) {
            return None;
        }
        let parameters: Vec<&str> = parts.collect();
        let parameter = |name: &str| {
            parameters
                .iter()
                .find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
        };
        match (parameter("as"), parameter("v")) {
            (None, _) => Some(Self::Object),
            (Some("Table"), Some("v1")) => Some(Self::Table("v1", rows)),
            (Some("Table"), Some("v1beta1")) => Some(Self::Table("v1beta1", rows)),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
                Some(Self::Metadata)
            }
            _ => None,
        }
    }

    /// Answers with one object.
    pub(super) fn respond(self, code: u16, resource: &Resource, object: &Value) -> Response {
        respond::json(code, &self.one(resource, object, true))
    }

    /// One object in this form; a table has headers only if asked for (the first event of a watch has them).
    pub(super) fn one<'a>(
        self,
        resource: &Resource,
        object: &'a Value,
        with_headers: bool,
    ) -> Cow<'a, Value> {
        match self {
            Self::Object => in_version(resource, object),
            Self::Metadata => Cow::Owned(tables::partial(object, "v1")),
            Self::Table(version, rows) => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                Cow::Owned(tables::table(
                    resource,
                    version,
                    &metadata,
                    &[object],
                    with_headers,
                    rows,
                ))
            }
        }
    }

    /// A list in this form.
    pub(super) fn list(self, resource: &Resource, metadata: &Value, items: &[Object]) -> Value {
        let (api_version, kind, items): (_, _, Vec<Value>) = match self {
            Self::Table(version, rows) => {
                let objects: Vec<&Value> = items.iter().map(|item| &**item).collect();
                return tables::table(resource, version, metadata, &objects, true, rows);
            }
            Self::Metadata => {
                let items = items
                    .iter()
                    .map(|item| tables::partial(item, "v1"))
                    .collect();
                (
                    "meta.k8s.io/v1".to_owned(),
                    "PartialObjectMetadataList".to_owned(),
                    items,
                )
            }
            Self::Object => {
                let items = items.iter().map(|item| listed(resource, item)).collect();
                (
                    resource.api_version(),
                    format!("{}List", resource.kind),
                    items,
                )
            }
        };
        json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items })
    }
}

/// Items of built-in kinds leave their kind to the list.
fn listed(resource: &Resource, item: &Value) -> Value {
    let mut item = in_version(resource, item).into_owned();
    if !resource.custom
        && let Some(fields) = item.as_object_mut()
    {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    item
}
