//! `/openapi/v2`: just enough for kubectl to see that every kind takes `dryRun` and `fieldValidation`. Without schemas
//! kubectl leaves validation to the server.
//!
//! kubectl reads it only as protobuf (`gnostic.openapi.v2.Document`); the few messages needed are written by hand.

use axum::response::Response;
use serde_json::{Value, json};

use super::respond;
use crate::meta::resources::Resource;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

pub(super) fn answer(accept: &str, served: &[&Resource]) -> Response {
    if accept.contains("protobuf") {
        respond::with_type(200, PROTOBUF, protobuf(served))
    } else {
        respond::json(200, &document(served))
    }
}

fn document(served: &[&Resource]) -> Value {
    let parameters: Vec<_> = PARAMETERS
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "type": "string", "uniqueItems": true }))
        .collect();
    let paths = served.iter().map(|resource| {
        let patch = json!({
            "parameters": parameters, "responses": { "200": { "description": "OK" } },
            "x-kubernetes-group-version-kind":
                { "group": resource.group, "version": resource.version, "kind": resource.kind },
        });
        (path(resource), json!({ "patch": patch }))
    });
    json!({
        "swagger": "2.0", "info": { "title": "Kubernetes", "version": "unversioned" },
        "paths": paths.collect::<serde_json::Map<_, _>>(),
    })
}

const PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

fn path(resource: &Resource) -> String {
    let root = if resource.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let namespace = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    format!(
        "{root}/{}{namespace}/{}/{{name}}",
        resource.api_version(),
        resource.plural
    )
}

/// Field numbers are those of gnostic's `openapiv2/OpenAPIv2.proto`.
fn protobuf(served: &[&Resource]) -> Vec<u8> {
    let info = [field(1, b"Kubernetes"), field(2, b"unversioned")].concat();
    let paths: Vec<u8> = served
        .iter()
        .flat_map(|resource| field(2, &named_path(resource)))
        .collect();
    [field(1, b"2.0"), field(2, &info), field(8, &paths)].concat()
}

fn named_path(resource: &Resource) -> Vec<u8> {
    let parameters = PARAMETERS.iter().flat_map(|name| {
        let query = [
            field(2, b"query"),
            field(4, name.as_bytes()),
            field(6, b"string"),
        ]
        .concat();
        // ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query_parameter_sub_schema
        field(8, &field(1, &field(2, &field(3, &query))))
    });
    let kind = format!(
        "group: {:?}\nversion: {:?}\nkind: {:?}\n",
        resource.group, resource.version, resource.kind
    );
    let extension = [
        field(1, b"x-kubernetes-group-version-kind"),
        field(2, &field(2, kind.as_bytes())),
    ]
    .concat();
    let operation: Vec<u8> = parameters.chain(field(13, &extension)).collect();
    [
        field(1, path(resource).as_bytes()),
        field(2, &field(8, &operation)),
    ]
    .concat()
}

/// A length-delimited field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        encoded.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    encoded.push(u8::try_from(length).unwrap_or_default());
    encoded.extend_from_slice(bytes);
    encoded
}
